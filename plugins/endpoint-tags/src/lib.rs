//! Sends calls to the instances whose tags fit an expression: near ones first, old ones not at all.
//!
//! ```toml
//! [[plugin]]
//! name = "near"
//! file = "builtin:endpoint-tags"
//! match = ["com.example.*"]
//! [plugin.settings]
//! prefer = "zone:eu and not canary:1"    # the broker balances among those that fit
//! otherwise = "any"                      # nobody fits: any instance (the default), or refuse
//! ```
//!
//! An expression is made of endpoint rules `key:value` (`ip`, `uuid`, `id`, or a key of the app's metadata), `and`, `or`,
//! `not` and parentheses. `key:@name` compares with what the caller says about itself: `zone:@zone`.

mod expression;

use expression::Expression;
use jackfield_plugin_sdk::{Candidates, EndpointSelector, Plugin, Request, Selection, plugin};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    prefer: String,
    #[serde(default)]
    otherwise: Otherwise,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Otherwise {
    #[default]
    Any,
    Refuse,
}

struct EndpointTags {
    prefer: Expression,
    otherwise: Otherwise,
}

impl Plugin for EndpointTags {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let prefer = Expression::parse(&settings.prefer)
            .map_err(|why| format!("prefer is `{}`: {why}", settings.prefer))?;
        let otherwise = settings.otherwise;
        Ok(Self { prefer, otherwise })
    }
}

impl EndpointSelector for EndpointTags {
    /// Runs when at least two instances could take the call. Each rule is one question about all of them.
    fn select(&self, request: &Request<'_>, candidates: &Candidates<'_>) -> Selection {
        let fits = self.prefer.fits(request, candidates);
        let chosen: Vec<u32> = (0..candidates.len())
            .filter(|&index| fits[index as usize])
            .collect();
        match (chosen.len() as u32, self.otherwise) {
            (0, Otherwise::Any) => Selection::Any,
            (all, _) if all == candidates.len() => Selection::Any,
            _ => Selection::Among(chosen),
        }
    }
}

plugin!(EndpointTags: EndpointSelector);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{TestCandidate, TestRequest, configured};

    use super::*;

    fn candidates() -> [TestCandidate; 3] {
        let orders = || TestCandidate::new("orders");
        [
            orders().with("zone", "eu").with("ip", "10.0.0.1"),
            orders().with("zone", "us"),
            orders().with("zone", "eu").with("canary", "1"),
        ]
    }

    fn select(settings: &str) -> Selection {
        let it = configured::<EndpointTags>(settings).unwrap();
        let request = TestRequest::new("com.example.Orders", "find").app_metadata("zone", "us");
        request.select(&it, &candidates())
    }

    #[test]
    fn chooses_those_that_fit() {
        for (prefer, chosen) in [
            ("zone:eu", vec![0, 2]),
            ("zone:eu and not canary:1", vec![0]),
            ("zone:us or canary:1", vec![1, 2]),
            ("not (zone:us or canary:1)", vec![0]),
            ("ip:10.0.0.1", vec![0]),
            ("zone:@zone", vec![1]),
        ] {
            let settings = format!(r#"{{"prefer": "{prefer}"}}"#);
            assert_eq!(select(&settings), Selection::Among(chosen), "{prefer}");
        }
    }

    #[test]
    fn when_nobody_fits_the_settings_decide() {
        assert_eq!(select(r#"{"prefer": "zone:moon"}"#), Selection::Any);
        let refuse = r#"{"prefer": "zone:moon", "otherwise": "refuse"}"#;
        assert_eq!(select(refuse), Selection::Among(vec![]));
    }

    #[test]
    fn when_all_fit_there_is_no_opinion() {
        assert_eq!(select(r#"{"prefer": "not zone:moon"}"#), Selection::Any);
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let error = configured::<EndpointTags>(r#"{"prefer": "zone:eu und"}"#);
        let error = error.err().unwrap();
        assert!(error.contains("`und`"), "{error}");
    }
}
