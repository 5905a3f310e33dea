//! The hooks beside `routing-filter`: what guests of `endpoint-selector` and `chaos` see and decide, and when a verdict
//! may not be remembered.

use std::time::Duration;

use jackfield_plugin_host::{Call, Fault, Odds, PluginError, Refusal, Selection, Verdict};

use crate::{
    built::rust_guest,
    guests::Guest,
    host::{Zones, call, load, load_configured},
};

/// Where the guests below leave their answers.
const ANSWER: u32 = 2304;

fn selects(words: &[u32]) -> Guest {
    Guest::without_hooks()
        .words(ANSWER, words)
        .select("(i32.const 2304)")
}

const ZONES: Zones = Zones(&["eu", "us", "eu"]);

#[test]
fn every_selection_arrives() {
    for (words, selection) in [
        (&[0][..], Selection::Any),
        (&[3, 1], Selection::One(1)),
        (&[1, 4096, 2], Selection::Among(vec![2, 0])),
        (&[2, 4096, 1], Selection::Ranking(vec![2])),
        (&[2, 4096, 0], Selection::Ranking(vec![])),
    ] {
        let it = load(&selects(words).words(4096, &[2, 0])).unwrap();
        assert_eq!(it.select(&ZONES).unwrap(), selection);
    }
}

#[test]
fn a_candidate_that_does_not_exist_cannot_be_selected() {
    for words in [&[3, 3][..], &[1, 4096, 1], &[2, 4096, 1]] {
        let it = load(&selects(words).words(4096, &[7])).unwrap();
        let error = it.select(&ZONES).unwrap_err();
        assert!(matches!(error, PluginError::Answer(_)), "{error}");
    }
    // A list that claims the whole address space.
    let it = load(&selects(&[1, 4096, u32::MAX / 4])).unwrap();
    assert!(matches!(
        it.select(&ZONES).unwrap_err(),
        PluginError::Trap(_)
    ));
}

#[test]
fn candidates_are_asked_in_bulk() {
    // Chooses among those in the zone "us".
    let guest = Guest::without_hooks()
        .import("candidates", "having", "having", "(param i32 i32 i32 i32 i32)")
        .data(4096, b"zoneus")
        .words(ANSWER, &[1])
        .select(
            "(call $having (i32.const 4096) (i32.const 4) (i32.const 4100) (i32.const 2) (i32.const 2308))
            (i32.const 2304)",
        );
    let it = load(&guest).unwrap();
    assert_eq!(it.select(&ZONES).unwrap(), Selection::Among(vec![1]));
    assert_eq!(
        it.select(&Zones(&["us", "us"])).unwrap(),
        Selection::Among(vec![0, 1])
    );
}

#[test]
fn an_index_out_of_bounds_and_a_wrong_moment_find_nothing() {
    // Selects the one whose number is the load of candidate 99, plus that of the last.
    let guest = Guest::new()
        .import(
            "candidates",
            "in-flight",
            "load",
            "(param i32) (result i32)",
        )
        .words(ANSWER, &[3])
        .configure("(if (call $load (i32.const 1)) (then (unreachable))) (i32.const 1024)")
        .select(
            "(i32.store (i32.const 2308) (i32.add
                (call $load (i32.const 99))
                (call $load (i32.sub (local.get $count) (i32.const 1)))))
            (i32.const 2304)",
        );
    let it = load(&guest).unwrap();
    assert_eq!(it.select(&ZONES).unwrap(), Selection::One(2));
    it.ask().unwrap();
}

/// Plans these odds; each is a weight, a case, and four words more.
fn plans(odds: &[[u32; 6]], remember: bool) -> Guest {
    let words: Vec<u32> = odds.concat();
    Guest::without_hooks()
        .words(8192, &words)
        .data(4096, b"boo")
        .words(ANSWER, &[8192, odds.len() as u32, remember.into()])
        .disturb("(i32.const 2304)")
}

#[test]
fn every_fault_arrives() {
    let error = Refusal {
        code: 0x301,
        text: "boo".into(),
    };
    let after = Duration::from_millis(250);
    for (words, fault) in [
        ([70, 0, 250, 0, 0, 0], Fault::Delay(after)),
        ([70, 1, 0x301, 4096, 3, 0], Fault::Error(error.clone())),
        ([70, 2, 0, 0, 0, 0], Fault::BlackHole),
        ([70, 3, 5, 0x301, 4096, 3], Fault::Cut { after: 5, error }),
        ([70, 4, 250, 0, 0, 0], Fault::Slow(after)),
    ] {
        let plan = load(&plans(&[words], true)).unwrap().disturb().unwrap();
        assert_eq!(plan.faults, [Odds { weight: 70, fault }]);
        assert!(plan.remember);
    }
    let none = load(&plans(&[], false)).unwrap().disturb().unwrap();
    assert!(none.faults.is_empty() && !none.remember);
}

#[test]
fn a_plan_that_makes_no_sense_is_an_error_but_keeps_the_instance() {
    let it = load(&plans(&[[10_001, 2, 0, 0, 0, 0]], false)).unwrap();
    let error = it.disturb().unwrap_err();
    assert!(
        matches!(&error, PluginError::Answer(why) if why.contains("weights")),
        "{error}"
    );
}

/// A filter and a chaos that want to be remembered, and do this before.
fn reads(
    world: &'static str,
    interface: &str,
    function: &str,
    signature: &str,
    call: &str,
) -> Guest {
    Guest::new()
        .include(world)
        .import(interface, function, "read", signature)
        .data(4096, b"key")
        .always(0, &[], true)
        .on_request(&format!("{call} (i32.const 2048)"))
        .words(ANSWER, &[0, 0, 1])
        .disturb(&format!("{call} (i32.const 2304)"))
}

#[test]
fn what_reads_outside_of_route_and_connection_is_never_remembered() {
    let key = "(i32.const 4096) (i32.const 3)";
    for guest in [
        reads(
            "with-clock",
            "clock",
            "unix-ms",
            "(result i64)",
            "(drop (call $read))",
        ),
        reads(
            "with-clock",
            "clock",
            "monotonic-ns",
            "(result i64)",
            "(drop (call $read))",
        ),
        reads(
            "with-random",
            "random",
            "number",
            "(result i64)",
            "(drop (call $read))",
        ),
        reads(
            "with-kv",
            "kv",
            "get",
            "(param i32 i32 i32)",
            &format!("(call $read {key} (i32.const 3000))"),
        ),
        reads(
            "with-kv",
            "kv",
            "increment",
            "(param i32 i32 i64 i64 i32)",
            &format!("(call $read {key} (i64.const 1) (i64.const 0) (i32.const 3000))"),
        ),
        reads(
            "with-directory",
            "directory",
            "count",
            "(param i32 i32 i32 i32 i32 i32) (result i32)",
            &format!("(drop (call $read {key} {key} {key}))"),
        ),
        reads(
            "with-routing-filter",
            "request",
            "entry",
            "(param i32 i32 i32)",
            &format!("(call $read {key} (i32.const 3000))"),
        ),
    ] {
        let it = load(&guest).unwrap();
        assert!(!it.ask().unwrap().remember);
        assert!(!it.disturb().unwrap().remember);
    }
    let app = "(drop (call $read (i32.const 4096) (i32.const 3)))";
    let it = load(&reads(
        "with-routing-filter",
        "request",
        "app-is",
        "(param i32 i32) (result i32)",
        app,
    ));
    let it = it.unwrap();
    assert!(it.ask().unwrap().remember && it.disturb().unwrap().remember);
}

#[test]
fn what_was_read_in_one_call_does_not_count_for_the_next() {
    let guest = Guest::new()
        .include("with-clock")
        .import("clock", "unix-ms", "now", "(result i64)")
        .functions("(global $calls (mut i32) (i32.const 0))")
        .configure("(drop (call $now)) (i32.const 1024)")
        .always(0, &[], true)
        .on_request(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (if (i32.eq (global.get $calls) (i32.const 2)) (then (drop (call $now))))
            (i32.const 2048)",
        );
    let it = load(&guest).unwrap();
    let remembered = [(); 3].map(|()| it.ask().unwrap().remember);
    assert_eq!(remembered, [true, false, true]);
}

/// `http` and `call` are there when granted, and a hot hook is told that it cannot wait.
#[test]
fn a_hot_hook_cannot_wait() {
    let zeros = "(i32.const 0) ".repeat(9);
    let tells = |interface: &str,
                 function: &str,
                 world: &'static str,
                 arguments: &str,
                 signature: &str| {
        Guest::new()
            .include(world)
            .import(interface, function, "wait", signature)
            .on_request(&format!(
                "(call $wait {arguments} (i32.const 3000))
                (if (i32.ne (i32.load8_u (i32.const 3000)) (i32.const 1)) (then (unreachable)))
                (i32.store8 (i32.const 2048) (i32.const 3))
                (i32.store (i32.const 2052) (i32.add (i32.const 0x1000) (i32.load8_u (i32.const 3004))))
                (i32.store (i32.const 2056) (i32.load (i32.const 3008)))
                (i32.store (i32.const 2060) (i32.load (i32.const 3012)))
                (i32.const 2048)"
            ))
    };
    let signature = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";
    for guest in [
        tells("http", "send", "with-http", &zeros, signature),
        tells("call", "request-response", "with-call", &zeros, signature),
    ] {
        let it = load(&guest).unwrap();
        let decision = it.ask().unwrap();
        let Verdict::Refuse(refusal) = decision.verdict else {
            panic!("{decision:?}")
        };
        assert_eq!(refusal.code, 0x1000, "denied");
        assert!(refusal.text.contains("slow hooks"), "{}", refusal.text);
    }
}

/// The SDK frees an answer when the hook is asked again, and only if it holds something: nothing may leak, and nothing
/// may be freed while the host reads it or while another hook's answer lies beside it.
#[test]
fn long_answers_of_all_hooks_in_turn_arrive_whole_and_leave_nothing() {
    let Some(component) = rust_guest("wordy") else {
        return;
    };
    let it = load_configured(&component, "{}", &[]).unwrap();
    let zones = Zones(&["eu"; 500]);
    let second = Duration::from_secs(1);
    let words = |length: usize| "word".repeat(length / 4);
    let everybody: Vec<u32> = (0..500).collect();
    let mut memory = Vec::new();
    // One round's answers are more than 100 kB, and 4 MiB is all there is.
    for _ in 0..200 {
        for method in ["pass", "rewrite", "split", "refuse", "pass", "answer"] {
            let call = Call { method, ..call() };
            let decided = it.generation.on_request(&call, second).decision.unwrap();
            let selected = it.generation.select(&call, &zones, second);
            let plan = it.generation.disturb(&call, second).decision.unwrap();
            match (method, decided.verdict) {
                ("pass", Verdict::Pass) => {}
                ("rewrite", Verdict::Rewrite(to)) => {
                    assert_eq!(to.version, Some(words(400)));
                    assert_eq!(to.tags.len(), 60);
                    assert!(to.tags.iter().all(|(_, value)| *value == words(200)));
                }
                ("split", Verdict::Split(shares)) => {
                    assert!(shares.iter().all(|share| share.to.tags.len() == 60));
                    assert_eq!(shares.len(), 4);
                }
                ("refuse", Verdict::Refuse(refusal)) => assert_eq!(refusal.text, words(1000)),
                ("answer", Verdict::Answer(payload)) => {
                    assert_eq!(payload.metadata, Some(words(4000).into()));
                    assert_eq!(payload.data, words(8000).into_bytes());
                }
                (_, verdict) => panic!("{method}: {verdict:?}"),
            }
            let selection = match method {
                "rewrite" => Selection::Ranking(everybody.clone()),
                "split" => Selection::Among(everybody.clone()),
                "refuse" => Selection::One(1),
                _ => Selection::Any,
            };
            assert_eq!(selected.decision.unwrap(), selection);
            let error = Fault::Error(Refusal {
                code: 0x301,
                text: words(800),
            });
            let faults = if method == "pass" { 0 } else { 16 };
            assert_eq!(plan.faults.len(), faults);
            assert!(plan.faults.iter().all(|odds| odds.fault == error));
        }
        memory.push(it.generation.memory());
    }
    assert_eq!(memory.last(), memory.get(1), "it grew");
}
