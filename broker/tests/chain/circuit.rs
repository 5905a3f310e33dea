//! A plugin that keeps failing is left alone until a probe passes.

use jackfield::chain::{FailurePolicy, PluginState, Verdict};

use crate::{Fixture, guests::Guest, until};

const CALLS: &str = "jackfield_plugin_calls_total";

#[test]
fn three_kills_open_it_and_nothing_is_called_any_more() {
    let mut it = Fixture::new();
    it.plugin(
        "spins",
        &Guest::new().on_request("(loop $l (br $l)) (unreachable)"),
    )
    .on_failure = Some(FailurePolicy::Open);
    it.load().unwrap();
    for _ in 0..50 {
        assert!(matches!(it.ask().verdict, Verdict::Pass));
    }
    let count = |outcome| it.metric(CALLS, &[("plugin", "spins"), ("outcome", outcome)]);
    assert_eq!((count("deadline"), count("circuit_open")), (3.0, 47.0));
    assert_eq!(it.chains.views()[0].state, PluginState::Open);
    let state = |state| {
        it.metric(
            "jackfield_plugin_state",
            &[("plugin", "spins"), ("state", state)],
        )
    };
    assert_eq!((state("open"), state("live")), (1.0, 0.0));
    // Probes of a plugin that still spins do not close it.
    until("two probes have failed", || {
        it.chains.views()[0]
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("CPU time"))
    });
    assert_eq!(it.chains.views()[0].state, PluginState::Open);
    // A reload begins with a clean sheet.
    it.load().unwrap();
    assert_eq!(it.chains.views()[0].state, PluginState::Live);
}

/// Fails at the second call of each instance, so a probe, which has an instance of its own, passes.
#[test]
fn five_traps_open_it_and_a_probe_closes_it() {
    let mut it = Fixture::new();
    let guest = Guest::new()
        .functions("(global $calls (mut i32) (i32.const 0))")
        .on_request(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.eq (global.get $calls) (i32.const 2)) (then (unreachable)))
        (i32.const 2048)",
        );
    it.plugin("tires", &guest);
    it.load().unwrap();
    let failed = (0..10)
        .filter(|_| matches!(it.ask().verdict, Verdict::Failed { .. }))
        .count();
    assert_eq!(failed, 5);
    assert!(
        matches!(it.ask().verdict, Verdict::Failed { .. }),
        "open, and the policy is closed"
    );
    assert_eq!(
        it.metric(CALLS, &[("plugin", "tires"), ("outcome", "trap")]),
        5.0
    );
    until("a probe closes the circuit", || {
        it.chains.views()[0].state == PluginState::Live
    });
    assert!(matches!(it.ask().verdict, Verdict::Pass));
}
