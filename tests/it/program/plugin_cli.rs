//! `jackfield plugin` as its users run it: begin a plugin, build and test it, and operate it in a running broker.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tokio::task::LocalSet;

use super::{
    caller::{request, requester, responder, wait_for},
    plugins::is_full,
    run,
};
use crate::broker::{Broker, CONFIG, Transport, binary};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const HOOKS: [&str; 6] = [
    "routing-filter",
    "endpoint-selector",
    "chaos",
    "authenticator",
    "metrics-collector",
    "events",
];

fn plugin(args: &[&str]) -> Output {
    let output = Command::new(binary()).arg("plugin").args(args).output();
    output.expect("it runs")
}

fn said(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A new folder; what it is built with is what the repository's own plugins were built with, so that no registry is asked.
///
/// It is built where those are, so its name has to be one that nobody else has: the last one built under a name is the one
/// that is found, and the broker embeds what it finds.
fn begun(folder: &Path, name: &str, hook: &str) -> String {
    let dir = folder.join(name);
    let path = dir.to_str().expect("text").to_owned();
    let sdk = format!("{ROOT}/plugin-sdk");
    let new = plugin(&["new", name, "--hook", hook, "--path", &path, "--sdk", &sdk]);
    assert!(new.status.success(), "{}", said(&new));
    fs::copy(format!("{ROOT}/plugins/Cargo.lock"), dir.join("Cargo.lock")).expect("a lock file");
    path
}

/// Whether this machine can build plugins; where everything must be there, it is a failure that it cannot.
fn can_build(output: &Output) -> bool {
    let text = said(output);
    let lacks = text.contains("no Rust toolchain here has the target");
    let all = ["CI", "JACKFIELD_TEST_ALL"].map(|name| env::var_os(name).is_some());
    assert!(!lacks || !all.contains(&true), "{text}");
    if lacks {
        eprintln!("SKIPPED: {text}");
    }
    !lacks
}

#[test]
fn every_new_rust_plugin_builds_and_passes_its_cases_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = format!("{ROOT}/plugins/target");
    for hook in HOOKS {
        let path = begun(folder.path(), &format!("new-{hook}"), hook);
        let tested = plugin(&["test", &path, "--target-dir", &target, "--json"]);
        if !can_build(&tested) {
            return;
        }
        let file = format!("new_{}.wasm", hook.replace('-', "_"));
        tells_no_paths(
            &fs::read(format!("{target}/{TARGET}/release/{file}")).expect("it was built"),
        );
        assert!(tested.status.success(), "{hook}: {}", said(&tested));
        let reports: Value = serde_json::from_slice(&tested.stdout).expect("JSON");
        let reports = reports.as_array().expect("a list");
        assert!(reports.len() >= 2, "{hook}: {reports:?}");
        assert!(reports.iter().all(|report| report["ok"] == true));
    }
}

const TARGET: &str = "wasm32-unknown-unknown";

/// A component says nothing of the machine it was built on, but for what the toolchain's own library brings along.
fn tells_no_paths(component: &[u8]) {
    let cargo = env::var("CARGO_HOME").unwrap_or_else(|_| {
        let home = env::home_dir().expect("a home");
        home.join(".cargo").display().to_string()
    });
    let text = String::from_utf8_lossy(component);
    assert!(
        text.contains("/cargo/registry/"),
        "panics name their sources"
    );
    for (at, _) in text.match_indices(&cargo) {
        let path: String = text[at..].chars().take(120).collect();
        assert!(path.contains("/dlmalloc-"), "{path}");
    }
}

/// A hot hook and a slow one; all of them in the long form, since their interpreters take long to compile. What the language's tools are is what the repository's own example was built with, so that no registry is asked.
fn every_new_plugin_works_in(language: &str, example: &str, tools: &str) {
    let tools_at = Path::new(ROOT).join(example).join(tools);
    if !tools_at.exists() {
        let all = ["CI", "JACKFIELD_TEST_ALL"].map(|name| env::var_os(name).is_some());
        assert!(!all.contains(&true), "{example} is not installed");
        eprintln!("SKIPPED: {example} is not installed; run scripts/setup");
        return;
    }
    let tools_at = fs::canonicalize(tools_at).expect("it exists");
    let folder = tempfile::tempdir().expect("a folder");
    let hooks = if is_full() {
        &HOOKS[..]
    } else {
        &["routing-filter", "events"]
    };
    for hook in hooks {
        let dir = folder.path().join(format!("new-{hook}"));
        let path = dir.to_str().expect("text");
        let args = [
            "new",
            &format!("new-{hook}"),
            "--hook",
            hook,
            "--path",
            path,
        ];
        let new = plugin(&[&args[..], &["--lang", language]].concat());
        assert!(new.status.success(), "{}", said(&new));
        symlink(&tools_at, dir.join(tools)).expect("a link");
        let tested = plugin(&["test", path, "--json"]);
        assert!(tested.status.success(), "{hook}: {}", said(&tested));
        let reports: Value = serde_json::from_slice(&tested.stdout).expect("JSON");
        let reports = reports.as_array().expect("a list");
        assert!(reports.len() >= 2, "{hook}: {reports:?}");
        assert!(reports.iter().all(|report| report["ok"] == true));
    }
}

#[test]
fn every_new_javascript_plugin_builds_and_passes_its_cases_at_once() {
    every_new_plugin_works_in("javascript", "examples/plugins/canary-js", "node_modules");
}

#[test]
fn every_new_python_plugin_builds_and_passes_its_cases_at_once() {
    every_new_plugin_works_in("python", "examples/plugins/canary-py", ".venv");
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = format!("{ROOT}/broker/plugin-host/tests/frozen/0.1.0/canary.wasm");
    let cases = folder.path().join("cases.toml");
    let text = r#"
        [plugin.settings]
        percent = 30
        version = "2"

        [[case]]
        name = "a share goes to the canary"
        request = { service = "shop.Orders", method = "list" }
        expect = { split = [{ weight = 3000, to = { version = "2" } }] }
        remember = true

        [[case]]
        name = "all of it"
        request = { service = "shop.Orders", method = "list" }
        expect = { rewrite = { version = "2" } }
    "#;
    fs::write(&cases, text).expect("a file");
    let cases = cases.to_str().expect("text");
    let tested = plugin(&["test", &component, "--cases", cases]);
    let text = said(&tested);
    assert_eq!(tested.status.code(), Some(1), "{text}");
    assert!(
        text.contains("ok      a share goes to the canary"),
        "{text}"
    );
    assert!(
        text.contains("FAILED  all of it") && text.contains(r#""split":"#),
        "{text}"
    );
    assert!(text.contains("1 of 2 cases failed"), "{text}");

    fs::write(cases, "[[case]]\nnam = \"a typo\"\n").expect("a file");
    let tested = plugin(&["test", &component, "--cases", cases]);
    assert_eq!(tested.status.code(), Some(2), "{}", said(&tested));
    assert!(said(&tested).contains("nam"), "{}", said(&tested));
}

#[test]
fn a_plugin_is_operated_while_the_broker_runs() {
    let canary = format!("{ROOT}/broker/plugin-host/tests/frozen/0.1.0/canary.wasm");
    let broker = Broker::start_with(&format!(
        "{CONFIG}\n[[plugin]]\nname = \"canary\"\nfile = {canary:?}\n\
         [plugin.settings]\npercent = 100\nversion = \"2\"\n"
    ));
    let token = fs::read_to_string(broker.folder().join("data/admin.token")).expect("a token");
    let face = ["--admin", broker.admin(), "--token", token.trim()];
    let plugin = |args: &[&str]| {
        let output = plugin(&[args, &face].concat());
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _new = responder(uri, "shop.Orders:2", "new").await;
        let _old = responder(uri, "shop.Orders", "old").await;
        let caller = requester(uri).await;
        wait_for(&caller, "shop.Orders.list").await;
        let answers = async || {
            let reply = caller.request_response(request("shop.Orders.list")).await;
            String::from_utf8_lossy(&reply.expect("an answer").data).into_owned()
        };
        assert_eq!(answers().await, "new");
        plugin(&["disable", "canary"]);
        assert_eq!(answers().await, "old");
        let listed: Value = serde_json::from_str(&plugin(&["list", "--json"])).expect("JSON");
        assert_eq!(listed[0]["state"], "off");
        plugin(&["enable", "canary"]);
        assert_eq!(answers().await, "new");

        let shadowed = plugin(&["load", "canary", &canary, "--shadow"]);
        assert!(shadowed.contains("load done"), "{shadowed}");
        assert!(plugin(&["list"]).contains("shadow"));
        plugin(&["promote", "canary", "--json"]);
        plugin(&["reset", "canary"]);
        plugin(&["reload", "canary"]);
        assert_eq!(answers().await, "new");
    }));
    let refused = super::plugin_cli::plugin(&[&["promote", "canary"][..], &face].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("nothing runs beside"),
        "{}",
        said(&refused)
    );
}

#[test]
fn a_setting_that_does_not_fit_is_told_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("jackfield.toml");
    let text = "[[plugin]]\nname = \"canary\"\nfile = \"builtin:canary\"\n[plugin.settings]\n\
                version = \"2\"\npercent = 300\n";
    fs::write(&config, text).expect("a file");
    let mut check = Command::new(binary());
    check.args(["check", "--config"]).arg(&config);
    let output = check.current_dir(folder.path()).output().expect("it runs");
    let text = said(&output);
    if text.contains("was not embedded") {
        eprintln!("SKIPPED: no plugin is embedded; run scripts/setup-wasm.sh and build again");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("jackfield.toml:6:11: ") && text.contains("`percent` is 300"),
        "{text}"
    );
}

#[test]
fn dev_builds_tests_and_loads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = begun(folder.path(), "dev-filter", "routing-filter");
    let target = format!("{ROOT}/plugins/target");
    let built = plugin(&["build", &path, "--target-dir", &target, "--json"]);
    if !can_build(&built) {
        return;
    }
    assert!(built.status.success(), "{}", said(&built));
    let about: Value = serde_json::from_slice(&built.stdout).expect("JSON");
    let component = folder.path().join("first.wasm");
    fs::copy(about["file"].as_str().expect("a path"), &component).expect("it is there");
    let broker = Broker::start_with(&format!(
        "{CONFIG}\n[[plugin]]\nname = \"mine\"\nfile = {component:?}\n\
         [plugin.settings]\napp = \"spammer\"\n"
    ));
    let token = fs::read_to_string(broker.folder().join("data/admin.token")).expect("a token");
    let face = ["--admin", broker.admin(), "--token", token.trim()];
    let dev = [
        "dev",
        &path,
        "--plugin",
        "mine",
        "--once",
        "--target-dir",
        &target,
    ];
    let dev = || plugin(&[&dev[..], &face].concat());
    let live = || {
        let listed = plugin(&[&["list", "--json"][..], &face].concat());
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        listed[0]["digest"].clone()
    };
    let first = live();
    assert_eq!(first, about["digest"]);

    let change = |file: &str| {
        let file = Path::new(&path).join(file);
        let text = fs::read_to_string(&file).expect("it is there");
        fs::write(&file, text.replace("not tonight", "not ever")).expect("it is ours");
    };
    change("src/lib.rs");
    let failed = dev();
    assert!(
        said(&failed).contains("FAILED  the app is refused"),
        "{}",
        said(&failed)
    );
    assert_eq!(live(), first, "what fails its cases is not loaded");
    change("cases.toml");
    let loaded = dev();
    assert!(
        said(&loaded).contains("3 cases pass; loaded as generation"),
        "{}",
        said(&loaded)
    );
    assert_ne!(live(), first);
}
