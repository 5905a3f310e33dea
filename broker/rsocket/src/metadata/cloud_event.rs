//! Events as METADATA_PUSH carries them between the archived Alibaba broker and its clients:
//! CloudEvents 1.0 as JSON, bare or as entry 0x28 of composite metadata.
//!
//! ```json
//! {"specversion": "1.0", "id": "1", "type": "com.alibaba.rsocket.events.AppStatusEvent",
//!  "source": "app://UUID/?ip=10.0.0.7", "datacontenttype": "application/json",
//!  "data": {"id": "UUID", "status": 1}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::{Locator, services};
use super::{Composite, MetadataError, Mime, Service};

const WHAT: &str = "event";
const APP: &str = "com.alibaba.rsocket.events.";

/// One event; extensions are not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    #[serde(default = "version")]
    specversion: String,
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// A URI; of an application `app://UUID/?ip=IP`.
    pub source: String,
    #[serde(default = "json")]
    datacontenttype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default)]
    pub data: Value,
}

fn version() -> String {
    "1.0".to_owned()
}

fn json() -> Option<String> {
    Some("application/json".to_owned())
}

/// What an application says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppEvent {
    /// -1 stopped, 0 connected, 1 serving, 2 out of service. The archived broker's event has no weight;
    /// ours may name a new one.
    Status { status: i64, power: Option<u32> },
    /// It publishes these as well.
    Exposed(Vec<Service>),
    /// It publishes these no more.
    Hidden(Vec<Service>),
    /// Port to scheme, for calls that bypass the broker.
    Ports(BTreeMap<u16, String>),
}

impl CloudEvent {
    pub fn new(id: String, kind: &str, source: &str, data: Value) -> Self {
        Self {
            specversion: version(),
            id,
            kind: kind.to_owned(),
            source: source.to_owned(),
            datacontenttype: json(),
            subject: None,
            data,
        }
    }

    /// From pushed metadata; none if it holds something else.
    pub fn of_push(metadata: &[u8]) -> Result<Option<Self>, MetadataError> {
        // No entry of composite metadata begins with this byte and is text: the length would be 124.
        if metadata.first() == Some(&b'{') {
            return Self::decode(metadata).map(Some);
        }
        let entry = Composite::new(metadata).find_mime(Mime::CLOUDEVENTS_JSON)?;
        entry.map(|entry| Self::decode(entry.content)).transpose()
    }

    pub fn decode(json: &[u8]) -> Result<Self, MetadataError> {
        serde_json::from_slice(json).map_err(|error| MetadataError::json(WHAT, &error))
    }

    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        serde_json::to_vec(self).map_err(|error| MetadataError::json(WHAT, &error))
    }

    /// The host of the source.
    pub fn source_host(&self) -> Option<&str> {
        let (_, rest) = self.source.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        Some(host.split_once(':').map_or(host, |(host, _)| host))
    }

    /// What the application `uuid` says of itself. None if the event is of another type; an error if it is by or about
    /// somebody else.
    pub fn of_app(&self, uuid: &str) -> Result<Option<AppEvent>, MetadataError> {
        let Some(kind) = self.kind.strip_prefix(APP) else {
            return Ok(None);
        };
        let reader: fn(Data) -> Result<AppEvent, MetadataError> = match kind {
            "AppStatusEvent" => Data::status,
            "ServicesExposedEvent" => |data| data.services().map(AppEvent::Exposed),
            "ServicesHiddenEvent" => |data| data.services().map(AppEvent::Hidden),
            "PortsUpdateEvent" => Data::ports,
            _ => return Ok(None),
        };
        let data: Result<Data, _> = match &self.data {
            // Some write the data as a text of its own.
            Value::String(text) => serde_json::from_str(text),
            data => Data::deserialize(data),
        };
        let data = data.map_err(|error| MetadataError::json(WHAT, &error))?;
        let about = data.id.as_deref().or(data.app_id.as_deref());
        if self.source_host() != Some(uuid) || about != Some(uuid) {
            return Err(wrong("its source or subject is another application"));
        }
        reader(data).map(Some)
    }
}

/// The data of every event of an application.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    id: Option<String>,
    app_id: Option<String>,
    status: Option<i64>,
    power_rating: Option<i64>,
    #[serde(default)]
    services: Option<Vec<Locator>>,
    #[serde(default)]
    rsocket_ports: Option<BTreeMap<u16, String>>,
}

impl Data {
    fn status(self) -> Result<AppEvent, MetadataError> {
        let power = self.power_rating;
        Ok(AppEvent::Status {
            status: self.status.ok_or_else(|| wrong("it has no status"))?,
            power: power.map(|power| power.clamp(1, i32::MAX.into()) as u32),
        })
    }

    fn services(self) -> Result<Vec<Service>, MetadataError> {
        services(&self.services.unwrap_or_default())
    }

    fn ports(self) -> Result<AppEvent, MetadataError> {
        Ok(AppEvent::Ports(self.rsocket_ports.unwrap_or_default()))
    }
}

fn wrong(reason: &str) -> MetadataError {
    MetadataError::Json {
        what: WHAT,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::CompositeBuilder;
    use super::*;

    const UUID: &str = "6f4e2a30-0d6c-4a5e-9a3e-3f1d2c5b7a89";

    fn event(kind: &str, data: Value) -> CloudEvent {
        let source = format!("app://{UUID}/?ip=10.0.0.7");
        CloudEvent::new("1".into(), &format!("{APP}{kind}"), &source, data)
    }

    /// As version 1.1.6 of the client library writes it.
    const SERVING: &str = r#"{"data":{"id":"6f4e2a30-0d6c-4a5e-9a3e-3f1d2c5b7a89","status":1},
        "id":"a7b9","source":"app://6f4e2a30-0d6c-4a5e-9a3e-3f1d2c5b7a89/?ip=10.0.0.7",
        "specversion":"1.0","type":"com.alibaba.rsocket.events.AppStatusEvent",
        "datacontenttype":"application/json","time":"2024-06-05T01:02:03.456Z"}"#;

    #[test]
    fn what_the_archived_client_pushes() {
        let serving = AppEvent::Status {
            status: 1,
            power: None,
        };
        let bare = CloudEvent::of_push(SERVING.as_bytes()).unwrap().unwrap();
        assert_eq!(bare.of_app(UUID).unwrap(), Some(serving));
        let wrapped = CompositeBuilder::new()
            .push(Mime::CLOUDEVENTS_JSON, SERVING.as_bytes())
            .finish()
            .unwrap();
        assert_eq!(CloudEvent::of_push(&wrapped).unwrap(), Some(bare));
    }

    #[test]
    fn every_event_of_an_application() {
        let services = json!([{"group": "", "service": "a.B", "version": "1", "tags": [], "gsv": "x", "id": 1}, "g!c.D"]);
        let named = ["a.B:1", "g!c.D"].map(|text| Service::parse(text).unwrap());
        for (event, said) in [
            (
                event("AppStatusEvent", json!({"id": UUID, "status": -1})),
                AppEvent::Status {
                    status: -1,
                    power: None,
                },
            ),
            (
                event(
                    "AppStatusEvent",
                    json!({"id": UUID, "status": 1, "powerRating": 0}),
                ),
                AppEvent::Status {
                    status: 1,
                    power: Some(1),
                },
            ),
            (
                event(
                    "ServicesExposedEvent",
                    json!({"appId": UUID, "services": services}),
                ),
                AppEvent::Exposed(named.to_vec()),
            ),
            (
                event(
                    "ServicesHiddenEvent",
                    json!({"appId": UUID, "services": null}),
                ),
                AppEvent::Hidden(Vec::new()),
            ),
            (
                event(
                    "PortsUpdateEvent",
                    json!({"appId": UUID, "rsocketPorts": {"42252": "tcp"}, "webPort": 8080}),
                ),
                AppEvent::Ports(BTreeMap::from([(42252, "tcp".into())])),
            ),
            (
                event(
                    "AppStatusEvent",
                    json!(format!(r#"{{"id":"{UUID}","status":2}}"#)),
                ),
                AppEvent::Status {
                    status: 2,
                    power: None,
                },
            ),
        ] {
            assert_eq!(event.of_app(UUID).unwrap(), Some(said));
        }
        for kind in ["ConfigEvent", "InvalidCacheEvent", "x"] {
            assert_eq!(event(kind, json!({"appId": UUID})).of_app(UUID), Ok(None));
        }
    }

    /// The archived broker does not look at whose ports an event replaces.
    #[test]
    fn nobody_speaks_for_another() {
        let about_other = event("PortsUpdateEvent", json!({"appId": "other"}));
        assert!(about_other.of_app(UUID).is_err());
        let mut by_other = event("AppStatusEvent", json!({"id": UUID, "status": 1}));
        for source in ["app://other/?ip=1", "app:other", "", "app://", "app:///x"] {
            by_other.source = source.into();
            assert!(by_other.of_app(UUID).is_err(), "{source}");
        }
        assert!(
            event("AppStatusEvent", json!({"status": 1}))
                .of_app(UUID)
                .is_err()
        );
    }

    #[test]
    fn every_fault_is_reached() {
        for bad in ["{", "{}", "{\"id\":1}"] {
            assert!(CloudEvent::of_push(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(CloudEvent::of_push(b""), Ok(None));
        assert!(CloudEvent::of_push(b"\x01").is_err());
        for data in [
            json!(null),
            json!([]),
            json!({"id": UUID}),
            json!({"id": UUID, "status": "1"}),
        ] {
            assert!(
                event("AppStatusEvent", data.clone()).of_app(UUID).is_err(),
                "{data}"
            );
        }
        let nameless = json!({"appId": UUID, "services": [{"service": ""}]});
        assert!(
            event("ServicesExposedEvent", nameless)
                .of_app(UUID)
                .is_err()
        );
    }

    #[test]
    fn the_host_of_a_source() {
        for (source, host) in [
            ("app://u-1/?ip=1.2.3.4", Some("u-1")),
            ("broker://10.0.0.1:9999/?id=x", Some("10.0.0.1")),
            ("app://me@u-1#x", Some("u-1")),
            ("app://", Some("")),
            ("urn:x", None),
        ] {
            let mut event = event("x", Value::Null);
            event.source = source.into();
            assert_eq!(event.source_host(), host, "{source}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_back(id in "\\PC{0,10}", kind in "\\PC{0,20}", source in "\\PC{0,20}", n: i32) {
            let event = CloudEvent::new(id, &kind, &source, json!({"n": n}));
            let encoded = event.encode().unwrap();
            prop_assert_eq!(CloudEvent::of_push(&encoded).unwrap(), Some(event));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = CloudEvent::of_push(&bytes);
            let mut json = b"{\"id\":\"\",\"type\":\"com.alibaba.rsocket.events.AppStatusEvent\",\"source\":\"".to_vec();
            json.extend(bytes);
            let _ = CloudEvent::of_push(&json);
        }
    }
}
