//! What was promised when the contract was frozen: types and exported functions stay, and components built that day
//! load and decide for ever. What each file is: `../frozen/README.md`.

use std::{collections::BTreeMap, fs, path::Path};

use jackfield_plugin_host::{
    Capability, Digest, Hook, Outline, PluginError, Rewrite, Share, Verdict,
};
use wit_component::WitPrinter;
use wit_parser::Resolve;

use crate::host::{Fixture, call, load_configured};

const CONTRACT: &str = include_str!("../frozen/0.1.0/contract.wit");
const CANARY: &[u8] = include_bytes!("../frozen/0.1.0/canary.wasm");
const EVERY: &[u8] = include_bytes!("../frozen/0.1.0/every.wasm");

const CANARY_DIGEST: &str = "3530a73f538cda75fbf6a8e44548eac51f8a48c1918f7aadf63dcbb4205fe008";
const EVERY_DIGEST: &str = "19bf59565ef1f00f088b8367843dc6c18917ecd98a1a8f2c348df1c2fea2feb6";

#[test]
fn the_contract_still_says_what_was_frozen() {
    assert_eq!(broken(CONTRACT, &contract_now()), Vec::<String>::new());
}

#[test]
fn the_canary_of_that_day_loads_and_decides() {
    assert_eq!(Digest::of(CANARY).to_string(), CANARY_DIGEST);
    let canary = |settings: &str| load_configured(CANARY, settings, &[]);
    let decided = |it: &Fixture| it.ask().unwrap().verdict;
    let to = Rewrite {
        version: Some("2".into()),
        ..Rewrite::default()
    };

    let diced = canary(r#"{"percent": 30, "version": "2"}"#).unwrap();
    let share = Share {
        weight: 3_000,
        to: to.clone(),
    };
    assert_eq!(decided(&diced), Verdict::Split(vec![share]));

    let steady = canary(r#"{"percent": 50, "version": "2", "by": "principal"}"#).unwrap();
    assert_eq!(decided(&steady), Verdict::Rewrite(Box::new(to)));
    let mut anonymous = call();
    anonymous.caller.principal = "";
    let passed = steady.ask_about(&anonymous).unwrap();
    assert_eq!(passed.verdict, Verdict::Pass);

    let error = canary(r#"{"percent": 300}"#).err().unwrap();
    assert!(matches!(error, PluginError::Refused(_)), "{error}");
}

/// Its functions trap: what is shown is that every hook is found and every import linked.
#[test]
fn every_hook_and_every_import_of_that_day_is_there() {
    assert_eq!(Digest::of(EVERY).to_string(), EVERY_DIGEST);
    let outline = Outline::read(EVERY).unwrap();
    assert_eq!(outline.hooks, Hook::ALL);
    assert_eq!(outline.capabilities, Capability::ALL);
    let error = load_configured(EVERY, "{}", &Capability::ALL)
        .err()
        .unwrap();
    assert!(matches!(error, PluginError::Trap(_)), "{error}");
}

#[test]
fn what_would_break_a_plugin_is_noticed() {
    for (was, is) in [
        ("weight: u32,", "weight: u64,"),
        ("    sticky: option<bool>,\n", ""),
        ("    pass,\n", "    pass,\n    defer,\n"),
        ("interface kv {", "interface kw {"),
        ("remove: func(key: string)", "remove: func(name: string)"),
        ("  tag-is: func(", "  tag-was: func("),
        ("  on-events: ", "  on-tick: func();\n\n  on-events: "),
        ("  import kv;\n", "  import kv;\n  import log;\n"),
        ("plugin@0.1.0", "plugin@0.2.0"),
    ] {
        let changed = CONTRACT.replacen(was, is, 1);
        assert_ne!(changed, CONTRACT, "{was}");
        assert_ne!(broken(CONTRACT, &changed), [""; 0], "{was} -> {is}");
    }
}

#[test]
fn what_may_be_added_is_not_held_against_it() {
    for (was, is) in [
        (
            "  remove: func(",
            "  count: func() -> u32;\n\n  remove: func(",
        ),
        (
            "interface kv {",
            "interface tides {\n  high: func() -> bool;\n}\n\ninterface kv {",
        ),
        ("plugin@0.1.0", "plugin@0.1.1"),
    ] {
        let changed = CONTRACT.replacen(was, is, 1);
        assert_ne!(changed, CONTRACT);
        assert_eq!(broken(CONTRACT, &changed), Vec::<String>::new(), "{is}");
    }
}

/// What makes the rule of versions work: the runtime finds what is offered as 0.1.1 for who asks for 0.1.0.
#[test]
fn the_runtime_links_an_older_guest_to_a_newer_host() {
    let engine = wasmtime::Engine::default();
    let guest = r#"(component
        (import "jackfield:plugin/clock@0.1.0" (instance (export "unix-ms" (func (result u64))))))"#;
    let guest = wasmtime::component::Component::new(&engine, wat::parse_str(guest).unwrap());
    for (offered, fits) in [("0.1.1", true), ("0.2.0", false)] {
        let mut linker = wasmtime::component::Linker::<()>::new(&engine);
        let name = format!("jackfield:plugin/clock@{offered}");
        let mut clock = linker.instance(&name).unwrap();
        clock.func_wrap("unix-ms", |_, ()| Ok((7_u64,))).unwrap();
        let linked = linker.instantiate_pre(guest.as_ref().unwrap());
        assert_eq!(linked.is_ok(), fits, "{offered}");
    }
}

/// The package in the repository, printed as the frozen one was.
fn contract_now() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let wit = { root }
        .map(|dir| dir.join("wit"))
        .find(|wit| wit.join("worlds.wit").is_file())
        .expect("the repository has its WIT package");
    assert!(fs::read_dir(&wit).unwrap().count() > 10);
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit).unwrap();
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer.print(&resolve, package, &[]).unwrap();
    printer.output.to_string()
}

/// What `now` no longer says of what was frozen, or says beyond it where nothing may be added.
fn broken(frozen: &str, now: &str) -> Vec<String> {
    let minor = |text: &str| {
        let line = text.lines().next().unwrap_or_default().to_owned();
        line.rsplit_once('.').map(|(minor, _)| minor.to_owned())
    };
    let mut broken = Vec::new();
    if minor(frozen) != minor(now) {
        broken.push("another minor".to_owned());
    }
    let (frozen, now) = (blocks(frozen), blocks(now));
    for (block, items) in &frozen {
        let Some(found) = now.get(block) else {
            broken.push(format!("{block}: gone"));
            continue;
        };
        for (item, body) in items {
            if found.get(item) != Some(body) {
                broken.push(format!("{block}: {item} {body}"));
            }
        }
        let may_grow = block.starts_with("interface ") && !is_exported(block);
        if !may_grow && found.len() != items.len() {
            broken.push(format!("{block}: has more than it had"));
        }
    }
    broken
}

fn is_exported(block: &str) -> bool {
    let name = block.trim_start_matches("interface ");
    name == "lifecycle" || Hook::ALL.iter().any(|hook| hook.name() == name)
}

/// Of each interface and world: the first line of each item, and the lines inside it.
fn blocks(text: &str) -> BTreeMap<&str, BTreeMap<&str, String>> {
    let mut blocks = BTreeMap::<_, BTreeMap<_, String>>::new();
    let (mut block, mut item) = ("", "");
    for line in text.lines().skip(1) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let line = line.trim().trim_end_matches(" {");
        match (depth, line) {
            (_, "" | "}") => {}
            (0, name) => block = name,
            (1, name) => {
                item = name;
                blocks.entry(block).or_default().entry(item).or_default();
            }
            (_, part) => {
                let body = blocks.entry(block).or_default().entry(item).or_default();
                body.push_str(part);
                body.push('\n');
            }
        }
    }
    blocks
}
