//! The same evils in every hook: each call ends with a clear error, costs its instance, and nothing else.

use std::time::{Duration, SystemTime};

use jackfield_plugin_host::{App, Applicant, Event, Format, Happening, PluginError, Scrape};

use crate::{
    guests::Guest,
    host::{Zones, load},
    slow_hooks::start,
};

/// The body of a function that never returns in order, and what the host must say.
const EVILS: [(&str, &str, &str); 5] = [
    ("(unreachable)", "trap", "unreachable"),
    (
        "(loop $for_ever (br $for_ever)) (unreachable)",
        "deadline",
        "CPU time",
    ),
    (
        "(drop (call $recurse (i32.const 0))) (unreachable)",
        "trap",
        "stack",
    ),
    (
        "(loop $more
            (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (unreachable)))
            (br $more))
        (unreachable)",
        "memory",
        "raise `memory`",
    ),
    (
        "(drop (i32.load (i32.const -8))) (unreachable)",
        "trap",
        "out of bounds",
    ),
];

const RECURSE: &str = "(func $recurse (param i32) (result i32)
    (call $recurse (i32.add (local.get 0) (i32.const 1))))";

fn judged(hook: &str, error: &PluginError, kind: &str, text: &str) {
    let said = error.to_string();
    assert_eq!(error.kind(), kind, "{hook}: {said}");
    assert!(said.contains(text), "{hook}: {said}");
}

#[test]
fn in_every_hot_hook_an_evil_costs_one_instance() {
    for (evil, kind, text) in EVILS {
        let filter = load(&Guest::new().functions(RECURSE).on_request(evil)).unwrap();
        let selector = Guest::without_hooks().functions(RECURSE).select(evil);
        let selector = load(&selector).unwrap();
        let chaos = Guest::without_hooks().functions(RECURSE).disturb(evil);
        let chaos = load(&chaos).unwrap();
        // The second call has a fresh instance, and fails in the same way.
        for _ in 0..2 {
            judged("routing-filter", &filter.ask().unwrap_err(), kind, text);
            let selected = selector.select(&Zones(&["eu", "us"]));
            judged("endpoint-selector", &selected.unwrap_err(), kind, text);
            judged("chaos", &chaos.disturb().unwrap_err(), kind, text);
        }
        for it in [filter, selector, chaos] {
            assert_eq!(it.generation.memory(), 0, "{evil}: its instance is gone");
        }
    }
}

#[tokio::test]
async fn in_every_slow_hook_an_evil_ends_only_the_call() {
    let words: String = (0..16).map(|n| format!("(param $p{n} i32) ")).collect();
    let one = "(param i32) (result i32)";
    let events = "(param i32) (param i32) (param i64)";
    for (evil, kind, text) in EVILS {
        let base = || Guest::without_hooks().pages(2).functions(RECURSE);
        let applies = format!("{words} (result i32)");
        let guest = base().hook("with-authenticator", "authenticate", &applies, evil);
        let mut it = start(&guest, Duration::ZERO).await.unwrap();
        let failed = it.instance.authenticate(&Applicant::default()).await;
        judged("authenticator", &failed.unwrap_err(), kind, text);
        assert!(it.instance.is_broken());

        let world = "with-metrics-collector";
        let functions = ["greet", "ask", "read", "on-family", "on-push"];
        let guest = { functions.iter() }.fold(base(), |guest, function| {
            guest.hook(world, function, one, evil)
        });
        let mut it = start(&guest, Duration::ZERO).await.unwrap();
        let scrape = Scrape {
            deadline_ms: 1_000,
            accepts: vec![Format::Text],
        };
        let failed = it.instance.ask(&App::default(), &scrape).await;
        judged("metrics-collector", &failed.unwrap_err(), kind, text);
        assert!(it.instance.is_broken());

        let guest = base().hook("with-events", "on-events", events, evil);
        let mut it = start(&guest, Duration::ZERO).await.unwrap();
        let event = Event {
            sequence: 1,
            at: SystemTime::UNIX_EPOCH,
            what: Happening::DrainEnded,
        };
        let failed = it.instance.on_events(&[event], 0).await;
        judged("events", &failed.unwrap_err(), kind, text);
        assert!(it.instance.is_broken());
    }
}
