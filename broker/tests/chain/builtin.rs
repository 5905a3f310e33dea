//! The plugins inside the binary, when it was built with a Wasm target at hand.

use std::{thread, time::Duration};

use jackfield::chain::{
    Admitted, Applicant, Credential, Fault, Happening, Instances, Selection, Source, Verdict,
    builtin_names,
};
use serde_json::json;

use crate::{Fixture, guests::Guest, refuses, request, until};

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
    let expected = "plugin \"canary\" (builtin:canary) refuses its settings: `percent` \
                    is 300, and must be at most 100";
    assert_eq!(text, expected);
}

/// The other embedded plugins, each through its hook.
#[test]
fn every_embedded_plugin_does_its_work() {
    for name in ["audit", "chaos", "endpoint-tags", "rate-limit"] {
        if !builtin_names().any(|known| known == name) {
            eprintln!("SKIPPED: {name} is not embedded; run scripts/setup-wasm.sh and build again");
            return;
        }
    }
    let mut it = Fixture::new();
    for (name, settings) in [
        (
            "rate-limit",
            json!({ "calls": 2, "per": 3600.0, "by": "app" }),
        ),
        ("endpoint-tags", json!({ "prefer": "uuid:u-1" })),
        (
            "chaos",
            json!({ "faults": [{ "percent": 100, "delay-ms": 5, "app": "shop" }] }),
        ),
        ("audit", json!({})),
    ] {
        let config = it.plugin(name, &Guest::new());
        config.source = Source::Builtin(name.into());
        config.settings = settings;
        config.memory = 16 << 20;
    }
    it.load().unwrap();
    // Two threads count together.
    let passes = || {
        let decision = it.ask();
        assert!(!decision.remember);
        matches!(decision.verdict, Verdict::Pass)
    };
    let elsewhere = thread::scope(|scope| scope.spawn(passes).join().unwrap());
    assert_eq!([elsewhere, passes(), passes()], [true, true, false]);
    let chain = it.chains.load();
    let disturbance = chain.disturb(&request(), None, chain.deadline()).unwrap();
    assert!(disturbance.remember);
    assert_eq!(
        disturbance.plans.dice(|| u64::MAX),
        Some(&Fault::Delay(Duration::from_millis(5)))
    );
    let instances = crate::hot_hooks::instances(3);
    let shown: Vec<_> = instances.iter().collect();
    let left = chain.deadline();
    let selected = chain.select(&request(), None, &Instances(&shown), left);
    assert_eq!(selected, Ok(Selection::Among(vec![1])));
    it.chains.tell(Happening::DrainEnded);
    until("audit was told", || {
        let labels = [("plugin", "audit"), ("outcome", "done")];
        it.metric("jackfield_plugin_calls_total", &labels) >= 1.0
    });
}

/// A plugin with hooks of both kinds.
#[tokio::test]
async fn the_embedded_jwt_claims_guards_both_doors() {
    if !builtin_names().any(|name| name == "jwt-claims") {
        eprintln!("SKIPPED: no plugin is embedded; run scripts/setup-wasm.sh and build again");
        return;
    }
    let mut it = Fixture::new();
    let config = it.plugin("jwt-claims", &Guest::new());
    config.source = Source::Builtin("jwt-claims".into());
    config.settings = json!({ "keys": [KEY], "require": ["role:admin"] });
    config.memory = 16 << 20;
    it.load().unwrap();
    let chain = it.chains.current();
    let unknown = chain.authenticate(Applicant::default()).await;
    assert_eq!(unknown, Admitted::Unknown);
    let guess = Applicant {
        credentials: vec![Credential::Bearer("a.b.c".into())],
        ..Applicant::default()
    };
    let refused = chain.authenticate(guess).await;
    assert!(matches!(refused, Admitted::Refused(_)), "{refused:?}");
    let decision = it.ask();
    assert!(matches!(decision.verdict, Verdict::Refuse { .. }) && decision.remember);
}

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECcgQ5U3wI1jlIKElptQW+wML0UUM\ngCjJYomI9cRi+rW6tioe4XyMPz460u93xqFmDtZ4XaiMW1JvojZ1txPGNQ==\n-----END PUBLIC KEY-----\n";
