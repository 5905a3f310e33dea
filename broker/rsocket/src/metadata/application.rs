use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::MetadataError;

/// Who an application says it is (0x51, JSON), the archived Alibaba broker's shape.
///
/// `{"name":"orders"}` is enough. Unknown fields are ignored, `null` is the same as absent. The
/// fields `id` and `connectedAt` are the broker's to decide and are not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address the application claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_space: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The weight among instances of a service, at least 1.
    #[serde(deserialize_with = "power")]
    pub power_rating: u32,
    /// Port to scheme.
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub rsocket_ports: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub brokers: Vec<String>,
    /// `[group!]service[:version]` the application wants the addresses of.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub p2p_services: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub secure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_port: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_port: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developers: Option<String>,
    /// Free key and value pairs, each usable as an endpoint `key:value`.
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub humans_md: Option<String>,
}

impl AppMetadata {
    /// An application of this name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    pub fn decode(content: &[u8]) -> Result<Self, MetadataError> {
        // A struct would also be read from an array, by position.
        if content.trim_ascii_start().first() == Some(&b'[') {
            let reason = "an array, expected an object".into();
            return Err(MetadataError::Json { what: WHAT, reason });
        }
        serde_json::from_slice(content).map_err(|error| MetadataError::json(WHAT, &error))
    }

    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        serde_json::to_vec(self).map_err(|error| MetadataError::json(WHAT, &error))
    }
}

impl Default for AppMetadata {
    fn default() -> Self {
        Self {
            uuid: None,
            name: None,
            ip: None,
            name_space: None,
            description: None,
            device: None,
            power_rating: 1,
            rsocket_ports: BTreeMap::new(),
            brokers: Vec::new(),
            p2p_services: Vec::new(),
            topology: None,
            secure: false,
            web_port: None,
            management_port: None,
            sdk: None,
            developers: None,
            metadata: BTreeMap::new(),
            humans_md: None,
        }
    }
}

const WHAT: &str = "application metadata";

fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn power<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let rating = Option::<i64>::deserialize(deserializer)?.unwrap_or(1);
    Ok(rating.clamp(1, i32::MAX.into()) as u32)
}

/// Text values; numbers and booleans are taken as their text, `null` as absent.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let texts = map.into_iter().filter_map(|(key, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((key, text)),
        other => Some((key, other.to_string())),
    });
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_easy_form() {
        assert_eq!(
            AppMetadata::decode(br#"{"name":"orders"}"#).unwrap(),
            AppMetadata::named("orders")
        );
        assert_eq!(AppMetadata::decode(b"{}").unwrap(), AppMetadata::default());
    }

    #[test]
    fn what_the_archived_client_sends() {
        let app = AppMetadata::decode(
            br#"{"id":null,"uuid":"6f4e2a30-0d6c-4a5e-9a3e-3f1d2c5b7a89","powerRating":2,
            "name":"user-service","nameSpace":null,"description":null,"device":null,
            "rsocketPorts":{"42252":"tcp"},"ip":"10.0.0.7","brokers":["tcp://b:9999"],
            "p2pServices":null,"topology":"intranet","secure":false,"webPort":8180,
            "managementPort":0,"sdk":"Alibaba-RSocket-1.1.6/1.0.0","developers":null,
            "metadata":{"zone":"a","push":1,"none":null,"on":true},"humansMd":null,
            "connectedAt":"ignored","status":{"unknown":[1]}}"#,
        )
        .unwrap();
        assert_eq!(app.power_rating, 2);
        assert_eq!(app.rsocket_ports["42252"], "tcp");
        assert_eq!(app.sdk.as_deref(), Some("Alibaba-RSocket-1.1.6/1.0.0"));
        assert_eq!((app.web_port, app.name_space), (Some(8180), None));
        let pairs: Vec<_> = app.metadata.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(pairs, [("on", "true"), ("push", "1"), ("zone", "a")]);
    }

    #[test]
    fn a_rating_is_at_least_one() {
        for (json, rating) in [
            (r#"{"powerRating":0}"#, 1),
            (r#"{"powerRating":-5}"#, 1),
            (r#"{"powerRating":null}"#, 1),
            (r#"{"powerRating":3}"#, 3),
            (r#"{"powerRating":99999999999}"#, i32::MAX as u32),
        ] {
            assert_eq!(
                AppMetadata::decode(json.as_bytes()).unwrap().power_rating,
                rating
            );
        }
    }

    #[test]
    fn anything_else_is_an_error_and_a_short_one() {
        for bad in ["", "[]", "null", "{", r#"{"name":1}"#, "\u{1}", r#"["x"]"#] {
            let fault = AppMetadata::decode(bad.as_bytes()).unwrap_err();
            assert!(
                matches!(fault, MetadataError::Json { what: WHAT, .. }),
                "{bad}: {fault}"
            );
        }
        let long = format!(r#"{{"secure":"{}"}}"#, "x".repeat(10_000));
        assert!(
            AppMetadata::decode(long.as_bytes())
                .unwrap_err()
                .to_string()
                .len()
                < 300
        );
    }

    proptest! {
        #[test]
        fn it_reads_back(
            name in proptest::option::of("\\PC{0,20}"),
            ip in proptest::option::of("[0-9.]{0,15}"),
            power_rating in 1u32..=i32::MAX as u32,
            secure: bool,
            brokers in proptest::collection::vec("\\PC{0,20}", 0..3),
            metadata in proptest::collection::btree_map("\\PC{0,10}", "\\PC{0,10}", 0..4),
        ) {
            let app = AppMetadata {
                name, ip, power_rating, secure, brokers, metadata, ..AppMetadata::default()
            };
            prop_assert_eq!(AppMetadata::decode(&app.encode().unwrap()).unwrap(), app);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = AppMetadata::decode(&bytes);
        }
    }
}
