//! What is known about a caller, as hot hooks ask for it.

use std::collections::BTreeMap;

use jackfield_plugin_host::Facts;

use crate::identity::Principal;

/// Attributes of the principal are `role`, `authority`, `organisation`, `service-account`, and what a plugin that vouches
/// for it said besides.
#[derive(Clone, Copy, Debug)]
pub struct CallerFacts<'a> {
    pub principal: &'a Principal,
    /// What the app says about itself.
    pub metadata: Option<&'a BTreeMap<String, String>>,
}

impl CallerFacts<'_> {
    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let principal = self.principal;
        let (listed, key) = match key {
            "role" => (&*principal.roles, None),
            "authority" => (&*principal.authorities, None),
            "organisation" => (&*principal.organisations, None),
            "service-account" => (&*principal.service_accounts, None),
            other => (&[][..], Some(other)),
        };
        let others = principal.attributes.iter();
        let others = others.filter(move |(known, _)| key.is_some_and(|key| **known == *key));
        { listed.iter() }
            .chain(others.map(|(_, value)| value))
            .map(|value| &**value)
    }
}

impl Facts for CallerFacts<'_> {
    fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata?.get(key).map(String::as_str)
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.values(key).any(|held| held == value)
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.values(key).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principals_lists_are_attributes() {
        let mut principal = Principal::anonymous();
        principal.roles = vec!["admin".into(), "dev".into()];
        principal.organisations = vec!["acme".into()];
        let metadata = BTreeMap::from([("zone".to_owned(), "eu".to_owned())]);
        let facts = CallerFacts {
            principal: &principal,
            metadata: Some(&metadata),
        };
        assert!(facts.has("role", "dev") && !facts.has("role", "ops"));
        assert_eq!(facts.attribute("role"), Some("admin"));
        assert_eq!(facts.attribute("organisation"), Some("acme"));
        assert_eq!(facts.attribute("moon"), None);
        let mut principal = facts.principal.clone();
        principal.attributes = vec![("tenant".into(), "blue".into())];
        let facts = CallerFacts {
            principal: &principal,
            ..facts
        };
        assert!(facts.has("tenant", "blue") && !facts.has("tenant", "admin"));
        assert_eq!(facts.attribute("tenant"), Some("blue"));
        assert_eq!(facts.metadata("zone"), Some("eu"));
    }
}
