//! Unit tests of plugins on the host: no broker, no Wasm.
//!
//! Imports work here too. Names, `kv` and the clock are per thread, and each test has a thread of
//! its own; lines go to standard error; numbers go nowhere.

use std::cell::{Cell, RefCell};

use crate::{
    App, Chaos, Decision, EndpointSelector, Interaction, Key, Plan, Plugin, RoutingFilter,
    Selection,
    candidates::test_candidates,
    http,
    request::test_request,
    scrape::{Family, FamilyType, Format, Scrape},
};

/// A plugin with these settings, as the host would make it.
pub fn configured<P: Plugin>(json: &str) -> Result<P, String> {
    crate::expansion::settings(json)
}

/// An app of this name that says nothing else.
pub fn app(name: &str) -> App {
    App {
        uuid: format!("uuid-of-{name}"),
        name: name.into(),
        ip: String::new(),
        address: String::new(),
        transport: "tcp".into(),
        sdk: String::new(),
        principal: String::new(),
        services: Vec::new(),
        metadata: Vec::new(),
    }
}

/// A scrape by a Prometheus that is in no hurry.
pub fn scrape() -> Scrape {
    Scrape {
        deadline_ms: 10_000,
        accepts: vec![Format::Text, Format::Openmetrics],
    }
}

/// A family of one sample.
pub fn family(name: &str) -> Family {
    Family {
        name: name.into(),
        kind: FamilyType::Unknown,
        help: String::new(),
        unit: String::new(),
        samples: 1,
    }
}

/// A request to ask a plugin about.
#[derive(Clone, Debug)]
pub struct TestRequest {
    pub(crate) interaction: Interaction,
    pub(crate) sticky: bool,
    pub(crate) group: String,
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) version: String,
    pub(crate) endpoint: String,
    pub(crate) app: String,
    pub(crate) instance: String,
    pub(crate) address: String,
    pub(crate) principal: String,
    pub(crate) metadata: Vec<u8>,
    tags: Vec<(String, String)>,
    app_metadata: Vec<(String, String)>,
    attributes: Vec<(String, String)>,
    entries: Vec<(String, Vec<u8>)>,
}

impl TestRequest {
    /// A request/response by an anonymous caller.
    pub fn new(service: &str, method: &str) -> Self {
        Self {
            interaction: Interaction::RequestResponse,
            sticky: false,
            group: String::new(),
            service: service.into(),
            method: method.into(),
            version: String::new(),
            endpoint: String::new(),
            app: String::new(),
            instance: String::new(),
            address: String::new(),
            principal: String::new(),
            metadata: Vec::new(),
            tags: Vec::new(),
            app_metadata: Vec::new(),
            attributes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// What the plugin decides.
    pub fn ask(&self, plugin: &impl RoutingFilter) -> Decision {
        plugin.on_request(&test_request(self))
    }

    /// Which of these the plugin chooses.
    pub fn select(&self, plugin: &impl EndpointSelector, among: &[TestCandidate]) -> Selection {
        plugin.select(&test_request(self), &test_candidates(among))
    }

    /// What the plugin wants to go wrong.
    pub fn disturb(&self, plugin: &impl Chaos) -> Plan {
        plugin.disturb(&test_request(self))
    }

    #[must_use]
    pub fn instance(self, uuid: &str) -> Self {
        Self {
            instance: uuid.into(),
            ..self
        }
    }

    #[must_use]
    pub fn address(self, address: &str) -> Self {
        Self {
            address: address.into(),
            ..self
        }
    }

    /// What the app that calls says about itself.
    #[must_use]
    pub fn app_metadata(mut self, key: &str, value: &str) -> Self {
        self.app_metadata.push((key.into(), value.into()));
        self
    }

    /// Of the caller's principal; a key may be given more than once.
    #[must_use]
    pub fn attribute(mut self, key: &str, value: &str) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// An entry of the metadata.
    #[must_use]
    pub fn entry(mut self, mime: &str, content: &[u8]) -> Self {
        self.entries.push((mime.into(), content.into()));
        self
    }

    #[must_use]
    pub fn interaction(self, interaction: Interaction) -> Self {
        Self {
            interaction,
            ..self
        }
    }

    #[must_use]
    pub fn sticky(self) -> Self {
        Self {
            sticky: true,
            ..self
        }
    }

    #[must_use]
    pub fn group(self, group: &str) -> Self {
        Self {
            group: group.into(),
            ..self
        }
    }

    #[must_use]
    pub fn version(self, version: &str) -> Self {
        Self {
            version: version.into(),
            ..self
        }
    }

    #[must_use]
    pub fn endpoint(self, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.into(),
            ..self
        }
    }

    #[must_use]
    pub fn app(self, app: &str) -> Self {
        Self {
            app: app.into(),
            ..self
        }
    }

    #[must_use]
    pub fn principal(self, principal: &str) -> Self {
        Self {
            principal: principal.into(),
            ..self
        }
    }

    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn metadata(self, metadata: &[u8]) -> Self {
        Self {
            metadata: metadata.into(),
            ..self
        }
    }

    pub(crate) fn tag_value(&self, key: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|(known, _)| known == key)?;
        Some(&tag.1)
    }

    pub(crate) fn app_metadata_value(&self, key: &str) -> Option<&str> {
        let value = self.app_metadata.iter().find(|(known, _)| known == key)?;
        Some(&value.1)
    }

    pub(crate) fn attributes(&self, key: &str) -> impl Iterator<Item = &str> {
        let values = self
            .attributes
            .iter()
            .filter(move |(known, _)| known == key);
        values.map(|(_, value)| &**value)
    }

    pub(crate) fn entry_value(&self, mime: &str) -> Option<&[u8]> {
        let entry = self.entries.iter().find(|(known, _)| known == mime)?;
        Some(&entry.1)
    }

    pub(crate) fn stable_hash(&self, by: &Key) -> Option<u64> {
        let key = match by {
            Key::App => Some(&*self.app),
            Key::Instance => Some(&*self.instance),
            Key::Principal => Some(&*self.principal),
            Key::Address => Some(&*self.address),
            Key::Tag(key) => self.tag_value(key),
        };
        key.filter(|key| !key.is_empty()).map(stable_hash)
    }
}

/// An instance that could take a request.
#[derive(Clone, Debug, Default)]
pub struct TestCandidate {
    pub(crate) app: String,
    pub(crate) in_flight: u32,
    tags: Vec<(String, String)>,
}

impl TestCandidate {
    pub fn new(app: &str) -> Self {
        Self {
            app: app.into(),
            ..Self::default()
        }
    }

    /// What it says about itself; `ip`, `uuid` and `id` too.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn in_flight(self, in_flight: u32) -> Self {
        Self { in_flight, ..self }
    }

    pub(crate) fn tag(&self, key: &str) -> Option<String> {
        let tag = self.tags.iter().find(|(known, _)| known == key)?;
        Some(tag.1.clone())
    }
}

type HttpServer = Box<dyn Fn(&http::Request) -> HttpAnswer>;
type HttpAnswer = Result<http::Response, http::Failure>;

thread_local! {
    static CLOCK_MS: Cell<u64> = const { Cell::new(0) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
    static HTTP: RefCell<Option<HttpServer>> = const { RefCell::new(None) };
}

/// Milliseconds since 1970, for the imports `clock` and `kv`. Begins at 0.
pub fn set_clock(unix_ms: u64) {
    CLOCK_MS.set(unix_ms);
}

pub(crate) fn clock_ms() -> u64 {
    CLOCK_MS.get()
}

pub(crate) fn next_random() -> u64 {
    RANDOM.set(RANDOM.get().wrapping_add(1));
    stable_hash(&RANDOM.get().to_string())
}

/// What the import `http` answers from now on. Before that, everything is denied.
pub fn answer_http(answer: impl Fn(&http::Request) -> HttpAnswer + 'static) {
    HTTP.set(Some(Box::new(answer)));
}

pub(crate) fn http_answer(request: &http::Request) -> HttpAnswer {
    HTTP.with_borrow(|answer| match answer {
        Some(answer) => answer(request),
        None => Err(http::Failure::Denied("this is a test".into())),
    })
}

/// As the contract defines it: FNV-1a (64 bit), then the finaliser of MurmurHash3.
fn stable_hash(key: &str) -> u64 {
    let fnv = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host has the same vector.
    #[test]
    fn the_hash_is_the_hosts() {
        assert_eq!(stable_hash("a"), 0x82a2_a958_a9be_ce5b);
        assert_eq!(stable_hash("alice"), 0x3507_d047_a67c_08f4);
    }
}
