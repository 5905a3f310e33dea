//! Refuses calls beyond a rate, exactly, for each caller: however many threads the broker has, they count together.
//!
//! ```toml
//! [[plugin]]
//! name = "rate-limit"
//! file = "builtin:rate-limit"
//! match = ["com.example.*"]
//! allow = ["kv", "metrics"]
//! on-failure = "open"        # a limiter that fails should not stop the calls
//! [plugin.settings]
//! calls = 100
//! per = 1.0                  # seconds
//! by = "app"                 # or principal, instance, address, tag:NAME; without it all callers count together
//! ```

use jackfield_plugin_sdk::{
    Decision, Key, Plugin, Request, RoutingFilter, kv, metrics::Counter, plugin,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// So many calls in each window.
    calls: u32,
    /// The length of a window in seconds. It opens with the first call in it.
    #[serde(default = "one_second")]
    per: f64,
    by: Option<Key>,
}

const fn one_second() -> f64 {
    1.0
}

struct RateLimit {
    calls: i64,
    window_ms: u64,
    by: Option<Key>,
    refused: Counter,
}

impl Plugin for RateLimit {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { calls, per, by } = settings;
        if !(0.001..=86_400.0).contains(&per) {
            return Err(format!(
                "per is {per}; it must be from 0.001 to 86400 seconds"
            ));
        }
        Ok(Self {
            calls: calls.into(),
            window_ms: (per * 1_000.0).round() as u64,
            by,
            refused: Counter::register("refused"),
        })
    }
}

impl RoutingFilter for RateLimit {
    /// Counting is one operation in the store that all instances share, so no call is counted twice or missed. Since
    /// the next call may get another answer, nothing is remembered.
    fn on_request(&self, request: &Request<'_>) -> Decision {
        let key = match &self.by {
            None => String::new(),
            Some(by) => request.key(by).unwrap_or_default(),
        };
        match kv::increment(short(&key), 1, self.window_ms) {
            Ok(count) if count > self.calls => {
                self.refused.add(1);
                Decision::refuse(0x202, "too many calls; try again later")
            }
            Ok(_) => Decision::pass(),
            // The store is full of callers: better to let one pass than to stop everybody.
            Err(_) => Decision::pass(),
        }
    }
}

/// A key of the store has at most 256 bytes. Callers with longer names share a count by their first bytes.
fn short(key: &str) -> &str {
    &key[..key.floor_char_boundary(256)]
}

plugin!(RateLimit: RoutingFilter);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{TestRequest, configured, set_clock};

    use super::*;

    fn request(app: &str) -> TestRequest {
        TestRequest::new("com.example.User", "find").app(app)
    }

    #[test]
    fn counts_each_caller_and_begins_anew_with_the_next_window() {
        let it = configured::<RateLimit>(r#"{"calls": 2, "per": 0.5, "by": "app"}"#).unwrap();
        let passes = |app: &str| request(app).ask(&it).is_pass();
        assert_eq!([passes("a"), passes("a"), passes("a")], [true, true, false]);
        assert!(passes("b"), "another caller");
        set_clock(499);
        assert!(!passes("a"));
        set_clock(500);
        assert!(passes("a"));
    }

    #[test]
    fn without_a_key_all_count_together() {
        let it = configured::<RateLimit>(r#"{"calls": 1}"#).unwrap();
        assert!(request("a").ask(&it).is_pass());
        assert!(request("b").ask(&it).is_refusal());
    }

    #[test]
    fn is_never_remembered() {
        let it = configured::<RateLimit>(r#"{"calls": 1}"#).unwrap();
        assert!(!request("a").ask(&it).remember);
    }

    #[test]
    fn a_long_key_is_cut_between_letters() {
        let key = "é".repeat(200);
        assert_eq!(short(&key).len(), 256);
        assert_eq!(short("a"), "a");
        assert_eq!(short(&format!("x{key}")).len(), 255);
    }

    #[test]
    fn refuses_settings_that_make_no_sense() {
        for (settings, complaint) in [
            (r#"{"calls": 1, "per": 0}"#, "from 0.001"),
            (r#"{"calls": -1}"#, "invalid value"),
            (r#"{"calls": 1, "by": "moon"}"#, "`tag:NAME`"),
            (r#"{}"#, "missing field `calls`"),
        ] {
            let error = configured::<RateLimit>(settings).err().unwrap();
            assert!(error.contains(complaint), "{settings}: {error}");
        }
    }
}
