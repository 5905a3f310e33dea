//! Sends a share of the calls to another version, or group, of the same service.
//!
//! ```toml
//! [[plugin]]
//! name = "canary"
//! file = "builtin:canary"
//! match = ["com.example.UserService"]
//! [plugin.settings]
//! percent = 30
//! version = "canary"      # or group = "canary"
//! by = "tag:user"         # optional: the same user always gets the same answer
//! ```

use jackfield_plugin_sdk::{Decision, Key, Plugin, Request, Rewrite, RoutingFilter, plugin};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How much goes to the canary: 0 to 100, fractions allowed.
    percent: f64,
    version: Option<String>,
    group: Option<String>,
    /// `app`, `principal` or `tag:NAME`. Without it every call is diced anew.
    by: Option<Key>,
}

/// What the settings come to. There is one on each thread of the broker.
struct Canary {
    /// In parts of 10000.
    weight: u32,
    to: Rewrite,
    by: Option<Key>,
}

impl Plugin for Canary {
    type Settings = Settings;

    /// Runs once, before the first request. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings {
            percent,
            version,
            group,
            by,
        } = settings;
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("percent is {percent}; it must be from 0 to 100"));
        }
        if version.is_none() && group.is_none() {
            return Err("there is neither `version` nor `group`; say where the share goes".into());
        }
        let weight = (percent * 100.0).round() as u32;
        Ok(Self {
            weight,
            to: Rewrite {
                version,
                group,
                ..Rewrite::new()
            },
            by,
        })
    }
}

impl RoutingFilter for Canary {
    /// Runs for the first frame of each request that fits the plugin's `match`.
    ///
    /// Both decisions can be remembered, since they depend on nothing but the route and the caller:
    /// the broker then asks once for each route of each connection.
    fn on_request(&self, request: &Request<'_>) -> Decision {
        let Some(by) = &self.by else {
            // The broker throws the dice, so it needs no second call of ours to be fair.
            return Decision::split(self.weight, self.to.clone()).remember();
        };
        // The hash of a key never changes, so neither does the side its owner is on. A caller
        // without the key stays where it is.
        match request.stable_hash(by) {
            Some(hash) if hash % 10_000 < u64::from(self.weight) => {
                Decision::rewrite(self.to.clone()).remember()
            }
            _ => Decision::pass().remember(),
        }
    }
}

plugin!(Canary: RoutingFilter);

/// Run by `cargo test`, on the host: no broker, no Wasm.
#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{TestRequest, configured};

    use super::*;

    fn canary(settings: &str) -> Canary {
        configured(settings).unwrap()
    }

    fn request() -> TestRequest {
        TestRequest::new("com.example.UserService", "find")
    }

    #[test]
    fn leaves_the_dice_to_the_broker() {
        let it = canary(r#"{"percent": 12.5, "version": "canary"}"#);
        let to = Rewrite::new().version("canary");
        assert_eq!(request().ask(&it), Decision::split(1_250, to).remember());
    }

    #[test]
    fn sends_the_same_user_to_the_same_side() {
        let it = canary(r#"{"percent": 30, "group": "canary", "by": "tag:user"}"#);
        let diverted = |user: &str| !request().tag("user", user).ask(&it).is_pass();
        let users: Vec<String> = (0..1_000).map(|n| format!("user-{n}")).collect();
        let share = users.iter().filter(|user| diverted(user)).count();
        assert!(
            (250..350).contains(&share),
            "{share} of 1000 are not 30 percent"
        );
        assert!(users.iter().all(|user| diverted(user) == diverted(user)));
    }

    #[test]
    fn lets_callers_without_the_key_pass() {
        let it = canary(r#"{"percent": 100, "version": "2", "by": "principal"}"#);
        assert!(request().ask(&it).is_pass());
        assert!(!request().principal("shop").ask(&it).is_pass());
    }

    #[test]
    fn refuses_settings_that_make_no_sense() {
        for (settings, complaint) in [
            (r#"{"percent": 101, "version": "2"}"#, "from 0 to 100"),
            (r#"{"percent": 10}"#, "say where the share goes"),
            (
                r#"{"percent": 10, "version": "2", "by": "moon"}"#,
                "`tag:NAME`",
            ),
            (
                r#"{"percent": 10, "versoin": "2"}"#,
                "unknown field `versoin`",
            ),
            (r#"{"version": "2"}"#, "missing field `percent`"),
        ] {
            let error = configured::<Canary>(settings).err().unwrap();
            assert!(error.contains(complaint), "{settings}: {error}");
        }
    }
}
