//! Loading and swapping: all or nothing, and nobody sees a mixture.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use jackfield::chain::{Capability, FailurePolicy, Source, Verdict};

use crate::{Fixture, guests::Guest, refuses, request, rewrites_version, tells_version, until};

fn says(it: &Fixture, expected: &str) -> bool {
    matches!(it.ask().verdict, Verdict::Refuse { text, .. } if text == expected)
}

#[test]
fn a_bad_plugin_changes_nothing_and_is_named() {
    let mut it = Fixture::new();
    it.plugin("good", &refuses("one"));
    assert_eq!(it.load().unwrap(), 1);
    it.write("good", &refuses("two"));
    it.plugin("bad", &Guest::new().version("0.9.0"));
    it.plugin("worse", &Guest::new()).source = Source::File("missing.wasm".into());
    let errors = it.load().unwrap_err();
    let text = errors.to_string();
    assert_eq!(errors.0.len(), 2, "every plugin is looked at");
    assert!(
        text.contains("plugin \"bad\"") && text.contains("jackfield:plugin@0.9.0"),
        "{text}"
    );
    assert!(
        text.contains("plugin \"worse\" (missing.wasm) cannot be read"),
        "{text}"
    );
    assert!(says(&it, "one"));
    assert_eq!(it.chains.generation(), 1);
    it.config.plugins.truncate(1);
    assert_eq!(it.load().unwrap(), 2);
    assert!(says(&it, "two"));
}

#[test]
fn a_pin_holds_and_names_are_used_once() {
    let mut it = Fixture::new();
    it.plugin("pinned", &refuses("one")).sha256 = Some([7; 32]);
    it.plugin("twice", &refuses("one"));
    it.plugin("twice", &refuses("one"));
    let text = it.load().unwrap_err().to_string();
    assert!(text.contains("pins 0707"), "{text}");
    assert!(
        text.contains("plugin \"twice\"") && text.contains("name of another"),
        "{text}"
    );
}

#[test]
fn an_unknown_builtin_is_told_what_there_is() {
    let mut it = Fixture::new();
    it.plugin("b", &refuses("one")).source = Source::Builtin("nonsense".into());
    let text = it.load().unwrap_err().to_string();
    assert!(
        text.contains("(builtin:nonsense) is not embedded in this program; it has:"),
        "{text}"
    );
}

#[test]
fn checking_changes_nothing() {
    let mut it = Fixture::new();
    it.plugin("one", &refuses("one"));
    let views = it.loader.check(&it.config).unwrap();
    assert_eq!(
        (&*views[0].name, &*views[0].hooks),
        ("one", &["routing-filter"][..])
    );
    assert_eq!(it.chains.generation(), 0);
}

#[test]
fn a_view_tells_what_an_operator_asks() {
    let mut it = Fixture::new();
    let config = it.plugin("one", &refuses("one"));
    config.matches = crate::pattern("com.*");
    config.allow = vec![Capability::Log, Capability::Metrics];
    config.on_failure = Some(FailurePolicy::Closed);
    it.load().unwrap();
    let _ = it.ask();
    let view = serde_json::to_value(&it.chains.views()[0]).unwrap();
    assert_eq!(view["name"], "one");
    assert_eq!(view["state"], "live");
    assert_eq!(view["generation"], 1);
    assert_eq!(view["match"], serde_json::json!(["com.*"]));
    assert_eq!(view["allow"], serde_json::json!(["log", "metrics"]));
    assert_eq!(view["on_failure"], "closed");
    assert_eq!((&view["calls"], &view["failures"]), (&1.into(), &0.into()));
    assert_eq!(
        view["memory"],
        2 * 65_536,
        "one page on each of two threads"
    );
    assert_eq!(view["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn a_plugin_that_is_gone_leaves_no_gauge() {
    let mut it = Fixture::new();
    it.plugin("one", &refuses("one"));
    it.load().unwrap();
    assert_eq!(
        it.metric("jackfield_plugin_generation", &[("plugin", "one")]),
        1.0
    );
    assert_eq!(
        it.metric("jackfield_plugin_memory_bytes", &[("plugin", "one")]),
        131_072.0
    );
    it.config.plugins.clear();
    it.load().unwrap();
    let names: Vec<_> = it
        .registry
        .gather()
        .iter()
        .map(|f| f.name().to_owned())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name == "jackfield_plugin_generation"),
        "{names:?}"
    );
}

#[test]
fn a_changed_component_is_loaded_and_a_broken_one_is_not() {
    let mut it = Fixture::new();
    it.plugin("one", &refuses("one"));
    it.load().unwrap();
    let _watcher = it.watch();
    let path = it.write("one", &refuses("two"));
    until("the new component decides", || says(&it, "two"));
    // Broken, then mended: the broken one is never seen.
    fs::write(&path, b"half of a component").unwrap();
    let generation = it.chains.generation();
    thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(it.chains.generation(), generation);
    assert!(says(&it, "two"));
    it.write("one", &refuses("three"));
    until("the mended component decides", || says(&it, "three"));
}

#[test]
fn a_symlink_swap_is_followed() {
    let mut it = Fixture::new();
    let root = it.dir.path().to_owned();
    for version in ["one", "two"] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(
            root.join(version).join("p.wasm"),
            refuses(version).component(),
        )
        .unwrap();
    }
    symlink("one", root.join("..data")).unwrap();
    symlink("..data/p.wasm", root.join("linked.wasm")).unwrap();
    it.plugin("p", &Guest::new()).source = Source::File(root.join("linked.wasm"));
    it.load().unwrap();
    assert!(says(&it, "one"));
    let _watcher = it.watch();
    symlink("two", root.join("..next")).unwrap();
    fs::rename(root.join("..next"), root.join("..data")).unwrap();
    until("the other component decides", || says(&it, "two"));
}

/// Two plugins that must agree: one writes a version, the other tells it. A mixture of generations
/// would tell another version than the one its own generation writes.
#[test]
fn a_hundred_swaps_under_load_mix_nothing() {
    let mut it = Fixture::new();
    it.plugin("writes", &rewrites_version("0"));
    it.plugin("tells", &tells_version());
    it.load().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let it = &it;
        let done = &done;
        let askers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut asked = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        let chain = it.chains.load();
                        let expected = (chain.generation() - 1).to_string();
                        let decision = chain.on_request(&request());
                        let Verdict::Refuse { text, .. } = decision.verdict else {
                            panic!("{decision:?}")
                        };
                        assert_eq!(text, expected);
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for version in 1..=100 {
            it.write("writes", &rewrites_version(&version.to_string()));
            it.load().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() > 100));
    });
    assert_eq!(
        it.metric("jackfield_plugin_memory_bytes", &[("plugin", "tells")]),
        131_072.0
    );
}
