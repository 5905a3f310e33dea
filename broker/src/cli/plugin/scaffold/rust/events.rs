//! Writes to the log who comes and goes. Needs `allow = ["log"]`.

use jackfield_plugin_sdk::{
    Events, Plugin,
    events::{Event, Happening},
    log, plugin,
};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    prefix: String,
}

struct Own(Settings);

impl Plugin for Own {
    type Settings = Settings;

    /// Runs once, before the first event. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }
}

impl Events for Own {
    /// Runs with what has happened since the last time, oldest first.
    fn on_events(&self, events: Vec<Event>, _dropped: u64) {
        for event in events {
            let line = match event.what {
                Happening::AppConnected(app) => format!("{} has connected", app.name),
                Happening::AppGone(gone) => format!("{} is gone, {}", gone.app.name, gone.reason),
                _ => continue,
            };
            log::info(&format!("{}: {line}", self.0.prefix));
        }
    }
}

plugin!(Own: Events);
