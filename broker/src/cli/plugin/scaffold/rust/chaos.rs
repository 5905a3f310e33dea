//! Lets one in ten calls of one app wait.

use jackfield_plugin_sdk::{Chaos, Fault, Plan, Plugin, Request, plugin};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    app: String,
    /// Milliseconds.
    delay: u32,
}

struct Own(Settings);

impl Plugin for Own {
    type Settings = Settings;

    /// Runs once, before the first request. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }
}

impl Chaos for Own {
    /// Runs for each request that goes on. The broker throws the dice, of 10000, and carries the fault out; so the plan
    /// can be remembered.
    fn disturb(&self, request: &Request<'_>) -> Plan {
        if !request.app_is(&self.0.app) {
            return Plan::none().remember();
        }
        Plan::none().with(1_000, Fault::Delay(self.0.delay)).remember()
    }
}

plugin!(Own: Chaos);
