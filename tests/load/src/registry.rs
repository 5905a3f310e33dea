//! Many services: how long a broker takes to know them, and what they cost it in memory.
//!
//! Every connection publishes its services in SETUP and asks the broker for its health behind that: the
//! answer shows that they are registered.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{cpu, frame};

const HEALTH: &str = "com.alibaba.rsocket.health.RSocketServiceHealth.check";

/// What to register.
#[derive(Debug, Clone)]
pub struct Registering {
    pub address: SocketAddr,
    pub connections: usize,
    /// Of each connection.
    pub services: usize,
    /// The broker's process.
    pub watch: Option<u32>,
}

/// What it took.
#[derive(Debug)]
pub struct Registered {
    pub services: usize,
    pub took: Duration,
    /// Resident memory of the broker, before and after; none if no process was named.
    pub memory: Option<(u64, u64)>,
    /// The connections, which stay as long as this does.
    _open: Vec<TcpStream>,
}

impl Registering {
    pub fn run(&self) -> io::Result<Registered> {
        let resident = || self.watch.map(cpu::resident_bytes).transpose();
        let before = resident()?;
        let begun = Instant::now();
        let mut open = Vec::new();
        for number in 0..self.connections {
            open.push(self.introduce(number)?);
        }
        for stream in &mut open {
            answered(stream)?;
        }
        let took = begun.elapsed();
        let after = resident()?;
        Ok(Registered {
            services: self.connections * self.services,
            took,
            memory: before.zip(after),
            _open: open,
        })
    }

    fn introduce(&self, number: usize) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let services: Vec<String> = (0..self.services)
            .map(|service| format!("com.example.many.Service{number}x{service}"))
            .collect();
        let mut out = Vec::new();
        frame::put_setup(&mut out, &frame::app_metadata("many", &services));
        frame::put_request_response(&mut out, 1, &frame::route_metadata(HEALTH), b"");
        stream.write_all(&out)?;
        Ok(stream)
    }
}

/// Reads until the first request is answered.
fn answered(stream: &mut TcpStream) -> io::Result<()> {
    let mut input = Vec::new();
    let mut room = [0; 4096];
    loop {
        let garbled = |_| io::Error::other("the broker sends what is no frame");
        while let Some((length, frame)) = frame::Frame::split(&input).map_err(garbled)? {
            match (frame.stream, frame.kind) {
                (1, frame::PAYLOAD) => return Ok(()),
                (0 | 1, frame::ERROR) => {
                    return Err(io::Error::other("the broker refuses: see its log"));
                }
                _ => {}
            }
            input.drain(..length);
        }
        match stream.read(&mut room)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => input.extend_from_slice(&room[..read]),
        }
    }
}

impl Registered {
    pub fn json(&self) -> String {
        let memory = self.memory.map_or_else(String::new, |(before, after)| {
            format!(",\"memory_before\":{before},\"memory_after\":{after}")
        });
        format!(
            "{{\"services\":{},\"seconds\":{:.3}{memory}}}",
            self.services,
            self.took.as_secs_f64()
        )
    }
}
