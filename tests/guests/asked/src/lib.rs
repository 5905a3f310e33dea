//! The canary that asks for nothing to be remembered: the same work for every request, so that it can be measured.

use jackfield_plugin_sdk::{Decision, Key, Plugin, Request, Rewrite, RoutingFilter, plugin};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// In parts of 10000.
    weight: u64,
}

struct Asked {
    weight: u64,
    by: Key,
}

impl Plugin for Asked {
    type Settings = Settings;

    fn configure(Settings { weight }: Settings) -> Result<Self, String> {
        Ok(Self {
            weight,
            by: Key::App,
        })
    }
}

impl RoutingFilter for Asked {
    fn on_request(&self, request: &Request<'_>) -> Decision {
        match request.stable_hash(&self.by) {
            Some(hash) if hash % 10_000 < self.weight => {
                Decision::rewrite(Rewrite::new().version("canary"))
            }
            _ => Decision::pass(),
        }
    }
}

plugin!(Asked: RoutingFilter);
