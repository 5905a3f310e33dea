//! What is known about a caller, as hot hooks ask for it.

use std::collections::BTreeMap;

use jackfield_plugin_host::Facts;

use crate::identity::Principal;

/// Attributes of the principal are `role`, `authority`, `organisation` and `service-account`.
#[derive(Clone, Copy, Debug)]
pub struct CallerFacts<'a> {
    pub principal: &'a Principal,
    /// What the app says about itself.
    pub metadata: Option<&'a BTreeMap<String, String>>,
}

impl CallerFacts<'_> {
    fn values(&self, key: &str) -> &[Box<str>] {
        match key {
            "role" => &self.principal.roles,
            "authority" => &self.principal.authorities,
            "organisation" => &self.principal.organisations,
            "service-account" => &self.principal.service_accounts,
            _ => &[],
        }
    }
}

impl Facts for CallerFacts<'_> {
    fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata?.get(key).map(String::as_str)
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.values(key).iter().any(|held| **held == *value)
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.values(key).first().map(|value| &**value)
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
        assert_eq!(facts.metadata("zone"), Some("eu"));
    }
}
