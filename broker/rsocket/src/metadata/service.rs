use std::borrow::Cow;
use std::fmt;

use super::{MetadataError, murmur3};

/// A service as applications publish it: `[group!]service[:version]`, empty parts absent.
///
/// The three parts always read back from [`Self::key`] as themselves, so that equality of keys
/// and equality of services are the same thing. The hash of the key only indexes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service {
    group: String,
    service: String,
    version: String,
}

impl Service {
    /// From the parts as a registration names them. A part that smuggles a separator is read as
    /// the key it makes.
    pub fn new(group: &str, service: &str, version: &str) -> Result<Self, MetadataError> {
        if service.is_empty() {
            return Err(MetadataError::Empty("service name"));
        }
        Self::parse(&key(group, service, version))
    }

    /// From the text form `[group!]service[:version]`.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let (group, service, version) = split(text);
        if service.is_empty() {
            return Err(MetadataError::Empty("service name"));
        }
        if split(&key(group, service, version)) != (group, service, version) {
            return Err(MetadataError::ServiceName(text.chars().take(160).collect()));
        }
        Ok(Self {
            group: group.into(),
            service: service.into(),
            version: version.into(),
        })
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn service(&self) -> &str {
        &self.service
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// The text form; it identifies the service.
    pub fn key(&self) -> Cow<'_, str> {
        key(&self.group, &self.service, &self.version)
    }

    /// The hash of the key.
    pub fn id(&self) -> i32 {
        murmur3(self.key().as_bytes())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

/// `[group!]service[:version]`; allocates only when there is a group or a version.
pub(super) fn key<'a>(group: &str, service: &'a str, version: &str) -> Cow<'a, str> {
    if group.is_empty() && version.is_empty() {
        return Cow::Borrowed(service);
    }
    let mut key = String::with_capacity(group.len() + service.len() + version.len() + 2);
    if !group.is_empty() {
        key.push_str(group);
        key.push('!');
    }
    key.push_str(service);
    if !version.is_empty() {
        key.push(':');
        key.push_str(version);
    }
    Cow::Owned(key)
}

/// Splits `[group!]name[:version]` as the archived broker does: at the first `!` and the last
/// `:`, neither counting at the very front.
pub(super) fn split(text: &str) -> (&str, &str, &str) {
    let (group, rest) = match text.find('!') {
        Some(at) if at > 0 => (&text[..at], &text[at + 1..]),
        _ => ("", text),
    };
    match rest.rfind(':') {
        Some(at) if at > 0 => (group, &rest[..at], &rest[at + 1..]),
        _ => (group, rest, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_splits_as_the_archived_broker_splits_it() {
        for (text, parts) in [
            ("s", ("", "s", "")),
            ("g!s:1", ("g", "s", "1")),
            ("g!a.b.C", ("g", "a.b.C", "")),
            ("!s", ("", "!s", "")),
            (":s", ("", ":s", "")),
            ("g!:1", ("g", ":1", "")),
            ("g!h!s", ("g", "h!s", "")),
            ("s:1:2", ("", "s:1", "2")),
            ("s:", ("", "s", "")),
            ("g!", ("g", "", "")),
            ("", ("", "", "")),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }

    #[test]
    fn a_smuggled_separator_is_read_as_the_key_it_makes() {
        let service = Service::new("", "urn:foo", "").unwrap();
        assert_eq!((service.service(), service.version()), ("urn", "foo"));
        assert_eq!(service, Service::new("", "urn", "foo").unwrap());
        assert_eq!(service.to_string(), "urn:foo");
    }

    #[test]
    fn ids_are_hashes_of_keys() {
        let service = Service::new("dc1", "com.alibaba.user.UserService", "1.0.0").unwrap();
        assert_eq!(service.key(), "dc1!com.alibaba.user.UserService:1.0.0");
        assert_eq!(service.id(), -41_418_261);
        let plain = Service::parse("plain").unwrap();
        assert!(matches!(plain.key(), Cow::Borrowed("plain")));
    }

    #[test]
    fn every_fault_is_reached() {
        assert_eq!(
            Service::new("g", "", "1").unwrap_err(),
            MetadataError::Empty("service name")
        );
        assert_eq!(
            Service::parse("g!").unwrap_err(),
            MetadataError::Empty("service name")
        );
        // Reads as service `a:`, whose key in turn reads as service `a`.
        assert_eq!(
            Service::parse("a::").unwrap_err(),
            MetadataError::ServiceName("a::".into())
        );
    }

    proptest! {
        #[test]
        fn a_service_reads_back_from_its_key(text in "[ab!:.]{0,12}|\\PC{0,20}") {
            if let Ok(service) = Service::parse(&text) {
                prop_assert_eq!(&Service::parse(&service.key()).unwrap(), &service);
                let again = Service::new(service.group(), service.service(), service.version());
                prop_assert_eq!(again.unwrap(), service);
            }
        }
    }
}
