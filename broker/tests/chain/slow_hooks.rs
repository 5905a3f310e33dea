//! Hooks that may wait, through a chain: who decides, what happens when they are slow, full or broken, and who is told
//! what.

use std::{sync::Arc, time::Duration};

use jackfield::chain::{Admitted, Applicant, FailurePolicy, Happening, PluginState};

use crate::{Fixture, guests::Guest, until};

/// The body of `authenticate`, which leaves the address of an outcome.
fn authenticates(body: &str) -> Guest {
    let words = "(param i32) ".repeat(15);
    let signature = format!("(param $app i32) {words}(result i32)");
    Guest::without_hooks()
        .pages(2)
        .hook("with-authenticator", "authenticate", &signature, body)
}

/// Lets everybody in under this name.
fn admits(name: &str) -> Guest {
    authenticates("(i32.const 3072)")
        .data(4096, name.as_bytes())
        .words(3072, &[1, 0, 4096, name.len() as u32, 0, 0, 0, 0, 0, 0])
}

const SPINS: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

async fn ask(it: &Fixture) -> Admitted {
    let chain = it.chains.current();
    chain.authenticate(Applicant::default()).await
}

fn calls(it: &Fixture, plugin: &str, hook: &str, outcome: &str) -> f64 {
    let labels = [("plugin", plugin), ("hook", hook), ("outcome", outcome)];
    it.metric("jackfield_plugin_calls_total", &labels)
}

#[tokio::test]
async fn the_first_authenticator_with_an_opinion_decides() {
    let mut it = Fixture::new();
    assert!(!it.chains.load().authenticates());
    assert_eq!(ask(&it).await, Admitted::Unknown);
    it.plugin("abstains", &authenticates("(i32.const 3072)"));
    it.load().unwrap();
    assert_eq!(ask(&it).await, Admitted::Unknown);
    it.plugin("admits", &admits("shop"));
    it.plugin("late", &admits("other"));
    it.load().unwrap();
    assert!(it.chains.load().authenticates() && !it.chains.load().concerns("any"));
    let admitted = ask(&it).await;
    assert!(
        matches!(&admitted, Admitted::As(principal) if principal.name == "shop"),
        "{admitted:?}"
    );
    let of = |plugin, outcome| calls(&it, plugin, "authenticator", outcome);
    assert_eq!((of("abstains", "pass"), of("admits", "admit")), (2.0, 1.0));
    assert_eq!(of("late", "admit"), 0.0);
    assert!(it.chains.views()[1].memory >= 131_072);
}

#[tokio::test]
async fn settings_are_refused_before_anything_changes() {
    let mut it = Fixture::new();
    let guest = admits("shop")
        .data(5000, b"no such issuer")
        .words(1024, &[1, 5000, 14]);
    it.plugin("refuses", &guest);
    let errors = it.load().unwrap_err().to_string();
    assert!(
        errors.contains("refuses its settings: no such issuer"),
        "{errors}"
    );
    assert_eq!(it.chains.generation(), 0);
}

#[tokio::test]
async fn a_guard_that_fails_refuses_until_a_probe_passes() {
    let mut it = Fixture::new();
    // Traps at the second call of each instance, so a probe passes.
    let guest = authenticates(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.eq (global.get $calls) (i32.const 2)) (then (unreachable)))
        (i32.const 3072)",
    )
    .functions("(global $calls (mut i32) (i32.const 0))");
    it.plugin("tires", &guest);
    it.load().unwrap();
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(ask(&it).await == Admitted::Failed("tires".into()));
    }
    assert_eq!(failed, 5);
    assert_eq!(ask(&it).await, Admitted::Failed("tires".into()));
    until("a probe closes the circuit", || {
        it.chains.views()[0].state == PluginState::Live
    });
    assert_eq!(ask(&it).await, Admitted::Unknown);
}

#[tokio::test]
async fn who_takes_too_long_is_given_up_and_replaced() {
    let mut it = Fixture::new();
    let guest = authenticates(&format!(
        "(if (i64.eqz (call $once (i32.const 4096))) (then {SPINS})) (i32.const 3072)"
    ))
    .include("with-kv")
    .import("kv", "increment", "add", "(param i32 i32 i64 i64 i32)")
    .data(4096, b"n")
    // How often it was called before, over all instances.
    .functions(
        "(func $once (param i32) (result i64)
            (call $add (local.get 0) (i32.const 1) (i64.const 1) (i64.const 0) (i32.const 3000))
            (i64.sub (i64.load (i32.const 3008)) (i64.const 1)))",
    );
    let config = it.plugin("slow", &guest);
    config.deadline = Duration::from_secs(60);
    config.slow.timeout = Duration::from_millis(50);
    config.on_failure = Some(FailurePolicy::Open);
    it.load().unwrap();
    assert_eq!(ask(&it).await, Admitted::Unknown);
    assert_eq!(calls(&it, "slow", "authenticator", "timeout"), 1.0);
    it.config.plugins[0].slow.timeout = Duration::from_secs(20);
    assert_eq!(ask(&it).await, Admitted::Unknown);
    assert_eq!(calls(&it, "slow", "authenticator", "pass"), 1.0);
}

#[tokio::test]
async fn a_full_queue_is_an_answer() {
    let mut it = Fixture::new();
    let config = it.plugin("full", &authenticates(SPINS));
    config.deadline = Duration::from_secs(60);
    config.slow.timeout = Duration::from_millis(200);
    config.slow.queue = 1;
    it.load().unwrap();
    let chain = it.chains.current();
    let ask = || {
        let chain = Arc::clone(&chain);
        tokio::spawn(async move { chain.authenticate(Applicant::default()).await })
    };
    let asked: Vec<_> = (0..5).map(|_| ask()).collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Admitted::Failed("full".into()));
    }
    let of = |outcome| calls(&it, "full", "authenticator", outcome);
    // One runs, one waits, unless the first was not yet taken from the queue.
    assert!(of("queue_full") >= 3.0, "{}", of("queue_full"));
    assert_eq!(of("queue_full") + of("timeout"), 5.0);
}

#[tokio::test]
async fn what_happens_is_told_in_order_and_what_is_lost_is_counted() {
    let mut it = Fixture::new();
    // Counts events and what was dropped.
    let guest = Guest::without_hooks()
        .pages(8)
        .include("with-metrics")
        .import(
            "metrics",
            "counter",
            "counter",
            "(param i32 i32) (result i32)",
        )
        .import("metrics", "add", "add", "(param i32 i64)")
        .data(4096, b"seen")
        .data(4100, b"lost")
        .configure(
            "(drop (call $counter (i32.const 4096) (i32.const 4)))
            (drop (call $counter (i32.const 4100) (i32.const 4)))
            (i32.const 1024)",
        )
        .hook(
            "with-events",
            "on-events",
            "(param $events i32) (param $len i32) (param $dropped i64)",
            "(global.set $heap (i32.const 16384))
            (call $add (i32.const 1) (i64.extend_i32_u (local.get $len)))
            (call $add (i32.const 2) (local.get $dropped))",
        );
    it.plugin("audit", &guest);
    it.load().unwrap();
    let count = |name| {
        let labels = [("plugin", "audit"), ("name", name)];
        it.metric("jackfield_plugin_counter_total", &labels)
    };
    until("its own coming is told", || count("seen") == 1.0);
    let before = 1.0;
    for _ in 0..20_000 {
        it.chains.tell(Happening::DrainEnded);
    }
    let dropped = || {
        let labels = [("plugin", "audit")];
        it.metric("jackfield_plugin_events_dropped_total", &labels)
    };
    until("everything was told or counted", || {
        count("seen") - before + dropped() == 20_000.0
    });
    assert!(count("seen") - before >= 1_024.0);
    it.chains.tell(Happening::DrainEnded);
    until("what was lost was told", || count("lost") == dropped());
}
