use serde::{Deserialize, Serialize};

use super::{MetadataError, Service};

/// What an application publishes (0x54, JSON), the archived Alibaba broker's shape.
///
/// ```json
/// {"published": [{"group": "g", "service": "com.example.Orders", "version": "1"}]}
/// ```
///
/// A person may write less: an entry may be the text `g!com.example.Orders:1`, and the whole may
/// be just the list, or just one text. The fields `id` and `gsv` of an entry are not read: both
/// are computed from the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRegistry {
    pub published: Vec<Service>,
    pub subscribed: Vec<Service>,
}

impl ServiceRegistry {
    pub fn publishing(published: impl IntoIterator<Item = Service>) -> Self {
        Self {
            published: published.into_iter().collect(),
            subscribed: Vec::new(),
        }
    }

    pub fn decode(content: &[u8]) -> Result<Self, MetadataError> {
        let document = serde_json::from_slice(content)
            .map_err(|error| MetadataError::json("service registry", &error))?;
        let (published, subscribed) = match document {
            Document::Full {
                published,
                subscribed,
            } => (
                published.unwrap_or_default(),
                subscribed.unwrap_or_default(),
            ),
            Document::List(published) => (published, Vec::new()),
            Document::One(text) => (vec![Locator::Text(text)], Vec::new()),
        };
        Ok(Self {
            published: services(&published)?,
            subscribed: services(&subscribed)?,
        })
    }

    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        let document = Document::Full {
            published: Some(self.published.iter().map(Locator::of).collect()),
            subscribed: Some(self.subscribed.iter().map(Locator::of).collect()),
        };
        serde_json::to_vec(&document)
            .map_err(|error| MetadataError::json("service registry", &error))
    }
}

/// The forms a registry may have as JSON.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected {\"published\": [..]}, a list of services, or a text"
)]
enum Document {
    List(Vec<Locator>),
    One(String),
    Full {
        published: Option<Vec<Locator>>,
        subscribed: Option<Vec<Locator>>,
    },
}

/// The forms one service may have as JSON.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"[group!]service[:version]\" or {\"service\": ..}"
)]
pub(super) enum Locator {
    Text(String),
    Parts {
        group: Option<String>,
        service: String,
        version: Option<String>,
    },
}

impl Locator {
    fn of(service: &Service) -> Self {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self::Parts {
            group: part(service.group()),
            service: service.service().to_owned(),
            version: part(service.version()),
        }
    }

    fn service(&self) -> Result<Service, MetadataError> {
        match self {
            Self::Text(text) => Service::parse(text),
            Self::Parts {
                group,
                service,
                version,
            } => Service::new(
                group.as_deref().unwrap_or_default(),
                service,
                version.as_deref().unwrap_or_default(),
            ),
        }
    }
}

pub(super) fn services(locators: &[Locator]) -> Result<Vec<Service>, MetadataError> {
    locators.iter().map(Locator::service).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn published(json: &str) -> Vec<String> {
        let registry = ServiceRegistry::decode(json.as_bytes()).unwrap();
        registry
            .published
            .iter()
            .map(|service| service.key().into_owned())
            .collect()
    }

    #[test]
    fn what_the_archived_client_sends() {
        let json = r#"{"published":[{"group":"","service":"com.example.Orders","version":null,
            "tags":["global"],"gsv":"com.victim.Service","id":1}],
            "subscribed":[{"service":"com.example.Users","version":"1"}]}"#;
        assert_eq!(published(json), ["com.example.Orders"]);
        let registry = ServiceRegistry::decode(json.as_bytes()).unwrap();
        assert_eq!(
            registry.subscribed,
            [Service::new("", "com.example.Users", "1").unwrap()]
        );
    }

    #[test]
    fn the_easy_forms() {
        for json in [
            r#"{"published":["g!a.B:1"]}"#,
            r#"{"published":[{"group":"g","service":"a.B","version":"1"}],"subscribed":null}"#,
            r#"["g!a.B:1"]"#,
            r#""g!a.B:1""#,
        ] {
            assert_eq!(published(json), ["g!a.B:1"], "{json}");
        }
        assert_eq!(published("{}"), [""; 0]);
        assert_eq!(published("[]"), [""; 0]);
    }

    #[test]
    fn every_fault_is_reached() {
        for bad in [
            "",
            "{",
            "1",
            "null",
            r#"{"published":[1]}"#,
            r#"[{"group":"g"}]"#,
        ] {
            let fault = ServiceRegistry::decode(bad.as_bytes()).unwrap_err();
            assert!(matches!(fault, MetadataError::Json { .. }), "{bad}");
        }
        for bad in [r#"[""]"#, r#"[{"service":""}]"#] {
            let fault = ServiceRegistry::decode(bad.as_bytes()).unwrap_err();
            assert_eq!(fault, MetadataError::Empty("service name"));
        }
        let fault = ServiceRegistry::decode(br#""a::""#).unwrap_err();
        assert_eq!(fault, MetadataError::ServiceName("a::".into()));
    }

    proptest! {
        #[test]
        fn it_reads_back(texts in proptest::collection::vec("([a-z]{1,3}!)?[a-z.]{1,8}(:[0-9.]{1,3})?", 0..5)) {
            let services = texts.iter().map(|text| Service::parse(text).unwrap());
            let registry = ServiceRegistry::publishing(services);
            let encoded = registry.encode().unwrap();
            prop_assert_eq!(ServiceRegistry::decode(&encoded).unwrap(), registry);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ServiceRegistry::decode(&bytes);
        }
    }
}
