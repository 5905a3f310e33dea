//! Refuses one app.

use jackfield_plugin_sdk::{Decision, Plugin, Request, RoutingFilter, plugin};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    app: String,
}

struct Own {
    app: String,
}

impl Plugin for Own {
    type Settings = Settings;

    /// Runs once, before the first request. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self { app: settings.app })
    }
}

impl RoutingFilter for Own {
    /// Runs for the first frame of each request that fits the plugin's `match`. The decision depends on the caller only,
    /// so the broker need not ask again for the same route of the same connection.
    fn on_request(&self, request: &Request<'_>) -> Decision {
        if request.app() == self.app {
            return Decision::refuse(0x202, "not tonight").remember();
        }
        Decision::pass().remember()
    }
}

plugin!(Own: RoutingFilter);

/// On your machine, without a broker and without Wasm: cargo test
#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{TestRequest, configured};

    use super::*;

    #[test]
    fn refuses_the_app_and_no_other() {
        let own = configured::<Own>(r#"{"app": "spammer"}"#).unwrap();
        let request = TestRequest::new("com.example.User", "find");
        assert!(request.clone().app("spammer").ask(&own).is_refusal());
        assert!(request.app("shop").ask(&own).is_pass());
    }
}
