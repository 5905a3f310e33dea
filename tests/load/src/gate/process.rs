//! Children of the gate: started with a core and a death signal, heard on their output, ended.

use std::{
    env, fs,
    fs::File,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

const READY_MAX: Duration = Duration::from_secs(15);
/// Lines of output that can wait to be asked for; those after are dropped.
const LINES_MAX: usize = 256;

/// A folder for configs and logs, gone with its owner.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("jackfield-gate-{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` on `core`, or on any; its errors go to a log beside its config.
    pub(crate) fn start(
        name: &str,
        command: &[&str],
        core: Option<usize>,
        scratch: &Scratch,
    ) -> io::Result<Self> {
        let log = scratch.path(&format!("{name}.log"));
        // The death signal covers a gate that is itself killed; both wrappers `exec`, so the
        // child's number is the program's.
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]);
        if let Some(core) = core {
            wrapped.args(["taskset", "-c", &core.to_string()]);
        }
        let mut child = wrapped
            .args(command)
            // Go takes its number of threads from here; the others have it in their configs.
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("setpriv: {error}")))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no output to read"))?;
        let (sender, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.try_send(line);
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            lines,
            log,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address in the next `ready` line.
    pub(crate) fn ready(&self) -> io::Result<SocketAddr> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let uri = line.strip_prefix("ready ");
                    let host = uri.map(|uri| uri.strip_prefix("tcp://").unwrap_or(uri));
                    if let Some(Ok(address)) = host.map(str::parse) {
                        return Ok(address);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.fault("was not ready in time")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.fault("ended at once")),
            }
        }
    }

    /// The first line for which `wanted` has an answer.
    pub(crate) fn line<T>(
        &self,
        limit: Duration,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> io::Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(answer) = wanted(&line) {
                        return Ok(answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.fault("was not ready in time")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.fault("ended at once")),
            }
        }
    }

    /// Waits until something listens on `address`.
    pub(crate) fn listening(&mut self, address: SocketAddr) -> io::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while TcpStream::connect(address).is_err() {
            if self.child.try_wait()?.is_some() {
                return Err(self.fault("ended at once"));
            }
            if Instant::now() > deadline {
                return Err(self.fault("was not ready in time"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> io::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        io::Error::other(format!(
            "{} {what}; it said:\n{}",
            self.name,
            log.trim_end()
        ))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `program` on the path, or where Debian puts servers; an error names the package.
pub(crate) fn installed(program: &str, package: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut found = folders
        .map(|folder| folder.join(program))
        .filter(|file| file.is_file());
    found.next().ok_or_else(|| {
        let text = format!("{program} is missing; install it with: apt-get install {package}");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

/// The last core this process may use: the first ones tend to serve the interrupts.
pub(crate) fn last_core() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let last = list.and_then(|list| list.rsplit([',', '-', '\t']).next());
    let last = last.and_then(|core| core.trim().parse().ok());
    last.ok_or_else(|| io::Error::other("the list of allowed cores is unreadable"))
}

/// A port that was free a moment ago, for programs that cannot say which one they got.
pub(crate) fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// `path` as an argument.
pub(crate) fn arg(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::other("a path that is not UTF-8"))
}

/// Keeps this thread, and the threads and programs it starts from now on, to `cores`: a number or a range.
pub(crate) fn pin_this_thread(cores: &str) -> io::Result<()> {
    let link = fs::read_link("/proc/thread-self")?;
    let thread = link
        .file_name()
        .ok_or_else(|| io::Error::other("/proc/thread-self is odd"))?;
    let mut taskset = Command::new("taskset");
    taskset
        .args(["-c", "-p", cores])
        .arg(thread)
        .stdout(Stdio::null());
    match taskset.status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("taskset: {status}"))),
    }
}
