//! Prefers instances in one zone.

use jackfield_plugin_sdk::{Candidates, EndpointSelector, Plugin, Request, Selection, plugin};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    zone: String,
}

struct Own {
    zone: String,
}

impl Plugin for Own {
    type Settings = Settings;

    /// Runs once, before the first request. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self { zone: settings.zone })
    }
}

impl EndpointSelector for Own {
    /// Runs for each request that several instances could take. One question for all of them costs less than one each.
    fn select(&self, _request: &Request<'_>, candidates: &Candidates<'_>) -> Selection {
        match candidates.having("zone", &self.zone) {
            none if none.is_empty() => Selection::Any,
            some => Selection::Among(some),
        }
    }
}

plugin!(Own: EndpointSelector);
