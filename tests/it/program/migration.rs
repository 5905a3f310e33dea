//! What the migration guide says is tried: its configuration is good, and its plugin is the one that ships.

use std::{fs, process::Command};

use crate::{broker::binary, interop::root};

const GUIDE: &str = include_str!("../../../docs/migration.md");

/// The blocks of code in one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let parts = GUIDE.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().expect("a block ends"))
        .collect()
}

#[test]
fn the_guides_configuration_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let jackfield = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args).current_dir(folder.path());
        command.env("STATE_DIRECTORY", folder.path().join("state"));
        command.output().expect("it runs")
    };
    assert!(jackfield(&["token", "key", "jwt_rsa"]).status.success());
    let [broker, _plugin] = blocks("toml")[..] else {
        panic!("the guide has two blocks of configuration");
    };
    let text = broker.replace("/home/broker/.rsocket/", "");
    assert_ne!(text, broker, "the guide names the archived broker's key");
    fs::write(folder.path().join("jackfield.toml"), text).expect("a file");
    let checked = jackfield(&["check"]);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{errors}");
}

/// But for comments.
#[test]
fn the_guides_plugin_is_the_one_that_ships() {
    let source = fs::read_to_string(root().join("plugins/canary/src/lib.rs")).expect("a file");
    let code = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .map(str::to_owned)
            .collect()
    };
    let [shown] = blocks("rust")[..] else {
        panic!("the guide has one block of Rust");
    };
    let (shown, source) = (code(shown), code(&source));
    let found = source.windows(shown.len()).any(|lines| lines == shown);
    assert!(
        found,
        "plugins/canary/src/lib.rs has changed; write it into docs/migration.md"
    );
}
