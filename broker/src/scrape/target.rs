//! What Prometheus is told to scrape.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::directory::AppView;

/// One application, in the form of Prometheus' `http_sd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// One: the HTTP face of the broker that holds its connection.
    pub targets: [String; 1],
    pub labels: BTreeMap<String, String>,
}

/// Entries of an application's metadata that become labels.
const METADATA_MAX: usize = 32;
/// Longer values are left out: a label is no place for them.
const VALUE_MAX: usize = 1024;
const META: &str = "__meta_jackfield_";

impl Target {
    /// `host` is where the broker is scraped.
    pub(super) fn of(app: &AppView, host: &str, broker: &str) -> Self {
        let mut labels = BTreeMap::new();
        let entries = app.metadata.iter().take(METADATA_MAX);
        for (key, value) in entries.filter(|(_, value)| value.len() <= VALUE_MAX) {
            labels.insert(format!("{META}app_metadata_{}", label(key)), value.clone());
        }
        let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        set("__metrics_path__", &format!("/metrics/app/{}", app.uuid));
        set("job", &app.name);
        set("instance", &app.uuid);
        set(&format!("{META}broker"), broker);
        set(&format!("{META}app_name"), &app.name);
        set(&format!("{META}app_uuid"), &app.uuid);
        set(&format!("{META}app_ip"), &app.ip);
        set(&format!("{META}app_remote"), &app.remote);
        set(&format!("{META}app_transport"), app.transport);
        set(
            &format!("{META}app_sdk"),
            app.sdk.as_deref().unwrap_or_default(),
        );
        Self {
            targets: [host.to_owned()],
            labels,
        }
    }
}

/// What a label may be called.
fn label(key: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    key.chars().take(64).map(legal).collect()
}

/// Whether a uuid can stand in a path and in an endpoint rule as it is. Others, which nobody's client library makes,
/// cannot be scraped: one that reads like two rules would be another application's.
pub(super) fn is_plain(uuid: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&uuid.len()) && uuid.bytes().all(plain) && !uuid.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_the_application_and_not_the_broker() {
        let app = AppView {
            id: 1,
            uuid: "u-1".into(),
            name: "shop \"x\"".into(),
            ip: "10.0.0.1".into(),
            remote: "127.0.0.1".into(),
            transport: "tcp",
            sdk: None,
            connected_at_ms: 0,
            status: Default::default(),
            power: 1,
            services: vec![],
            metadata: BTreeMap::from([
                ("data center".to_owned(), "é".to_owned()),
                ("long".to_owned(), "x".repeat(2000)),
            ]),
            in_flight: 0,
        };
        let target = serde_json::to_value(Target::of(&app, "b:9998", "edge-1")).unwrap();
        assert_eq!(
            target,
            serde_json::json!({ "targets": ["b:9998"], "labels": {
                "__metrics_path__": "/metrics/app/u-1",
                "job": "shop \"x\"",
                "instance": "u-1",
                "__meta_jackfield_broker": "edge-1",
                "__meta_jackfield_app_name": "shop \"x\"",
                "__meta_jackfield_app_uuid": "u-1",
                "__meta_jackfield_app_ip": "10.0.0.1",
                "__meta_jackfield_app_remote": "127.0.0.1",
                "__meta_jackfield_app_transport": "tcp",
                "__meta_jackfield_app_sdk": "",
                "__meta_jackfield_app_metadata_data_center": "é",
            }})
        );
    }

    #[test]
    fn uuids_that_read_like_something_else_are_no_targets() {
        for (uuid, plain) in [
            ("0b7e6d0a-3c1f-4f7e-9d8a-1f2e3d4c5b6a", true),
            ("app_1.eu", true),
            ("a&e=uuid:b", false),
            ("a,uuid:b", false),
            ("../sd", false),
            ("a/b", false),
            ("", false),
        ] {
            assert_eq!(is_plain(uuid), plain, "{uuid}");
        }
    }
}
