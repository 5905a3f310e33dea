//! Asks apps for their metrics by one route.

use jackfield_plugin_sdk::{
    App, MetricsCollector, Payload, Plugin, plugin,
    scrape::{Part, Question, Scrape},
};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `service.method`
    route: String,
}

struct Own(Settings);

impl Plugin for Own {
    type Settings = Settings;

    /// Runs once, before the first scrape. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        match settings.route.contains('.') {
            true => Ok(Self(settings)),
            false => Err("`route` must be service.method".into()),
        }
    }
}

impl MetricsCollector for Own {
    /// What to ask an app; nothing when it does not publish the service.
    fn ask(&self, app: &App, _scrape: &Scrape) -> Option<Question> {
        let (service, _) = self.0.route.rsplit_once('.')?;
        let published = app.services.iter().any(|published| published == service);
        published.then(|| Question::route(&self.0.route, ""))
    }

    /// Its reply as Prometheus text.
    fn read(&self, _app: &App, _context: Vec<u8>, reply: Payload) -> Result<Part, String> {
        match reply.data.is_empty() {
            true => Err("the page is empty".into()),
            false => Ok(Part::text(reply.data)),
        }
    }
}

plugin!(Own: MetricsCollector);
