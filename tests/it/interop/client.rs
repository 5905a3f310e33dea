//! The client libraries, and how to start the test peer of each.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    broker::{Broker, Transport},
    process::Process,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    JsAlpha,
    JsClassic,
    Python,
    Java,
    Go,
    Kotlin,
}

impl Client {
    pub(crate) const ALL: [Self; 6] = [
        Self::JsAlpha,
        Self::JsClassic,
        Self::Python,
        Self::Java,
        Self::Go,
        Self::Kotlin,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JsAlpha => "js-alpha",
            Self::JsClassic => "js-classic",
            Self::Python => "python",
            Self::Java => "java",
            Self::Go => "go",
            Self::Kotlin => "kotlin",
        }
    }

    /// Starts a responder and waits until the broker routes to it.
    pub(crate) fn respond(self, broker: &Broker, transport: Transport) -> Process {
        let service = self.service(transport);
        let mut command = self.command("respond");
        command.args(["--broker", broker.uri(transport), "--service", &service]);
        let process = Process::start(&service, command, broker.folder());
        process.expect("ready line", |line| {
            line.contains("\"ready\"").then_some(())
        });
        process
    }

    /// The service that `respond` registers.
    pub(crate) fn service(self, transport: Transport) -> String {
        format!("{}-{}", self.name(), transport.name())
    }

    /// The peer's command line, without broker and service.
    pub(crate) fn command(self, role: &str) -> Command {
        let peers = root().join("tests/interop");
        let mut command = match self {
            Self::JsAlpha | Self::JsClassic => {
                let mut node = Command::new("node");
                node.arg(peers.join("javascript/main.js"));
                node.arg(if self == Self::JsAlpha {
                    "alpha"
                } else {
                    "classic"
                });
                node
            }
            Self::Python => {
                let mut python = Command::new(peers.join("python/.venv/bin/python"));
                python.arg(peers.join("python/peer.py"));
                python
            }
            Self::Java | Self::Kotlin => {
                let mut java = java();
                let jar = format!("{}/target/interop.jar", self.name());
                java.arg("-jar").arg(peers.join(jar));
                java
            }
            Self::Go => Command::new(peers.join("go/target/interop")),
        };
        command.arg(role);
        command
    }
}

/// A virtual machine that starts quickly rather than runs fast for long.
pub(crate) fn java() -> Command {
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]);
    java
}

/// True when every one of `paths` is there. Else the caller has nothing to test: it fails where
/// everything must run, and elsewhere says what is skipped and what would mend it.
pub(crate) fn installed(test: &str, paths: &[&str], parts: &str) -> bool {
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    if missing.is_empty() {
        return true;
    }
    let text = format!("{test}: {missing:?} missing; run scripts/setup {parts}");
    let must = ["CI", "JACKFIELD_TEST_ALL"]
        .iter()
        .any(|name| env::var_os(name).is_some());
    assert!(!must, "{text}");
    say(&format!("SKIPPED {text}\n"));
    false
}

/// What the test peers of every client need.
pub(crate) fn all_installed(test: &str) -> bool {
    let paths = [
        "tests/interop/javascript/alpha/node_modules/rsocket-core",
        "tests/interop/javascript/classic/node_modules/rsocket-core",
        "tests/interop/python/.venv/bin/python",
        "tests/interop/java/target/interop.jar",
        "tests/interop/kotlin/target/interop.jar",
        "tests/interop/go/target/interop",
    ];
    installed(test, &paths, "js python java go")
}

/// Past the test harness, which keeps what passing tests print to itself.
pub(crate) fn say(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The project's top folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_owned()
}
