//! Guests that are broken or mean: each gets a clear error, and the host goes on.

use std::time::{Duration, Instant};

use jackfield_plugin_host::{Capability, PluginError, Verdict};

use crate::{
    guests::Guest,
    host::{DEADLINE, Fixture, call, error, load, load_bytes, load_with},
};

const PAGE: u64 = 65_536;

/// Misbehaves at its first call only, so that a second call shows whether the host goes on.
fn once(bad: &str) -> Guest {
    Guest::new()
        .include("with-metrics")
        .import("metrics", "add", "note", "(param i32 i64)")
        .import("metrics", "counter", "counter", "(param i32 i32) (result i32)")
        .data(4096, b"c")
        .functions("(func $recurse (param i32) (result i32) (call $recurse (i32.add (local.get 0) (i32.const 1))))")
        .configure("(drop (call $counter (i32.const 4096) (i32.const 1))) (i32.const 1024)")
        .on_request(&format!(
            "(call $note (i32.const 1) (i64.const 1))
            {bad}
            (i32.const 2048)"
        ))
}

/// The error of the first call, and a proof that the next call has a fresh instance.
fn fault(it: &Fixture) -> PluginError {
    let error = it.ask().unwrap_err();
    let again = it.ask().unwrap_err();
    assert_eq!(
        error.kind(),
        again.kind(),
        "a fresh instance fails in the same way"
    );
    assert!(it.generation.memory() <= 16 * PAGE);
    error
}

#[test]
fn a_trap_costs_one_instance() {
    let it = load(&once("(unreachable)")).unwrap();
    let error = fault(&it);
    assert!(
        matches!(&error, PluginError::Trap(why) if why.contains("unreachable")),
        "{error}"
    );
}

#[test]
fn a_division_by_zero_and_a_wild_read_are_traps() {
    for (bad, why) in [
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "divide by zero",
        ),
        ("(drop (i32.load (i32.const -8)))", "out of bounds"),
    ] {
        let error = fault(&load(&once(bad)).unwrap());
        assert!(
            matches!(&error, PluginError::Trap(text) if text.contains(why)),
            "{error}"
        );
    }
}

#[test]
fn an_endless_loop_is_killed_near_its_deadline() {
    let it = load(&once("(loop $for_ever (br $for_ever))")).unwrap();
    let begun = Instant::now();
    let outcome = it.generation.on_request(&call(), Duration::from_secs(1));
    let error = *outcome.decision.unwrap_err();
    assert!(
        matches!(error, PluginError::Deadline { limit } if limit == DEADLINE),
        "{error}"
    );
    assert!(
        outcome.spent >= DEADLINE && outcome.spent < DEADLINE * 2,
        "{:?}",
        outcome.spent
    );
    assert!(begun.elapsed() >= DEADLINE);
    fault(&it);
}

#[test]
fn what_is_left_of_the_chains_deadline_counts_when_it_is_less() {
    let it = load(&once("(loop $for_ever (br $for_ever))")).unwrap();
    let left = Duration::from_millis(3);
    let outcome = it.generation.on_request(&call(), left);
    let error = *outcome.decision.unwrap_err();
    assert!(
        matches!(error, PluginError::Deadline { limit } if limit == left),
        "{error}"
    );
}

#[test]
fn a_memory_bomb_is_told_what_it_needed() {
    // Ignores that memory was refused, and traps on it, as allocators do.
    let bomb = "(loop $more
        (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (unreachable)))
        (br $more))";
    let error = fault(&load(&once(bomb)).unwrap());
    assert!(
        matches!(error, PluginError::Memory { needed, limit } if needed > limit && limit == 16 * PAGE),
        "{error}"
    );
}

#[test]
fn a_guest_that_bears_a_refusal_of_memory_is_fine() {
    let it = load(&once("(drop (memory.grow (i32.const 100)))")).unwrap();
    assert_eq!(it.ask().unwrap().verdict, Verdict::Pass);
}

#[test]
fn a_component_that_begins_too_large_is_refused_with_the_number_it_needs() {
    let error = error(load(&Guest::new().pages(20)));
    assert!(
        matches!(error, PluginError::Memory { needed, limit } if needed == 20 * PAGE && limit == 16 * PAGE),
        "{error}"
    );
    assert!(load_with(&Guest::new().pages(20), &[], 20 * PAGE).is_ok());
}

#[test]
fn deep_recursion_is_a_trap() {
    let error = fault(&load(&once("(drop (call $recurse (i32.const 0)))")).unwrap());
    assert!(
        matches!(&error, PluginError::Trap(why) if why.contains("stack")),
        "{error}"
    );
}

#[test]
fn a_giant_return_is_refused_before_it_is_copied() {
    // An answer that claims the whole address space.
    let it = load(&Guest::new().always(4, &[0, 0, 0, 0, u32::MAX], false)).unwrap();
    assert!(matches!(it.ask().unwrap_err(), PluginError::Trap(_)));
    // A thousand tags, each a view of the same 32 KiB: 32 MiB for the host, nearly nothing for the guest.
    let tags: Vec<u32> = [24_576, 32_768, 24_576, 32_768].repeat(500);
    let words = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8192, 500];
    let it = load(&Guest::new().words(8192, &tags).always(1, &words, false)).unwrap();
    let error = it.ask().unwrap_err();
    assert!(
        matches!(&error, PluginError::Trap(why) if why.contains("handed over more than")),
        "{error}"
    );
}

#[test]
fn a_verdict_that_makes_no_sense_is_an_error_but_keeps_the_instance() {
    for guest in [
        // A case that does not exist.
        Guest::new().always(9, &[], false),
        // A refusal whose text lies outside of memory.
        Guest::new().always(3, &[0x201, 0, 1 << 20], false),
    ] {
        let error = load(&guest).unwrap().ask().unwrap_err();
        assert!(matches!(error, PluginError::Trap(_)), "{error}");
    }
    let share = [20_000, 1, 4096, 1];
    let it = load(
        &Guest::new()
            .words(8192, &share)
            .always(2, &[8192, 1], false),
    )
    .unwrap();
    let error = it.ask().unwrap_err();
    assert!(
        matches!(&error, PluginError::Answer(why) if why.contains("weights")),
        "{error}"
    );
}

#[test]
fn settings_are_refused_in_the_plugins_own_words() {
    let guest = Guest::new()
        .data(4096, b"percent: 300 is more than 100\nand a second line")
        .words(1024, &[1, 4096, 47])
        .configure("(i32.const 1024)");
    let error = error(load(&guest));
    assert_eq!(
        error.to_string(),
        "refuses its settings: percent: 300 is more than 100"
    );
}

#[test]
fn a_start_that_never_ends_is_killed() {
    for guest in [
        Guest::new().configure("(loop $for_ever (br $for_ever)) (i32.const 1024)"),
        Guest::new().start("(loop $for_ever (br $for_ever))"),
    ] {
        assert!(matches!(error(load(&guest)), PluginError::Deadline { .. }));
    }
}

#[test]
fn a_trap_while_starting_is_told() {
    assert!(matches!(
        error(load(&Guest::new().start("(unreachable)"))),
        PluginError::Trap(_)
    ));
    let guest = Guest::new().configure("(unreachable)");
    assert!(matches!(error(load(&guest)), PluginError::Trap(_)));
}

#[test]
fn what_is_not_a_component_is_told_apart() {
    let junk = error(load_bytes(b"not wasm at all", &[], PAGE));
    assert!(matches!(junk, PluginError::NotAComponent(_)), "{junk}");
    let empty = error(load_bytes(b"", &[], PAGE));
    assert!(matches!(empty, PluginError::NotAComponent(_)), "{empty}");
    let module = error(load_bytes(&wat::parse_str("(module)").unwrap(), &[], PAGE));
    assert!(matches!(module, PluginError::CoreModule), "{module}");
    let component = Guest::new().component();
    let cut = error(load_bytes(&component[..component.len() / 2], &[], PAGE));
    assert!(matches!(cut, PluginError::NotAComponent(_)), "{cut}");
    let nothing = error(load_bytes(
        &wat::parse_str("(component)").unwrap(),
        &[],
        PAGE,
    ));
    assert!(matches!(nothing, PluginError::NoHook(_)), "{nothing}");
}

#[test]
fn a_component_with_broken_code_is_told() {
    let mut component = Guest::new().component();
    // The body of a function of the core module: its last `end` becomes an unknown instruction.
    let at = component
        .windows(4)
        .rposition(|w| w == [0x41, 0x80, 0x10, 0x0b])
        .unwrap();
    component[at + 3] = 0xff;
    let error = error(load_bytes(&component, &[], 16 * PAGE));
    assert!(
        matches!(
            error,
            PluginError::Compile(_) | PluginError::NotAComponent(_)
        ),
        "{error}"
    );
}

#[test]
fn another_version_is_refused_by_name() {
    for version in ["0.1.1", "0.0.9", "0.2.0", "0.1.0-draft", "9.0.0"] {
        let error = error(load(&Guest::new().version(version)));
        let text = error.to_string();
        assert!(matches!(error, PluginError::WrongVersion { .. }), "{text}");
        assert!(
            text.contains(&format!("jackfield:plugin@{version},")),
            "{text}"
        );
    }
}

#[test]
fn a_hook_of_a_later_broker_is_refused_by_name() {
    let component = wat::parse_str(
        r#"(component
            (instance $nothing)
            (export "jackfield:plugin/routing-filter@0.1.0" (instance $nothing))
            (export "jackfield:plugin/service@0.1.0" (instance $nothing))
            (export "jackfield:plugin/lifecycle@0.1.0" (instance $nothing)))"#,
    )
    .unwrap();
    let error = error(load_bytes(&component, &[], PAGE));
    assert!(
        matches!(&error, PluginError::UnknownExport(name) if name.contains("/service@")),
        "{error}"
    );
}

#[test]
fn an_import_that_is_not_offered_is_refused_by_name() {
    let guest = Guest::new()
        .world("import teleport: func();")
        .raw_import(r#"(import "$root" "teleport" (func $teleport))"#)
        .on_request("(call $teleport) (i32.const 2048)");
    let error = error(load(&guest));
    assert!(
        matches!(&error, PluginError::UnknownImport(name) if name == "teleport"),
        "{error}"
    );
}

#[test]
fn a_capability_that_is_not_granted_is_refused_by_name() {
    let guest = once("");
    for (grants, fits) in [
        (&[][..], false),
        (&[Capability::Log], false),
        (&[Capability::Metrics], true),
    ] {
        match load_with(&guest, grants, 16 * PAGE) {
            Ok(_) => assert!(fits),
            Err(error) => {
                assert!(!fits);
                let text = error.to_string();
                assert!(matches!(
                    error,
                    PluginError::Denied {
                        capability: Capability::Metrics,
                        ..
                    }
                ));
                assert!(
                    text.contains("jackfield:plugin/metrics@") && text.contains(r#"add "metrics""#),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn a_missing_lifecycle_is_refused_by_name() {
    let error = error(load(&Guest::new().only(&["with-routing-filter"])));
    assert!(
        matches!(&error, PluginError::MissingExport(name) if name.contains("lifecycle")),
        "{error}"
    );
}

#[test]
fn an_interface_of_our_name_with_other_types_is_refused() {
    // The right names around a function of another type.
    let component = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $filter (export "on-request" (func $f)))
            (instance $lifecycle (export "configure" (func $f)))
            (export "jackfield:plugin/routing-filter@0.1.0" (instance $filter))
            (export "jackfield:plugin/lifecycle@0.1.0" (instance $lifecycle)))"#,
    )
    .unwrap();
    let error = error(load_bytes(&component, &[], PAGE));
    assert!(matches!(error, PluginError::Mismatch(_)), "{error}");
}

#[test]
fn a_storm_of_host_calls_ends_at_the_deadline() {
    let guest = Guest::new()
        .include("with-log")
        .import("log", "write", "log", "(param i32 i32 i32)")
        .data(4096, b"again")
        .on_request(
            "(loop $for_ever
                (call $log (i32.const 2) (i32.const 4096) (i32.const 5))
                (br $for_ever))
            (i32.const 2048)",
        );
    let error = load(&guest).unwrap().ask().unwrap_err();
    assert!(matches!(error, PluginError::Deadline { .. }), "{error}");
}

#[test]
fn a_probe_uses_an_instance_of_its_own() {
    let it = load(&once("(unreachable)")).unwrap();
    assert!(it.generation.probe_on_request(&call()).is_err());
    let it = load(&Guest::new()).unwrap();
    let before = it.generation.memory();
    assert!(it.generation.probe_on_request(&call()).is_ok());
    assert_eq!(it.generation.memory(), before, "and lets it go");
}

/// A component with a custom section, as `plugin build` leaves it.
fn with_schema(schema: &str) -> Vec<u8> {
    let mut bytes = Guest::new().component();
    let name = b"jackfield:settings-schema";
    let length = 1 + name.len() + schema.len();
    assert!(length < 128, "its length is one byte");
    bytes.extend([0, length as u8, name.len() as u8]);
    bytes.extend([name, schema.as_bytes()].concat());
    bytes
}

#[test]
fn settings_are_checked_against_the_schema_before_the_guest_sees_them() {
    // The settings are {"percent":30}, and the guest would take anything.
    assert!(load_bytes(&with_schema(r#"{"required":["percent"]}"#), &[], 16 * PAGE).is_ok());
    let bounded = with_schema(r#"{"properties":{"percent":{"maximum":9}}}"#);
    let error = error(load_bytes(&bounded, &[], 16 * PAGE));
    assert!(
        matches!(&error, PluginError::Setting { path, .. } if path == &["percent"]),
        "{error}"
    );
    let text = "refuses its settings: `percent` is 30, and must be at most 9";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_schema_that_cannot_be_checked_is_refused() {
    let error = error(load_bytes(
        &with_schema(r#"{"pattern":"a+"}"#),
        &[],
        16 * PAGE,
    ));
    assert!(error.to_string().contains("uses `pattern`"), "{error}");
}
