//! Chains of the hooks `endpoint-selector` and `chaos`: order, `match`, failure policy, what may be remembered, and what
//! `kv` keeps over a reload.

use std::{sync::Arc, thread, time::Duration};

use jackfield::{
    chain::{Chain, FailurePolicy, Fault, Instances, Rewrite, Selection, Verdict},
    directory::{App, Directory, Instance},
};

use crate::{Fixture, guests::Guest, pattern, request};

fn app(uuid: &str) -> App {
    App {
        uuid: uuid.into(),
        name: "orders".into(),
        ip: "127.0.0.1".into(),
        remote: None,
        transport: "memory",
        sdk: None,
        power: 1,
        metadata: Default::default(),
        connected_at_ms: 0,
        owner: None,
        client: Default::default(),
    }
}

pub(crate) fn instances(count: usize) -> Vec<Arc<Instance<()>>> {
    let directory = Directory::default();
    let register = |n| directory.register(app(&format!("u-{n}")), Vec::new(), ());
    (0..count).map(|n| register(n).unwrap().instance).collect()
}

/// Selects this.
fn selects(words: &[u32]) -> Guest {
    Guest::without_hooks()
        .words(4096, &[1, 0])
        .words(2304, words)
        .select("(i32.const 2304)")
}

const FAILS: &str = "(unreachable)";

fn select(chain: &Chain, count: usize) -> Result<Selection, Arc<str>> {
    let instances = instances(count);
    let shown: Vec<_> = instances.iter().collect();
    let (request, left) = (request(), chain.deadline());
    chain.select(&request, None, &Instances(&shown), left)
}

#[test]
fn the_first_selector_with_an_opinion_decides() {
    let mut it = Fixture::new();
    it.plugin("none", &selects(&[0]));
    it.plugin("other", &selects(&[3, 0])).matches = pattern("com.other.*");
    it.plugin("ranks", &selects(&[2, 4096, 2]));
    it.plugin("late", &selects(&[3, 0]));
    it.load().unwrap();
    let chain = it.chains.load();
    assert_eq!(select(&chain, 2), Ok(Selection::Ranking(vec![1, 0])));
    assert!(chain.selects("com.example.User") && chain.selects("com.other.User"));
    assert!(!chain.concerns("com.example.User"), "no routing filter");
    assert!(!chain.disturbs("com.example.User"), "no chaos");
    let calls = |plugin, outcome| {
        let labels = [
            ("plugin", plugin),
            ("hook", "endpoint-selector"),
            ("outcome", outcome),
        ];
        it.metric("jackfield_plugin_calls_total", &labels)
    };
    assert_eq!(
        (calls("none", "pass"), calls("ranks", "select")),
        (1.0, 1.0)
    );
    assert_eq!(
        (calls("other", "select"), calls("late", "select")),
        (0.0, 0.0)
    );
}

#[test]
fn with_nothing_to_choose_nobody_is_asked() {
    let mut it = Fixture::new();
    it.plugin("fails", &Guest::without_hooks().select(FAILS))
        .on_failure = Some(FailurePolicy::Closed);
    it.load().unwrap();
    let chain = it.chains.load();
    for count in [0, 1, 1025] {
        assert_eq!(select(&chain, count), Ok(Selection::Any));
    }
    assert_eq!(select(&chain, 2), Err("fails".into()));
}

#[test]
fn an_adviser_that_fails_is_gone_without_and_a_guard_is_not() {
    let mut it = Fixture::new();
    let guest = Guest::new().on_request(FAILS).select(FAILS).disturb(FAILS);
    it.plugin("fails", &guest);
    it.load().unwrap();
    let chain = it.chains.load();
    assert!(matches!(it.ask().verdict, Verdict::Failed { .. }));
    assert_eq!(select(&chain, 2), Ok(Selection::Any));
    let disturbance = chain.disturb(&request(), None, chain.deadline()).unwrap();
    assert!(disturbance.plans.is_empty() && !disturbance.remember);
    // One plugin, one circuit: five failures, whatever the hook.
    for _ in 0..2 {
        assert!(it.ask_about(&request()).remember.eq(&false));
    }
    let calls = |outcome| {
        let labels = [
            ("plugin", "fails"),
            ("hook", "routing-filter"),
            ("outcome", outcome),
        ];
        it.metric("jackfield_plugin_calls_total", &labels)
    };
    assert_eq!(calls("trap"), 3.0);
    let _ = it.ask();
    assert_eq!(calls("circuit_open"), 1.0);
}

/// Delays so much of 10000 requests by so many milliseconds.
fn delays(weight: u32, ms: u32, remember: bool) -> Guest {
    Guest::without_hooks()
        .words(8192, &[weight, 0, ms, 0, 0, 0])
        .words(2304, &[8192, 1, remember.into()])
        .disturb("(i32.const 2304)")
}

#[test]
fn faults_are_diced_by_the_host_and_may_be_remembered_together() {
    let mut it = Fixture::new();
    it.plugin("rare", &delays(1_000, 1, true));
    it.plugin("always", &delays(10_000, 2, true));
    it.load().unwrap();
    let chain = it.chains.load();
    let disturb = || chain.disturb(&request(), None, chain.deadline()).unwrap();
    let disturbance = disturb();
    assert!(disturbance.remember && disturbance.left <= chain.deadline());
    let dice = |point: u64| {
        let fault = disturbance.plans.dice(|| point);
        let Some(Fault::Delay(delay)) = fault else {
            panic!("{fault:?}")
        };
        delay.as_millis()
    };
    assert_eq!((dice(0), dice(u64::MAX)), (1, 2));
    it.plugin("forgets", &delays(0, 3, false));
    it.load().unwrap();
    let chain = it.chains.load();
    let disturbance = chain.disturb(&request(), None, chain.deadline()).unwrap();
    assert!(!disturbance.remember);
}

#[test]
fn later_hooks_see_the_route_as_the_filters_left_it() {
    // Delays by the length of the version.
    let guest = Guest::without_hooks()
        .import("request", "version", "get", "(param i32)")
        .words(8192, &[10_000, 0, 0, 0, 0, 0])
        .words(2304, &[8192, 1, 1])
        .disturb(
            "(call $get (i32.const 3000))
            (i32.store (i32.const 8200) (i32.load (i32.const 3004)))
            (i32.const 2304)",
        );
    let mut it = Fixture::new();
    it.plugin("tells", &guest).matches = pattern("com.example.Moved");
    it.load().unwrap();
    let chain = it.chains.load();
    let change = Arc::new(Rewrite {
        service: Some("com.example.Moved".into()),
        version: Some("three".into()),
        ..Rewrite::default()
    });
    let disturb = |change| {
        let disturbance = chain.disturb(&request(), change, chain.deadline()).unwrap();
        disturbance.plans.dice(|| 0).cloned()
    };
    assert_eq!(disturb(None), None, "another service");
    assert_eq!(
        disturb(Some(&change)),
        Some(Fault::Delay(Duration::from_millis(5)))
    );
}

#[test]
fn without_time_left_nobody_is_asked() {
    let mut it = Fixture::new();
    it.plugin("delays", &delays(10_000, 1, true));
    it.load().unwrap();
    let chain = it.chains.load();
    let disturbance = chain.disturb(&request(), None, Duration::ZERO).unwrap();
    assert!(disturbance.plans.is_empty() && !disturbance.remember);
}

/// Refuses with 0x1000 and the number of calls that `kv` has counted.
fn counts() -> Guest {
    Guest::new()
        .include("with-kv")
        .import("kv", "increment", "add", "(param i32 i32 i64 i64 i32)")
        .data(4096, b"n")
        .on_request(
            "(call $add (i32.const 4096) (i32.const 1) (i64.const 1) (i64.const 0) (i32.const 3000))
            (i32.store8 (i32.const 2048) (i32.const 3))
            (i32.store (i32.const 2052) (i32.add (i32.const 0x1000) (i32.load (i32.const 3008))))
            (i32.const 2048)",
        )
}

#[test]
fn what_is_in_kv_is_shared_by_threads_and_outlives_reloads() {
    let mut it = Fixture::new();
    it.plugin("counts", &counts());
    it.load().unwrap();
    let count = || {
        let decision = it.ask();
        let Verdict::Refuse { code, .. } = decision.verdict else {
            panic!("{decision:?}")
        };
        assert!(!decision.remember);
        code - 0x1000
    };
    let elsewhere = || thread::scope(|scope| scope.spawn(count).join().unwrap());
    assert_eq!((count(), elsewhere(), count()), (1, 2, 3));
    it.load().unwrap();
    assert_eq!(elsewhere(), 4);
    // A plugin that is taken out of the configuration has nothing left when it comes back.
    let plugins = std::mem::take(&mut it.config.plugins);
    it.load().unwrap();
    it.config.plugins = plugins;
    it.load().unwrap();
    let decision = it.ask();
    assert!(
        matches!(decision.verdict, Verdict::Refuse { code: 0x1001, .. }),
        "{decision:?}"
    );
}
