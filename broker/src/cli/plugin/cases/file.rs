//! What is in a file of cases. Names are those of the contract; what is left out is empty.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    #[serde(default)]
    pub(super) plugin: Plugin,
    pub(super) case: Vec<Case>,
}

/// As in `[[plugin]]` of the configuration, for all cases.
#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Plugin {
    pub(super) allow: Vec<String>,
    pub(super) memory: String,
    pub(super) deadline: String,
    pub(super) settings: Value,
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            memory: "16MiB".into(),
            deadline: "5ms".into(),
            settings: Value::Object(Default::default()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// In place of those for all cases.
    pub(super) settings: Option<Value>,
    /// For `routing-filter`; with `candidates` for `endpoint-selector`.
    pub(super) request: Option<Request>,
    pub(super) candidates: Option<Vec<Candidate>>,
    /// Which hook gets the request, when the plugin has several that could.
    pub(super) hook: Option<String>,
    pub(super) applicant: Option<Applicant>,
    /// For `metrics-collector`: what to ask it, and with `reply` how to read what it says.
    pub(super) app: Option<App>,
    pub(super) reply: Option<String>,
    /// For `events`.
    pub(super) events: Option<Vec<Event>>,
    /// Asks so many times; the last answer counts.
    #[serde(default = "once")]
    pub(super) times: u32,
    #[serde(default)]
    pub(super) expect: Option<Value>,
    pub(super) remember: Option<bool>,
    /// Log lines that must come, each a part of one, in this order.
    #[serde(default)]
    pub(super) logs: Vec<String>,
}

const fn once() -> u32 {
    1
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Request {
    pub(super) interaction: Interaction,
    pub(super) sticky: bool,
    pub(super) group: String,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) version: String,
    pub(super) endpoint: String,
    pub(super) tags: BTreeMap<String, String>,
    /// Entries of the metadata, by their MIME type.
    pub(super) entries: BTreeMap<String, String>,
    pub(super) app: String,
    pub(super) app_metadata: BTreeMap<String, String>,
    pub(super) instance: String,
    pub(super) address: String,
    pub(super) principal: String,
    /// Of the principal; each may have several values.
    pub(super) attributes: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Interaction {
    #[default]
    RequestResponse,
    FireAndForget,
    RequestStream,
    RequestChannel,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Candidate {
    pub(super) uuid: String,
    pub(super) app: String,
    pub(super) ip: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) power: Option<u32>,
    pub(super) in_flight: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Applicant {
    pub(super) app: String,
    pub(super) uuid: String,
    pub(super) address: String,
    pub(super) transport: String,
    pub(super) bearer: Option<String>,
    /// A user and a password.
    pub(super) simple: Option<(String, String)>,
    pub(super) services: Vec<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) renews: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct App {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) ip: String,
    pub(super) address: String,
    pub(super) transport: String,
    pub(super) sdk: String,
    pub(super) principal: String,
    pub(super) services: Vec<String>,
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Event {
    AppConnected(App),
    AppGone {
        app: App,
        reason: String,
    },
    AppRefused {
        app: String,
        address: String,
        reason: String,
    },
    ServiceRegistered {
        service: String,
        app: String,
    },
    ServiceHidden {
        service: String,
        app: String,
    },
    DrainBegan(u32),
    DrainEnded,
    Other {
        kind: String,
        facts: BTreeMap<String, String>,
    },
}

impl Cases {
    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
