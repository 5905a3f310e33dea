//! The real broker as a process: free ports, a folder of its own, its memory as the kernel counts
//! it.

use std::{
    cell::RefCell,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, id},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::process::Process;

/// Free ports, a data folder of its own.
pub(crate) const CONFIG: &str = r#"
[node]
name = "test"
threads = 1
data-dir = "data"
[[listen]]
uri = "tcp://127.0.0.1:0"
[[listen]]
uri = "ws://127.0.0.1:0/rsocket"
[http]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
"#;

/// How a client reaches the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ws,
}

impl Transport {
    pub(crate) const ALL: [Self; 2] = [Self::Tcp, Self::Ws];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ws => "ws",
        }
    }
}

pub(crate) struct Broker {
    process: Process,
    folder: PathBuf,
    tcp: String,
    ws: String,
    http: String,
    admin: String,
    /// Listeners besides those two, in the order of the configuration.
    others: Vec<String>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_with(CONFIG)
    }

    /// With another configuration, which first listens like [`CONFIG`] does.
    pub(crate) fn start_with(config: &str) -> Self {
        Self::start_in(|_| {}, config)
    }

    /// With files beside its configuration.
    pub(crate) fn start_in(prepare: impl FnOnce(&Path), config: &str) -> Self {
        let folder = folder();
        prepare(&folder);
        fs::write(folder.join("jackfield.toml"), config).expect("a config file");
        let mut command = Command::new(binary());
        command
            .args(["run", "--config", "jackfield.toml"])
            .current_dir(&folder);
        let process = Process::start("jackfield", command, &folder);
        let tcp = process.expect("ready line for tcp", |line| ready(line, "tcp://"));
        let ws = process.expect("ready line for ws", |line| ready(line, "ws://"));
        let others: RefCell<Vec<String>> = RefCell::default();
        let face = |line: &str| {
            let face = ready(line, "http://").map(|uri| uri.replace("http://", ""));
            if face.is_none() {
                others.borrow_mut().extend(ready(line, ""));
            }
            face
        };
        let http = process.expect("ready line for http", face);
        let admin = process.expect("ready line for admin", face);
        Self {
            process,
            folder,
            tcp,
            ws,
            http,
            admin,
            others: others.into_inner(),
        }
    }

    /// Where it listens besides [`CONFIG`], with the ports it got.
    pub(crate) fn others(&self) -> &[String] {
        &self.others
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// HOST:PORT for applications and Prometheus.
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    /// HOST:PORT for operators.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// As an operator would: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The exit code, once it has ended; panics if it does not within `limit`.
    pub(crate) fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        let status = self.process.wait(limit);
        status.expect("the broker ends in time").code()
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.process.errors_file()).unwrap_or_default()
    }

    /// The memory it holds now, in bytes.
    pub(crate) fn memory_now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    pub(crate) fn uri(&self, transport: Transport) -> &str {
        match transport {
            Transport::Tcp => &self.tcp,
            Transport::Ws => &self.ws,
        }
    }

    /// Where this broker and its clients write.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The most memory it ever held, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("the broker is alive");
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .expect("the field");
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse::<u64>().ok());
        kib.expect("kB") * 1024
    }

    /// What the broker said on standard error, for a failure message.
    pub(crate) fn errors(&self) -> String {
        self.process.errors()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // What a failed test left behind is worth reading.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn ready(line: &str, scheme: &str) -> Option<String> {
    let uri = line.strip_prefix("ready ")?.split_whitespace().next()?;
    uri.starts_with(scheme).then(|| uri.to_owned())
}

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "jackfield-test-{}-{}",
        id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder to work in");
    folder
}

/// The program under test: `JACKFIELD_BIN`, else built here, because `cargo test` builds another
/// package's binary only when asked to.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        env::var_os("JACKFIELD_BIN").map_or_else(|| build("jackfield"), PathBuf::from)
    })
}

/// Builds a program of this workspace and says where it is. The whole workspace is named so that
/// the dependencies have the features, and so the compiled form, that `cargo test --workspace` gave
/// them.
pub(crate) fn build(program: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bin", program]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let test = env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "cargo cannot build {program}");
    profile.join(program)
}
