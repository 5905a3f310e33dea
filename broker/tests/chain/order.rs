//! How several plugins make one decision.

use jackfield::chain::{FailurePolicy, Mode, PluginState, Request, Source, Verdict};

use crate::{
    Fixture, guests::Guest, pattern, refuses, request, rewrites_service, rewrites_version, splits,
    tells_version,
};

fn refusal(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refuse { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chain_without_plugins_concerns_nobody() {
    let it = Fixture::new();
    let chain = it.chains.load();
    assert!(chain.is_empty() && !chain.concerns("any"));
    assert_eq!(chain.generation(), 0);
    let decision = chain.on_request(&request());
    assert!(matches!(decision.verdict, Verdict::Pass) && decision.remember);
}

#[test]
fn the_first_refusal_wins_and_order_decides_which_is_first() {
    let mut it = Fixture::new();
    it.plugin("late", &refuses("late")).order = 20;
    it.plugin("early", &refuses("early")).order = 10;
    it.load().unwrap();
    assert_eq!(refusal(it.ask().verdict), "early");
    let names: Vec<_> = it
        .chains
        .views()
        .into_iter()
        .map(|view| view.name)
        .collect();
    assert_eq!(names, ["early", "late"]);
}

#[test]
fn a_plugin_is_asked_only_about_what_matches() {
    let mut it = Fixture::new();
    it.plugin("users", &refuses("no")).matches = pattern("com.example.*");
    it.load().unwrap();
    let chain = it.chains.load();
    assert!(chain.concerns("com.example.User") && !chain.concerns("org.other"));
    let other = chain.on_request(&Request {
        service: "org.other",
        ..request()
    });
    assert!(matches!(other.verdict, Verdict::Pass));
    assert_eq!(it.chains.views()[0].calls, 0);
}

#[test]
fn the_next_plugin_sees_the_rewritten_route() {
    let mut it = Fixture::new();
    it.plugin("rewrites", &rewrites_version("2"));
    it.plugin("tells", &tells_version());
    it.load().unwrap();
    let decision = it.ask();
    assert_eq!(refusal(decision.verdict), "2");
    assert!(decision.remember);
}

#[test]
fn rewrites_add_up_and_matching_follows_them() {
    let mut it = Fixture::new();
    it.plugin("moves", &rewrites_service("org.other")).matches = pattern("com.*");
    it.plugin("not-asked", &refuses("no")).matches = pattern("com.*");
    it.plugin("version", &rewrites_version("3")).matches = pattern("org.*");
    it.load().unwrap();
    let Verdict::Rewrite(rewrite) = it.ask().verdict else {
        panic!()
    };
    assert_eq!(rewrite.service.as_deref(), Some("org.other"));
    assert_eq!(rewrite.version.as_deref(), Some("3"));
}

#[test]
fn a_last_split_is_left_to_the_caller() {
    let mut it = Fixture::new();
    it.plugin("moves", &rewrites_service("org.other"));
    it.plugin("splits", &splits(3_000, "2"));
    it.plugin("elsewhere", &refuses("no")).matches = pattern("com.*");
    it.load().unwrap();
    let decision = it.ask();
    assert!(decision.remember);
    let Verdict::Split(split) = decision.verdict else {
        panic!()
    };
    let (share, rest) = (split.dice(0).unwrap(), split.dice(u64::MAX).unwrap());
    assert_eq!(share.version.as_deref(), Some("2"));
    assert_eq!(
        (rest.version.as_deref(), rest.service.as_deref()),
        (None, Some("org.other"))
    );
}

#[test]
fn a_split_before_others_is_diced_here_and_not_remembered() {
    let mut it = Fixture::new();
    it.plugin("splits", &splits(3_000, "2"));
    it.plugin("tells", &tells_version());
    it.load().unwrap();
    let mut second = 0;
    for _ in 0..2_000 {
        let decision = it.ask();
        assert!(!decision.remember);
        match &*refusal(decision.verdict) {
            "2" => second += 1,
            other => assert_eq!(other, "1"),
        }
    }
    assert!(
        (500..700).contains(&second),
        "{second} of 2000 are not 30 percent"
    );
}

#[test]
fn policies_answer_for_a_plugin_that_fails() {
    let mut it = Fixture::new();
    it.plugin("fails", &Guest::new().on_request("(unreachable)"));
    it.plugin("after", &rewrites_version("2"));
    it.load().unwrap();
    let decision = it.ask();
    assert!(matches!(&decision.verdict, Verdict::Failed { plugin } if &**plugin == "fails"));
    assert!(!decision.remember);
    it.config.plugins[0].on_failure = Some(FailurePolicy::Open);
    it.load().unwrap();
    let decision = it.ask();
    assert!(matches!(decision.verdict, Verdict::Rewrite(_)) && !decision.remember);
    assert!(
        it.chains.views()[0]
            .last_error
            .as_deref()
            .unwrap()
            .contains("unreachable")
    );
}

#[test]
fn the_chains_deadline_is_shared() {
    let spins = Guest::new().on_request("(loop $l (br $l)) (unreachable)");
    let mut it = Fixture::new();
    it.config.deadline = std::time::Duration::from_millis(2);
    for name in ["first", "second"] {
        it.plugin(name, &spins).on_failure = Some(FailurePolicy::Open);
    }
    it.load().unwrap();
    for _ in 0..5 {
        assert!(matches!(it.ask().verdict, Verdict::Pass));
    }
    for name in ["first", "second"] {
        let labels = [("plugin", name), ("outcome", "chain_deadline")];
        assert_eq!(
            it.metric("jackfield_plugin_calls_total", &labels),
            5.0,
            "{name}"
        );
    }
    assert!(
        it.chains
            .views()
            .iter()
            .all(|view| view.state == PluginState::Live)
    );
}

#[test]
fn a_plugin_that_is_off_is_seen_but_not_asked() {
    let mut it = Fixture::new();
    let off = it.plugin("off", &refuses("no"));
    off.mode = Mode::Off;
    off.source = Source::File("does/not/exist.wasm".into());
    it.load().unwrap();
    assert!(it.chains.load().is_empty());
    assert!(matches!(it.ask().verdict, Verdict::Pass));
    let view = &it.chains.views()[0];
    assert_eq!(
        (view.state, &*view.source),
        (PluginState::Off, "does/not/exist.wasm")
    );
}
