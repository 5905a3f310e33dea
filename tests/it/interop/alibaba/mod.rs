//! The unmodified client library of the archived Alibaba broker, from Maven Central: against Jackfield, and
//! against the archived broker's own engine, side by side.
//!
//! The application is `tests/interop/java-alibaba`, an ordinary Spring Boot application as the library's README
//! teaches; it does what single lines tell it (`Commands.java`) and answers each with one.

mod failover;
mod life;
mod starters;
mod table;

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use super::client::{installed, java, root};
use crate::{broker::binary, process::Process};

const PEER: &str = "tests/interop/java-alibaba/target/peer.jar";
const ORIGINAL: &str = "tests/interop/java-alibaba/original/target/original.jar";

/// A virtual machine starts in six seconds where it is alone.
const START: Duration = Duration::from_secs(120);
const ANSWER: Duration = Duration::from_secs(60);
/// For what is told and not answered to show.
const SETTLE: Duration = Duration::from_secs(20);

/// One application on the client library.
struct Sdk {
    process: Process,
    uuid: String,
}

impl Sdk {
    fn installed(test: &str) -> bool {
        installed(test, &[PEER], "java")
    }

    /// Begins to start; [`Self::ready`] waits for it, so that several can start at once.
    fn begin(name: &str, brokers: &str, folder: &Path, options: &[&str]) -> Process {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut java = java();
        java.arg("-Xmx256m").arg("-jar").arg(root().join(PEER));
        java.args([
            "--server.port=0",
            "--spring.main.banner-mode=off",
            "--logging.level.root=warn",
        ]);
        java.arg(format!("--rsocket.brokers={brokers}"));
        java.arg(format!("--peer.name={name}"));
        if !options
            .iter()
            .any(|option| option.starts_with("--rsocket.jwt-token="))
        {
            java.arg("--rsocket.jwt-token=none");
        }
        java.args(options).current_dir(folder);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Process::start(&format!("sdk-{name}-{number}"), java, folder)
    }

    fn ready(process: Process) -> Self {
        let uuid = process.expect_within(START, "ready line", |line| {
            line.strip_prefix("ready ").map(str::to_owned)
        });
        Self { process, uuid }
    }

    fn start(name: &str, brokers: &str, folder: &Path, options: &[&str]) -> Self {
        Self::ready(Self::begin(name, brokers, folder, options))
    }

    /// What came of one command.
    fn ask(&self, command: &str) -> String {
        self.process.say(command);
        let answer = |line: &str| line.strip_prefix("= ").map(str::to_owned);
        self.process.expect_within(ANSWER, command, answer)
    }

    /// Asks until the answer is as `wanted` says, for a while. Returns the last one.
    fn asks_until(&self, command: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + SETTLE;
        loop {
            let answer = self.ask(command);
            if wanted(&answer) || Instant::now() > end {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The same; panics when it never is.
    fn must(&self, command: &str, wanted: impl Fn(&str) -> bool) -> String {
        let answer = self.asks_until(command, &wanted);
        assert!(wanted(&answer), "{command}: {answer}");
        answer
    }
}

/// Who makes tokens, as the archived broker's generator does: without an end.
struct Realm(tempfile::TempDir);

impl Realm {
    fn new() -> Self {
        let realm = Self(tempfile::tempdir().expect("a folder"));
        realm.jackfield(&["token", "key", "jwt.key"]);
        realm
    }

    fn jackfield(&self, args: &[&str]) -> String {
        let mut command = Command::new(binary());
        let made = command.args(args).current_dir(self.0.path()).output();
        let made = made.expect("it runs");
        assert!(made.status.success(), "{args:?}");
        let text = String::from_utf8(made.stdout).expect("text");
        text.trim().to_owned()
    }

    fn token(&self, subject: &str, account: &str) -> String {
        let who = ["--subject", subject, "--service-account", account];
        let how = ["--key", "jwt.key", "--no-expiry", "--audience", "owner"];
        self.jackfield(&[&["token", "new"], &who[..], &how[..]].concat())
    }

    /// A configuration with which such a token is asked for.
    fn config(&self, config: &str) -> String {
        let key = self.0.path().join("jwt.key.pub");
        let key = key.display();
        format!(
            "{config}\n[auth]\nrequired = true\n[auth.jwt]\nprofile = \"alibaba\"\nkeys = [\"{key}\"]\n"
        )
    }
}

/// A port that is free now, for a program that cannot say which one it got.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Whether the long forms are wanted.
fn full() -> bool {
    env::var("JACKFIELD_INTEROP").is_ok_and(|value| value == "full")
}

/// The versions that Maven resolved are those that are written down.
#[test]
fn the_versions_are_locked() {
    if !installed("alibaba versions", &[PEER, ORIGINAL, starters::APP], "java") {
        return;
    }
    for folder in [
        "tests/interop/java-alibaba",
        "tests/interop/java-alibaba/original",
        "tests/interop/java-alibaba/starters",
    ] {
        let folder = root().join(folder);
        let jars = fs::read_dir(folder.join("target/dependency")).expect("the jars");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        };
        let mut found: Vec<String> = jars.map(name).collect();
        found.sort();
        let found = found.join("\n") + "\n";
        let lock = folder.join("dependencies.lock");
        if env::var_os("JACKFIELD_BLESS").is_some() {
            fs::write(&lock, &found).expect("it can be written");
        }
        let locked = fs::read_to_string(&lock).unwrap_or_default();
        assert_eq!(
            found,
            locked,
            "{} differs; JACKFIELD_BLESS=1 writes it",
            lock.display()
        );
    }
}
