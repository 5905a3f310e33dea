//! What a well-behaved guest sees and decides.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier, atomic::Ordering},
    thread,
    time::Duration,
};

use jackfield_plugin_host::{
    Call, Decision, Entries, Generation, Interaction, PluginError, Refusal, Rewrite, Share, Verdict,
};

use crate::{
    guests::Guest,
    host::{Fixture, call, load, settings},
};

/// A getter of `request` that leaves a string at 3000 (address) and 3004 (length).
fn getter(name: &str) -> Guest {
    Guest::new().import("request", name, "get", "(param i32)")
}

/// Refuses with the string that the getter left.
const REFUSE_WITH_IT: &str = "
    (call $get (i32.const 3000))
    (i32.store8 (i32.const 2048) (i32.const 3))
    (i32.store (i32.const 2052) (i32.const 0x301))
    (i32.store (i32.const 2056) (i32.load (i32.const 3000)))
    (i32.store (i32.const 2060) (i32.load (i32.const 3004)))
    (i32.store8 (i32.const 2124) (i32.const 1))
    (i32.const 2048)";

#[test]
fn a_pass_is_a_pass() {
    let it = load(&Guest::new()).unwrap();
    let decision = it.ask().unwrap();
    assert_eq!(
        (decision.verdict, decision.remember),
        (Verdict::Pass, false)
    );
}

#[test]
fn every_verdict_arrives() {
    // "eu" lies at 4096, a tag list of one ("eu", "eu") at 4104.
    let guest = Guest::new()
        .data(4096, b"eu")
        .words(4104, &[4096, 2, 4096, 2]);
    let rewrite = Rewrite {
        group: Some("eu".into()),
        tags: vec![("eu".into(), "eu".into())],
        ..Rewrite::default()
    };
    let words = [1, 4096, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4104, 1, 0];
    let decided = |guest: Guest| load(&guest).unwrap().ask().unwrap();

    let decision = decided(guest.clone().always(1, &words, true));
    assert_eq!(
        (decision.verdict, decision.remember),
        (Verdict::Rewrite(Box::new(rewrite.clone())), true)
    );

    let mut share = vec![3_000];
    share.extend(words);
    let decision = decided(
        guest
            .clone()
            .words(4200, &share)
            .always(2, &[4200, 1], true),
    );
    assert_eq!(
        decision.verdict,
        Verdict::Split(
            [Share {
                weight: 3_000,
                to: rewrite
            }]
            .into()
        )
    );

    let decision = decided(guest.clone().always(3, &[0x201, 4096, 2], false));
    assert_eq!(
        decision.verdict,
        Verdict::Refuse(
            Refusal {
                code: 0x201,
                text: "eu".into()
            }
            .into()
        )
    );

    let decision = decided(guest.always(4, &[0, 0, 0, 4096, 2], false));
    let Verdict::Answer(payload) = decision.verdict else {
        panic!("{decision:?}")
    };
    assert_eq!((payload.metadata, payload.data), (None, b"eu".to_vec()));
}

#[test]
fn getters_read_the_call_that_is_at_hand() {
    for (name, expected) in [
        ("service", "com.example.User"),
        ("method", "find"),
        ("version", "1"),
        ("app", "shop"),
        ("principal", "shop@example"),
        ("group", ""),
    ] {
        let it = load(&getter(name).on_request(REFUSE_WITH_IT)).unwrap();
        let decision = it.ask().unwrap();
        let refusal = Refusal {
            code: 0x301,
            text: expected.into(),
        };
        assert_eq!(decision.verdict, Verdict::Refuse(refusal.into()), "{name}");
        assert!(decision.remember, "{name} belongs to route or connection");
    }
    let it = load(&getter("method").on_request(REFUSE_WITH_IT)).unwrap();
    for method in ["find", "delete"] {
        let decision = it.ask_about(&Call { method, ..call() }).unwrap();
        assert_eq!(
            decision.verdict,
            Verdict::Refuse(
                Refusal {
                    code: 0x301,
                    text: method.into()
                }
                .into()
            )
        );
    }
}

#[test]
fn outside_of_a_hook_there_is_no_request() {
    let empty = "
        (call $get (i32.const 3000))
        (if (i32.load (i32.const 3004)) (then (unreachable)))
        (i32.const 1024)";
    for name in ["service", "app", "metadata"] {
        let it = load(&getter(name).configure(empty)).unwrap();
        assert_eq!(it.ask().unwrap().verdict, Verdict::Pass, "{name}");
    }
}

#[test]
fn what_read_the_metadata_is_never_remembered() {
    let it = load(&getter("metadata").on_request(REFUSE_WITH_IT)).unwrap();
    let decision = it.ask().unwrap();
    assert_eq!(
        decision.verdict,
        Verdict::Refuse(
            Refusal {
                code: 0x301,
                text: "metadata".into()
            }
            .into()
        )
    );
    assert!(!decision.remember);
}

/// Refuses when `$get` says yes.
fn predicate(name: &str, arguments: &str, signature: &str) -> Guest {
    let on_request = format!(
        "(i32.store8 (i32.const 2048)
            (i32.mul (i32.const 3) (call $get {arguments})))
        (i32.const 2048)"
    );
    Guest::new()
        .import("request", name, "get", signature)
        .data(4096, b"user")
        .data(4112, b"alice")
        .data(4120, b"shop@example")
        .on_request(&on_request)
}

#[test]
fn predicates_answer_without_a_string() {
    let tag = |value: &str| {
        let arguments = format!("(i32.const 4096) (i32.const 4) {value}");
        predicate("tag-is", &arguments, "(param i32 i32 i32 i32) (result i32)")
    };
    let principal = predicate(
        "principal-is",
        "(i32.const 4120) (i32.const 12)",
        "(param i32 i32) (result i32)",
    );
    for (guest, yes) in [
        (tag("(i32.const 4112) (i32.const 5)"), true),
        (tag("(i32.const 4112) (i32.const 4)"), false),
        (principal, true),
    ] {
        let decision = load(&guest).unwrap().ask().unwrap();
        assert_eq!(matches!(decision.verdict, Verdict::Refuse(_)), yes);
    }
}

#[test]
fn each_thread_has_an_instance_of_its_own_and_those_that_were_told_of_have_it_at_once() {
    let it = load(&tag_is_alice()).unwrap();
    let one = it.generation.memory();
    let plugin = Arc::clone(it.generation.plugin());
    let two = Generation::new(plugin, settings("{}", 1 << 20, &it.recorder), 2).unwrap();
    assert_eq!(two.memory(), 2 * one);
    let ask = || {
        let asked = two.on_request(&call(), Duration::from_secs(1));
        asked.decision.unwrap();
        two.memory()
    };
    assert_eq!((ask(), ask()), (2 * one, 2 * one));
    let both = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                ask();
                // One that has ended would leave its instance to the other.
                both.wait();
            });
        }
    });
    assert_eq!(two.memory(), 3 * one);
}

/// Asks once more while it is asked, and notes how much memory the instances have by then; or panics.
struct Again<'a> {
    it: &'a Fixture,
    panics: bool,
    memory: RefCell<Vec<u64>>,
}

impl Entries for Again<'_> {
    fn tag(&self, _: &str) -> Option<&str> {
        assert!(!self.panics, "a mistake of the host");
        self.memory.borrow_mut().push(self.it.generation.memory());
        if self.memory.borrow().len() == 1 {
            self.ask().unwrap();
        }
        Some("alice")
    }

    fn entry(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

impl<'a> Again<'a> {
    fn new(it: &'a Fixture, panics: bool) -> Self {
        let memory = RefCell::default();
        Self { it, panics, memory }
    }

    fn ask(&self) -> Result<Decision, PluginError> {
        self.it.ask_about(&Call {
            entries: self,
            ..call()
        })
    }
}

#[test]
fn who_comes_while_an_instance_is_asked_gets_one_of_its_own() {
    let it = load(&tag_is_alice()).unwrap();
    let one = it.generation.memory();
    let again = Again::new(&it, false);
    let decision = again.ask().unwrap();
    assert!(matches!(decision.verdict, Verdict::Refuse(_)));
    assert_eq!(*again.memory.borrow(), [one, 2 * one]);
    assert_eq!(it.generation.memory(), one);
}

#[test]
fn a_panic_of_the_host_costs_the_instance_and_no_more() {
    let it = load(&tag_is_alice()).unwrap();
    let one = it.generation.memory();
    let panics = Again::new(&it, true);
    assert!(catch_unwind(AssertUnwindSafe(|| panics.ask())).is_err());
    assert_eq!(it.generation.memory(), 0);
    it.ask().unwrap();
    assert_eq!(it.generation.memory(), one);
}

/// Refuses requests with the tag `user=alice`.
fn tag_is_alice() -> Guest {
    predicate(
        "tag-is",
        "(i32.const 4096) (i32.const 4) (i32.const 4112) (i32.const 5)",
        "(param i32 i32 i32 i32) (result i32)",
    )
}

#[test]
fn names_are_numbers_once_interned() {
    // Refuses with the code 0x1000 + 16 * service + handler.
    let guest = Guest::new()
        .include("with-names")
        .import("names", "service", "service_number", "(param i32 i32) (result i32)")
        .import("names", "handler", "handler_number", "(param i32 i32 i32 i32) (result i32)")
        .data(4096, b"com.example.User")
        .data(4112, b"find")
        .configure(
            "(drop (call $service_number (i32.const 4112) (i32.const 4)))
            (drop (call $service_number (i32.const 4096) (i32.const 16)))
            (drop (call $handler_number (i32.const 4096) (i32.const 16) (i32.const 4112) (i32.const 4)))
            (i32.const 1024)",
        )
        .on_request(
            "(i32.store8 (i32.const 2048) (i32.const 3))
            (i32.store (i32.const 2052) (i32.add (i32.const 0x1000)
                (i32.add (i32.mul (i32.const 16) (local.get $service)) (local.get $handler))))
            (i32.const 2048)",
        );
    let it = load(&guest).unwrap();
    let code = |service, method| {
        let decision = it
            .ask_about(&Call {
                service,
                method,
                ..call()
            })
            .unwrap();
        let Verdict::Refuse(refusal) = decision.verdict else {
            panic!("{decision:?}")
        };
        refusal.code - 0x1000
    };
    assert_eq!(code("com.example.User", "find"), 0x21);
    assert_eq!(code("com.example.User", "other"), 0x20);
    assert_eq!(code("find", "find"), 0x10);
    assert_eq!(code("unknown", "find"), 0);
}

#[test]
fn traits_tell_the_interaction() {
    let guest = Guest::new().on_request(
        "(i32.store8 (i32.const 2048) (i32.const 3))
        (i32.store (i32.const 2052) (i32.add (i32.const 0x1000) (local.get $traits)))
        (i32.const 2048)",
    );
    let it = load(&guest).unwrap();
    // The call is made by somebody, for a version.
    let also = 32 | 128;
    for (interaction, sticky, bits) in [
        (Interaction::RequestResponse, false, 1 | also),
        (Interaction::FireAndForget, false, 2 | also),
        (Interaction::Stream, false, 4 | also),
        (Interaction::Channel, true, 8 | 16 | also),
    ] {
        let decision = it
            .ask_about(&Call {
                interaction,
                sticky,
                ..call()
            })
            .unwrap();
        let Verdict::Refuse(refusal) = decision.verdict else {
            panic!("{decision:?}")
        };
        assert_eq!(refusal.code, 0x1000 + bits);
    }
}

#[test]
fn granted_imports_reach_the_broker() {
    let guest = Guest::new()
        .include("with-log")
        .include("with-metrics")
        .import("log", "write", "log", "(param i32 i32 i32)")
        .import(
            "metrics",
            "counter",
            "counter",
            "(param i32 i32) (result i32)",
        )
        .import("metrics", "add", "add", "(param i32 i64)")
        .data(4096, b"hello")
        .functions("(global $counter (mut i32) (i32.const 0))")
        .configure(
            "(call $log (i32.const 2) (local.get $settings) (local.get $len))
            (global.set $counter (call $counter (i32.const 4096) (i32.const 5)))
            (i32.const 1024)",
        )
        .on_request(
            "(call $add (global.get $counter) (i64.const 2))
            (call $add (i32.const 99) (i64.const 7))
            (i32.const 2048)",
        );
    let it = load(&guest).unwrap();
    it.ask().unwrap();
    it.ask().unwrap();
    assert_eq!(
        *it.recorder.lines.lock().unwrap(),
        [r#"guest Info {"percent":30}"#]
    );
    assert_eq!(it.recorder.counted.load(Ordering::Relaxed), 4);
}
