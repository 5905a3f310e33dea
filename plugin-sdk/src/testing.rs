//! Unit tests of plugins on the host: no broker, no Wasm.
//!
//! Names, log lines and metrics work here too: names are per thread, and each test has a thread of
//! its own; lines go to standard error; numbers go nowhere.

use crate::{Decision, Interaction, Key, Plugin, RoutingFilter, request::test_request};

/// A plugin with these settings, as the host would make it.
pub fn configured<P: Plugin>(json: &str) -> Result<P, String> {
    crate::expansion::settings(json)
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
    pub(crate) principal: String,
    pub(crate) metadata: Vec<u8>,
    tags: Vec<(String, String)>,
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
            principal: String::new(),
            metadata: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// What the plugin decides.
    pub fn ask(&self, plugin: &impl RoutingFilter) -> Decision {
        plugin.on_request(&test_request(self))
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

    pub(crate) fn stable_hash(&self, by: &Key) -> Option<u64> {
        let key = match by {
            Key::App => Some(&*self.app),
            Key::Principal => Some(&*self.principal),
            Key::Tag(key) => self.tag_value(key),
        };
        key.filter(|key| !key.is_empty()).map(stable_hash)
    }
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
        assert_eq!(stable_hash(""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash("alice"), 0x3507_d047_a67c_08f4);
    }
}
