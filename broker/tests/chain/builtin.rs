//! The plugins inside the binary, when it was built with a Wasm target at hand.

use jackfield::chain::{Source, Verdict, builtin_names};

use crate::{Fixture, refuses};

#[test]
fn the_embedded_canary_splits() {
    if !builtin_names().any(|name| name == "canary") {
        eprintln!("SKIPPED: no plugin is embedded; run scripts/setup-wasm.sh and build again");
        return;
    }
    let mut it = Fixture::new();
    let canary = it.plugin("canary", &refuses("replaced below"));
    canary.source = Source::Builtin("canary".into());
    canary.memory = 16 << 20;
    canary.settings = serde_json::json!({ "percent": 30, "version": "canary" });
    it.load().unwrap();
    let decision = it.ask();
    assert!(decision.remember);
    let Verdict::Split(split) = decision.verdict else {
        panic!("{decision:?}")
    };
    assert_eq!(split.dice(0).unwrap().version.as_deref(), Some("canary"));
    assert!(split.dice(u64::MAX).is_none());
    it.config.plugins[0].settings = serde_json::json!({ "percent": 300, "version": "canary" });
    let text = it.load().unwrap_err().to_string();
    let expected = "plugin \"canary\" (builtin:canary) refuses its settings: percent is 300; \
                    it must be from 0 to 100";
    assert_eq!(text, expected);
}
