//! What operators do to plugins: it holds over the configuration, survives restarts, and can be undone.

use std::{fs, sync::Arc};

use jackfield::chain::{
    Beside, Chains, CompileWith, Digest, GuestCalls, Loader, Mode, NewVersion, OperationError,
    Operations, PluginState, Request, Source, Verdict,
};
use prometheus::Registry;

use crate::{Fixture, guests::Guest, refuses, request, until};

fn operations(it: &Fixture) -> Operations {
    Operations::new(Arc::clone(&it.loader))
}

fn component(text: &str) -> NewVersion {
    NewVersion::Component(refuses(text).component().into())
}

fn digest(text: &str) -> String {
    Digest::of(&refuses(text).component()).to_string()
}

/// What the plugin says on this connection.
fn says_on(it: &Fixture, link: u64) -> String {
    let decision = it.ask_about(&Request { link, ..request() });
    match decision.verdict {
        Verdict::Refuse { text, .. } => text,
        Verdict::Pass => "pass".into(),
        other => format!("{other:?}"),
    }
}

fn says(it: &Fixture) -> String {
    says_on(it, 7)
}

/// A fixture whose plugin says "one".
fn one() -> Fixture {
    let mut it = Fixture::new();
    it.plugin("it", &refuses("one"));
    it.load().unwrap();
    assert_eq!(says(&it), "one");
    it
}

/// The same configuration and data directory in a new process.
fn restarted(it: Fixture) -> Fixture {
    let registry = Registry::new();
    let chains = Arc::new(Chains::new(&registry).unwrap());
    let host = Arc::new(GuestCalls::new(&registry).unwrap());
    let loader = Loader::new(Arc::clone(&chains), 2, CompileWith::Here, host);
    let it = Fixture {
        registry,
        chains,
        loader: Arc::new(loader),
        ..it
    };
    it.load().unwrap();
    it
}

#[test]
fn a_loaded_version_survives_reload_and_restart_until_it_is_reset() {
    let it = one();
    let ops = operations(&it);
    ops.load("it", component("two"), None, "ada").unwrap();
    assert_eq!(says(&it), "two");
    it.load().unwrap();
    assert_eq!(says(&it), "two");
    let it = restarted(it);
    assert_eq!(says(&it), "two");
    let view = &it.chains.views()[0];
    let held = view.overridden.as_ref().unwrap();
    assert!(held.who == "ada" && held.at_ms > 0);
    assert_eq!(view.versions, [digest("one"), digest("two")]);
    operations(&it).reset("it", "bob").unwrap();
    assert_eq!(says(&it), "one");
    assert!(it.chains.views()[0].overridden.is_none());
}

#[test]
fn rollback_needs_no_file() {
    let it = one();
    let ops = operations(&it);
    ops.load("it", component("two"), None, "ada").unwrap();
    ops.load("it", component("three"), None, "ada").unwrap();
    fs::remove_file(it.dir.path().join("it.wasm")).unwrap();
    ops.rollback("it", None, "ada").unwrap();
    assert_eq!(says(&it), "two");
    ops.rollback("it", Some(&digest("one")), "ada").unwrap();
    assert_eq!(says(&it), "one");
    let unknown = ops.rollback("it", Some(&"00".repeat(32)), "ada");
    assert!(matches!(unknown, Err(OperationError::Load(_))));
    assert_eq!(says(&it), "one");
}

#[test]
fn what_does_not_load_changes_neither_chain_nor_disk() {
    let it = one();
    let ops = operations(&it);
    let bad = Guest::new().configure("(unreachable)").component();
    let generation = it.chains.generation();
    let refused = ops.load("it", NewVersion::Component(bad.into()), None, "ada");
    assert!(matches!(refused, Err(OperationError::Load(_))));
    let nonsense = ops.load(
        "it",
        NewVersion::Component(b"x".to_vec().into()),
        None,
        "ada",
    );
    assert!(matches!(nonsense, Err(OperationError::Load(_))));
    assert_eq!(
        (says(&it), it.chains.generation()),
        ("one".into(), generation)
    );
    let it = restarted(it);
    assert_eq!(says(&it), "one");
    for result in [
        operations(&it).disable("other", "ada"),
        operations(&it).promote("it", "ada"),
        operations(&it).rollback("it", None, "ada"),
    ] {
        assert!(result.is_err());
    }
}

#[test]
fn a_pin_holds_against_operators_too() {
    let mut it = one();
    let bytes = refuses("one").component();
    it.config.plugins[0].sha256 = Some(*Digest::of(&bytes).as_bytes());
    it.load().unwrap();
    let error = operations(&it)
        .load("it", component("two"), None, "ada")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the configuration pins"), "{error}");
    assert_eq!(says(&it), "one");
}

#[test]
fn what_operators_loaded_needs_no_file_after_a_restart() {
    let it = one();
    let ops = operations(&it);
    ops.load("it", component("two"), None, "ada").unwrap();
    let Source::File(file) = &it.config.plugins[0].source else {
        panic!("a file");
    };
    fs::remove_file(file).unwrap();
    assert_eq!(says(&restarted(it)), "two");
}

#[test]
fn a_pin_that_comes_later_takes_back_what_operators_loaded() {
    let mut it = one();
    let ops = operations(&it);
    ops.load("it", component("two"), None, "ada").unwrap();
    ops.load("it", component("three"), Some(Beside::Shadow), "ada")
        .unwrap();
    it.config.plugins[0].sha256 = Some(*Digest::of(&refuses("one").component()).as_bytes());
    it.loader.check(&it.config).unwrap();
    assert_eq!(says(&it), "two", "a check changes nothing");
    let it = restarted(it);
    assert_eq!(says(&it), "one");
    let view = &it.chains.views()[0];
    assert!(view.overridden.is_none() && view.trial.is_none());
    // The pinned version itself may be an operator's.
    let mut it = one();
    let ops = operations(&it);
    ops.load("it", component("two"), None, "ada").unwrap();
    it.config.plugins[0].sha256 = Some(*Digest::of(&refuses("two").component()).as_bytes());
    it.load().unwrap();
    assert_eq!(says(&it), "two");
}

#[test]
fn a_plugin_that_must_be_signed_is_loaded_with_its_signature_only() {
    const KEY: &str = "RWR43Ki4IEZ0XRzJwT4ePNyRYfxo28kWuc+2+WUWuQTOxdY6qbK8H6Sh";
    let signed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/plugin-host/tests/frozen/0.1.0/canary.wasm"
    );
    let mut it = one();
    let plugin = &mut it.config.plugins[0];
    plugin.signed_by = Some(KEY.into());
    plugin.memory = 16 << 20;
    plugin.settings = serde_json::json!({ "percent": 10, "version": "2" });
    let text = it.load().unwrap_err().to_string();
    assert!(text.contains("is not signed as `signed-by` asks"), "{text}");

    // What operators bring in must be signed too, and stays signed when it is brought back.
    it.config.plugins[0].source = Source::File(signed.into());
    it.load().unwrap();
    let ops = operations(&it);
    let refused = ops
        .load("it", component("unsigned"), None, "ada")
        .unwrap_err();
    assert!(refused.to_string().contains("is not signed"), "{refused}");
    let version = NewVersion::read(signed.as_ref()).unwrap();
    ops.load("it", version, None, "ada").unwrap();
    restarted(it).load().unwrap();
}

#[test]
fn off_is_off_until_it_is_on() {
    let it = one();
    let ops = operations(&it);
    ops.disable("it", "ada").unwrap();
    assert_eq!(says(&it), "pass");
    let it = restarted(it);
    assert_eq!(says(&it), "pass");
    let view = &it.chains.views()[0];
    assert!(view.state == PluginState::Off && view.overridden.as_ref().unwrap().off);
    operations(&it).enable("it", "ada").unwrap();
    assert_eq!(says(&it), "one");
}

#[test]
fn a_connection_keeps_its_version() {
    let it = one();
    let ops = operations(&it);
    let share = Some(Beside::Share(3_000));
    ops.load("it", component("two"), share, "ada").unwrap();
    let on_trial: Vec<u64> = (0..1_000).filter(|&n| says_on(&it, n) == "two").collect();
    assert!((240..360).contains(&on_trial.len()), "{}", on_trial.len());
    assert!(on_trial.iter().all(|&link| says_on(&it, link) == "two"));
    let trial = it.chains.views()[0].trial.clone().unwrap();
    assert_eq!((trial.digest, trial.share), (digest("two"), Some(3_000)));
    ops.promote("it", "ada").unwrap();
    assert!((0..100).all(|link| says_on(&it, link) == "two"));
    assert!(it.chains.views()[0].trial.is_none());
    ops.rollback("it", None, "ada").unwrap();
    assert_eq!(says(&it), "one");
}

#[test]
fn a_trial_that_fails_is_gone_without() {
    let it = one();
    let bad = Guest::new().on_request("(unreachable)");
    let bad = NewVersion::Component(bad.component().into());
    let all = Some(Beside::Share(10_000));
    operations(&it).load("it", bad, all, "ada").unwrap();
    let answers: Vec<String> = (0..10).map(|link| says_on(&it, link)).collect();
    let failed = answers.iter().filter(|it| it.starts_with("Failed")).count();
    assert_eq!(failed, 5, "{answers:?}");
    assert_eq!(answers[9], "one");
    assert!(it.chains.views()[0].trial.as_ref().unwrap().open);
}

#[test]
fn a_shadow_is_compared_and_has_no_effect() {
    let it = one();
    let ops = operations(&it);
    let results = || {
        ["same", "different", "failed"].map(|result| {
            let labels = [("plugin", "it"), ("result", result)];
            it.metric("jackfield_plugin_shadow_total", &labels)
        })
    };
    let shadow = Some(Beside::Shadow);
    ops.load("it", component("two"), shadow, "ada").unwrap();
    assert_eq!((says(&it), says(&it)), ("one".into(), "one".into()));
    assert_eq!(results(), [0.0, 2.0, 0.0]);
    ops.load("it", component("one"), shadow, "ada").unwrap();
    assert_eq!(says(&it), "one");
    assert_eq!(results(), [1.0, 2.0, 0.0]);
    let bad = Guest::new().on_request("(unreachable)");
    let bad = NewVersion::Component(bad.component().into());
    ops.load("it", bad, shadow, "ada").unwrap();
    assert_eq!(says(&it), "one");
    assert_eq!(results(), [1.0, 2.0, 1.0]);
}

#[test]
fn a_plugin_may_be_in_the_shadow_as_a_whole() {
    let mut it = Fixture::new();
    it.plugin("it", &refuses("one")).mode = Mode::Shadow;
    it.load().unwrap();
    assert_eq!(says(&it), "pass");
    let labels = [("plugin", "it"), ("outcome", "refuse")];
    assert_eq!(it.metric("jackfield_plugin_calls_total", &labels), 1.0);
    assert_eq!(it.chains.views()[0].state, PluginState::Shadow);
}

#[test]
fn a_promoted_version_that_fails_is_taken_back_by_itself() {
    let it = one();
    let ops = operations(&it);
    let bad = Guest::new().on_request("(unreachable)");
    let bad = NewVersion::Component(bad.component().into());
    ops.load("it", bad, Some(Beside::Shadow), "ada").unwrap();
    ops.promote("it", "ada").unwrap();
    let _watcher = it.watch();
    for _ in 0..5 {
        assert!(says(&it).starts_with("Failed"));
    }
    until("the broker goes back", || says(&it) == "one");
    let view = &it.chains.views()[0];
    assert_eq!(view.overridden.as_ref().unwrap().who, "the broker");
    assert_eq!(view.state, PluginState::Live);
}
