//! Looks at the machine. Changes nothing, but for a file in the data directory that is gone again at once, and
//! ports that are bound for a moment.

use std::{
    fs, io,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use jackfield_rsocket::net::{ClientAuth, TlsMaterial, TransportKind};

use crate::{
    chain::CompileWith,
    config::{Config, HostPort, Listener},
    server::{cgroup_limit, look_at_descriptors, memory_available},
};

use super::{
    super::run::compile_with,
    checks::{self, Clock, Memory},
    finding::Finding,
    places::{self, Certificate, Place, Port},
};

/// What listeners ask of the kernel.
const BACKLOG: u32 = 4096;
const LOOPBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// The smallest component there is: the header alone.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// What the broker allows the child that compiles.
const COMPILER_MEMORY: u64 = 8 << 30;
const COMPILER_SECONDS: u64 = 10;

/// Every check, in the order in which a person would make them.
pub(super) fn examine<'a>(
    config: &Config,
    certificates: impl Iterator<Item = (&'a PathBuf, &'a PathBuf)>,
) -> Vec<Finding> {
    let began = (Instant::now(), SystemTime::now());
    let mut findings = vec![
        checks::descriptors(look_at_descriptors(config.limits.connections)),
        checks::memory(&memory(config)),
        checks::overcommit(number("/proc/sys/vm/overcommit_memory")),
        checks::backlog(number("/proc/sys/net/core/somaxconn"), BACKLOG),
    ];
    findings.extend(ports(config).iter().map(places::port));
    let shown = config.listeners.iter().filter_map(shown_by);
    let named = certificates.map(|(file, key)| certificate(file, key));
    findings.extend(
        shown
            .chain(named)
            .map(|certificate| places::certificate(&certificate, began.1)),
    );
    findings.push(places::data_dir(&folder(&config.node.data_dir)));
    findings.push(places::token_file(&file(&config.admin.token_file)));
    findings.push(places::compiler(&compile()));
    findings.push(checks::clock(&clock(began)));
    findings
}

fn number(file: &str) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn memory(config: &Config) -> Memory {
    let available = memory_available();
    Memory {
        limit: config.memory,
        available,
        in_cgroup: available.is_some() && cgroup_limit() == available,
        outbox_hard: config.limits.outbox_hard,
    }
}

fn clock((began, at): (Instant, SystemTime)) -> Clock {
    let now = SystemTime::now();
    let passed = began.elapsed();
    let moved = now.duration_since(at).unwrap_or_default();
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    Clock {
        now,
        resolution: resolution(),
        source: fs::read_to_string(source)
            .ok()
            .map(|source| source.trim().to_owned()),
        stepped: moved.abs_diff(passed),
    }
}

/// The smallest step in a row of looks.
fn resolution() -> Duration {
    let mut least = Duration::MAX;
    let end = Instant::now() + Duration::from_millis(20);
    let mut last = Instant::now();
    while last < end {
        let now = Instant::now();
        if now > last {
            least = least.min(now - last);
            last = now;
        }
    }
    least
}

// ---- ports

fn ports(config: &Config) -> Vec<Port> {
    let running = answers(&config.http.listen);
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let ephemeral = fs::read_to_string(range).ok().and_then(|text| {
        let mut ends = text.split_whitespace().map(str::parse);
        Some((ends.next()?.ok()?, ends.next()?.ok()?))
    });
    let listeners = config
        .listeners
        .iter()
        .filter(|listener| listener.uri.kind() != TransportKind::Unix)
        .map(|listener| {
            let (host, port) = (listener.uri.host().to_owned(), listener.uri.port());
            (
                format!("listen.uri {}", listener.uri),
                HostPort { host, port },
            )
        });
    let faces = [
        ("http.listen", &config.http.listen),
        ("admin.listen", &config.admin.listen),
    ];
    let faces = faces.map(|(key, address)| (format!("{key} {address}"), address.clone()));
    listeners
        .chain(faces)
        .map(|(what, address)| Port {
            what,
            port: address.port,
            error: trial(&address),
            running,
            ephemeral,
        })
        .collect()
}

/// Why nobody can listen there now; none when somebody can.
fn trial(address: &HostPort) -> Option<io::ErrorKind> {
    let bound = TcpListener::bind((address.host.as_str(), address.port));
    bound.err().map(|error| error.kind())
}

/// Whether a broker answers at this address.
fn answers(address: &HostPort) -> bool {
    let ask = || -> io::Result<String> {
        let mut addresses = (address.host.as_str(), address.port).to_socket_addrs()?;
        let address: SocketAddr = addresses.next().ok_or(io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, LOOPBACK_TIMEOUT)?;
        stream.set_read_timeout(Some(LOOPBACK_TIMEOUT))?;
        stream.write_all(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("\"live\""))
}

// ---- files

/// The configuration was read, so its certificate is one, and the key is its own.
fn shown_by(listener: &Listener) -> Option<Certificate> {
    let material = &listener.tls.as_ref()?.material;
    Some(Certificate {
        what: format!("listen.uri {}", listener.uri),
        validity: Ok((material.not_before(), material.not_after())),
    })
}

fn certificate(file: &Path, key: &Path) -> Certificate {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let validity = read(file).and_then(|certificate| {
        let material = TlsMaterial::new(&certificate, &read(key)?, ClientAuth::None);
        let material = material.map_err(|error| error.to_string())?;
        Ok((material.not_before(), material.not_after()))
    });
    Certificate {
        what: file.display().to_string(),
        validity,
    }
}

/// The folder, or the nearest one above it that exists, is tried with a file that is gone again at once.
fn folder(path: &Path) -> Place {
    let there = path.ancestors().find(|folder| folder.is_dir());
    let trial = there.map(|folder| {
        let file = folder.join(format!(".jackfield-doctor-{}", std::process::id()));
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)?;
        fs::remove_file(&file)
    });
    let error = match trial {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(error.to_string()),
        None => Some("no folder above it exists".to_owned()),
    };
    Place {
        path: path.to_owned(),
        mode: mode(path),
        error,
    }
}

fn file(path: &Path) -> Place {
    let mode = mode(path);
    let error = mode.and_then(|_| fs::File::open(path).err());
    Place {
        path: path.to_owned(),
        mode,
        error: error.map(|error| error.to_string()),
    }
}

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode())
}

/// Starts the compiler as the broker does.
fn compile() -> Result<Duration, String> {
    let CompileWith::Child { program, args } = compile_with().map_err(|error| error.to_string())?
    else {
        return Err("this program cannot start itself".into());
    };
    let began = Instant::now();
    let mut command = Command::new(program);
    command
        .args(args)
        .args([COMPILER_MEMORY.to_string(), COMPILER_SECONDS.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // A child that ended already says why on standard error.
        let _ = input.write_all(COMPONENT);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() && !output.stdout.is_empty() {
        return Ok(began.elapsed());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", output.status, said.trim()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_taken_port_is_seen_and_a_free_one_too() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = HostPort::loopback(taken.local_addr().unwrap().port());
        assert_eq!(trial(&address), Some(io::ErrorKind::AddrInUse));
        assert!(!answers_while(
            taken,
            &address,
            b"HTTP/1.1 200 OK\r\n\r\n{}"
        ));
        assert_eq!(trial(&address), None);
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = HostPort::loopback(broker.local_addr().unwrap().port());
        let answer = b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"live\"}";
        assert!(answers_while(broker, &address, answer));
        assert!(!answers(&address), "it has gone");
    }

    /// Looks at a listener that gives one answer and goes.
    fn answers_while(listener: TcpListener, address: &HostPort, answer: &'static [u8]) -> bool {
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 512];
            assert!(stream.read(&mut head).unwrap() > 0);
            stream.write_all(answer).unwrap();
        });
        let answers = answers(address);
        server.join().unwrap();
        answers
    }

    #[test]
    fn a_folder_is_tried_without_a_trace() {
        let folder_there = TempDir::new().unwrap();
        let found = folder(&folder_there.path().join("state/deep"));
        assert_eq!((found.mode, found.error), (None, None));
        let private = fs::Permissions::from_mode(0o710);
        fs::set_permissions(folder_there.path(), private).unwrap();
        let found = folder(folder_there.path());
        assert_eq!(found.mode.map(|mode| mode & 0o777), Some(0o710));
        assert_eq!(fs::read_dir(folder_there.path()).unwrap().count(), 0);
        let found = folder(Path::new("/proc/self/state"));
        assert!(found.error.is_some());
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tls.crt");
        let missing = certificate(&path, &path).validity.unwrap_err();
        assert!(missing.contains("cannot be read"), "{missing}");
        fs::write(&path, "nothing").unwrap();
        assert!(certificate(&path, &path).validity.is_err());
    }

    #[test]
    fn the_clock_of_this_machine_can_be_measured() {
        let found = clock((Instant::now(), SystemTime::now()));
        assert!(found.resolution < Duration::from_millis(20));
        assert!(found.stepped < Duration::from_secs(10));
    }
}
