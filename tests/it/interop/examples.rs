//! The examples that people copy: each responder serves, and its requester prints the greeting.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::client::{installed, java, root};
use crate::{
    broker::{Broker, Transport, build},
    process::Process,
};

#[test]
fn rust() {
    let program = |file| Command::new(build(file));
    greets("rust", &["Hello, Ada!", "100 items"], program);
}

#[test]
fn javascript() {
    if installed(
        "examples/javascript",
        &["examples/javascript/node_modules"],
        "js",
    ) {
        greets("javascript", &["Hello, JavaScript!"], |file| {
            let mut node = Command::new("node");
            node.arg(format!("{file}.js"));
            node
        });
    }
}

#[test]
fn python() {
    if installed(
        "examples/python",
        &["examples/python/.venv/bin/python"],
        "python",
    ) {
        greets("python", &["Hello, Python!"], |file| {
            let mut python = Command::new(".venv/bin/python");
            python.arg(format!("{file}.py"));
            python
        });
    }
}

#[test]
fn java_classes() {
    if installed(
        "examples/java",
        &["examples/java/target/example.jar"],
        "java",
    ) {
        greets("java", &["Hello, Java!"], |file| {
            let mut java = java();
            java.args(["-cp", "target/classes:target/dependency/*"]);
            java.arg(file[..1].to_uppercase() + &file[1..]);
            java
        });
    }
}

/// `program` makes the command of `responder` and of `requester`.
fn greets(folder: &str, greeting: &[&str], program: impl Fn(&'static str) -> Command) {
    let broker = Broker::start();
    let home = root().join("examples").join(folder);
    let start = |file| {
        let mut command = program(file);
        command.arg(broker.uri(Transport::Tcp)).current_dir(&home);
        Process::start(file, command, broker.folder())
    };
    let responder = start("responder");
    responder.expect("line that says it serves", |line| {
        (line.starts_with("serving") || line == "ready").then_some(())
    });
    // It says so when its SETUP is on the way; until the broker has read that, nobody greets.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let requester = start("requester");
        let errors = requester.errors_file();
        let (lines, status) = requester.finish(Duration::from_secs(20));
        if status.is_some_and(|status| status.success()) {
            assert_eq!(lines, greeting);
            return;
        }
        let errors = std::fs::read_to_string(errors).unwrap_or_default();
        let said = format!("{}\n{errors}", lines.join("\n"));
        let early = said.contains("RST-900404") && Instant::now() < end;
        assert!(early, "{folder}: {said}\nbroker: {}", broker.errors());
    }
}
