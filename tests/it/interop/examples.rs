//! The examples that people copy: each responder serves, and its requester prints the greeting.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::{
    broker::{Broker, Transport},
    client::{installed, java, root},
    process::Process,
};

#[test]
fn javascript() {
    if installed(
        "examples/javascript",
        &["examples/javascript/node_modules"],
        "js",
    ) {
        greets("javascript", "JavaScript", |file| {
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
        greets("python", "Python", |file| {
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
        greets("java", "Java", |file| {
            let mut java = java();
            java.args(["-cp", "target/classes:target/dependency/*"]);
            java.arg(file[..1].to_uppercase() + &file[1..]);
            java
        });
    }
}

fn greets(folder: &str, greeted: &str, command: impl Fn(&str) -> Command) {
    let broker = Broker::start();
    let home = root().join("examples").join(folder);
    let start = |file| {
        let mut command = command(file);
        command.arg(broker.uri(Transport::Tcp)).current_dir(&home);
        Process::start(file, command, broker.folder())
    };
    let responder = start("responder");
    responder.expect("line that says it serves", |line| {
        (line == "serving greeter").then_some(())
    });
    // It says so when its SETUP is on the way; until the broker has read that, it knows no greeter.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (lines, status) = start("requester").finish(Duration::from_secs(20));
        if status.is_some_and(|status| status.success()) {
            assert_eq!(lines, [format!("Hello, {greeted}!")]);
            return;
        }
        let said = said(broker.folder(), &lines);
        let early = said.contains("RST-900404") && Instant::now() < end;
        assert!(early, "{folder}: {said}\nbroker: {}", broker.errors());
    }
}

fn said(folder: &Path, lines: &[String]) -> String {
    let errors = std::fs::read_to_string(folder.join("requester.err")).unwrap_or_default();
    format!("{}\n{errors}", lines.join("\n"))
}
