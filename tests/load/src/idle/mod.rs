//! Memory of idle connections: a broker, ten thousand clients that say nothing, and what it costs.
//!
//! ```text
//! for each transport:  a fresh broker, warmed up
//!                      its memory ── N connections from two processes ── its memory again
//! ```
//!
//! The clients are processes of their own, because a process has only so many descriptors. Measured
//! is resident memory, so what the kernel keeps for sockets is not in it.

mod dial;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    cpu,
    gate::process::{Process, Scratch, arg, free_port},
};

pub use dial::{Dial, Held, Transport};

/// Processes that hold the clients of one transport.
const PROCESSES: usize = 2;
/// Opened and closed before anything is measured: what is allocated once is there then.
const WARM_UP: usize = 200;
const SETTLE: Duration = Duration::from_secs(2);
const READY_MAX: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Idle {
    pub broker: PathBuf,
    pub connections: usize,
    pub only: Option<String>,
}

/// What one transport costs.
#[derive(Debug, Clone)]
pub struct Cost {
    pub transport: Transport,
    pub connections: usize,
    pub before: u64,
    pub after: u64,
}

impl Cost {
    pub fn per_connection(&self) -> u64 {
        self.after.saturating_sub(self.before) / self.connections.max(1) as u64
    }

    /// What we aim to stay below.
    pub const fn aim(&self) -> u64 {
        match self.transport {
            Transport::Tcp => 8 << 10,
            Transport::Tls => 24 << 10,
            Transport::WebSocket => 16 << 10,
        }
    }

    pub fn reached(&self) -> bool {
        self.per_connection() < self.aim()
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        format!(
            "{{\"transport\":\"{}\",\"connections\":{},\"resident_before\":{},\"resident_after\":{},\
             \"bytes_per_connection\":{},\"aim\":{},\"reached\":{}}}",
            self.transport.scheme(),
            self.connections,
            self.before,
            self.after,
            self.per_connection(),
            self.aim(),
            self.reached(),
        )
    }
}

impl Idle {
    pub fn run(&self) -> io::Result<Vec<Cost>> {
        let wanted = |transport: &Transport| {
            self.only
                .as_ref()
                .is_none_or(|only| transport.scheme() == only)
        };
        let transports: Vec<_> = Transport::ALL.into_iter().filter(wanted).collect();
        transports
            .into_iter()
            .map(|transport| self.measure(transport))
            .collect()
    }

    fn measure(&self, transport: Transport) -> io::Result<Cost> {
        let scratch = Scratch::new(&format!("idle-{}", transport.scheme()))?;
        let address = free_port()?;
        let ca = certificate(&scratch)?;
        let data = scratch.path("data");
        let config = config(transport, address, arg(&data)?);
        let config = scratch.write("jackfield.toml", &config)?;
        let command = [arg(&self.broker)?, "run", "--config", arg(&config)?];
        let mut broker = Process::start("jackfield", &command, None, &scratch)?;
        broker.listening(address)?;
        drop(hold(transport, address, WARM_UP, &ca, 0, &scratch)?);
        thread::sleep(SETTLE);
        let before = cpu::resident_bytes(broker.pid())?;
        let mut clients = Vec::new();
        for number in 0..PROCESSES {
            let share = (self.connections + number) / PROCESSES;
            clients.push(hold(transport, address, share, &ca, number + 1, &scratch)?);
        }
        thread::sleep(SETTLE);
        let after = cpu::resident_bytes(broker.pid())?;
        drop(clients);
        Ok(Cost {
            transport,
            connections: self.connections,
            before,
            after,
        })
    }
}

/// This program again, with so many connections; returns when all of them stand.
fn hold(
    transport: Transport,
    address: SocketAddr,
    connections: usize,
    ca: &Path,
    number: usize,
    scratch: &Scratch,
) -> io::Result<Process> {
    let program = std::env::current_exe()?;
    let uri = format!("{}://{address}", transport.scheme());
    let count = connections.to_string();
    let command = [
        arg(&program)?,
        "idle",
        "--connect",
        &uri,
        "--connections",
        &count,
        "--ca",
        arg(ca)?,
    ];
    let process = Process::start(&format!("clients-{number}"), &command, None, scratch)?;
    process.line(READY_MAX, |line| line.starts_with("ready").then_some(()))?;
    Ok(process)
}

/// A certificate for 127.0.0.1 that vouches for itself, and its key beside it.
fn certificate(scratch: &Scratch) -> io::Result<PathBuf> {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    scratch.write("key.pem", &made.signing_key.serialize_pem())?;
    scratch.write("cert.pem", &made.cert.pem())
}

fn config(transport: Transport, address: SocketAddr, data: &str) -> String {
    let (path, tls) = match transport {
        Transport::Tcp => ("", ""),
        Transport::WebSocket => ("/rsocket", ""),
        Transport::Tls => ("", "tls = { cert = \"cert.pem\", key = \"key.pem\" }\n"),
    };
    format!(
        "[node]\nname = \"idle\"\nthreads = 1\ndata-dir = \"{data}\"\n\
         [[listen]]\nuri = \"{}://{address}{path}\"\n{tls}\
         [http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        transport.scheme()
    )
}
