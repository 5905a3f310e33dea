//! Disturbances of our own: what a client does that means no good, until it is ended.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tokio::{net::TcpSocket, runtime::Builder};

use super::churn::churn;
use crate::frame;

/// What to do to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Connects, again and again, and says nothing.
    Flood,
    /// Pushes requests and fire-and-forgets of 256 KiB at a responder as fast as they are taken; it
    /// answers in a few bytes.
    Push,
    /// Sends fragments of messages that have no end, on a thousand streams.
    Fragments,
    /// Sends KEEPALIVE that wants an answer, and reads none.
    Keepalive,
    /// Asks for streams with endless credit, and reads a little.
    SlowReader,
    /// Publishes services and hides them again, a thousand changes a second.
    Churn,
    /// Calls a service of its own, for which the broker asks a plugin that never returns.
    Plugin,
}

impl Disturbance {
    pub const ALL: [Self; 7] = [
        Self::Flood,
        Self::Push,
        Self::Fragments,
        Self::Keepalive,
        Self::SlowReader,
        Self::Churn,
        Self::Plugin,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Push => "push",
            Self::Fragments => "fragments",
            Self::Keepalive => "keepalive",
            Self::SlowReader => "slow-reader",
            Self::Churn => "churn",
            Self::Plugin => "plugin",
        }
    }

    /// Goes on until the process ends; a connection that is ended begins anew.
    pub fn run(self, address: SocketAddr, route: &str) -> ! {
        loop {
            let result = match self {
                Self::Flood => flood(address),
                Self::Push => push(address, route),
                Self::Fragments => fragments(address, route),
                Self::Keepalive => keepalive(address),
                Self::SlowReader => slow_reader(address, route),
                Self::Churn => churn(address),
                Self::Plugin => plugin(address),
            };
            // Refused, most likely: not too often, or it is another disturbance.
            drop(result);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The service that the hostile plugin is for, and how often it is called.
pub(super) const HOSTILE: &str = "load.Hostile";
const CALLS_PER_SECOND: u32 = 2000;

fn plugin(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    read_beside(&stream)?;
    let mut out = Vec::new();
    let uuid = "c0ffee01-0000-4000-8000-000000000001";
    let metadata = frame::app_metadata_as(uuid, "hostile", &[HOSTILE.to_owned()]);
    frame::put_setup(&mut out, &metadata);
    stream.write_all(&out)?;
    let metadata = frame::route_metadata(&format!("{HOSTILE}.call"));
    let begun = Instant::now();
    for call in 0..0x3FFF_FFFF_u32 {
        let due = begun + Duration::from_secs(1) / CALLS_PER_SECOND * call;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        out.clear();
        frame::put_request_response(&mut out, call * 2 + 1, &metadata, b"?");
        stream.write_all(&out)?;
    }
    Ok(())
}

/// From an address of its own, where loopback has more than one: what is allowed per address is not the
/// neighbours' to lose.
fn flood(address: SocketAddr) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..256 {
            let socket = TcpSocket::new_v4()?;
            socket.bind(([127, 0, 0, 66], 0).into())?;
            open.push(socket.connect(address).await?);
            thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    })
}

fn hello(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let mut out = Vec::new();
    frame::put_setup(&mut out, b"");
    stream.write_all(&out)?;
    Ok(stream)
}

/// Reads on another thread what comes back.
fn read_beside(stream: &TcpStream) -> io::Result<()> {
    let mut reader = stream.try_clone()?;
    thread::spawn(move || {
        let mut room = [0; 64 * 1024];
        while reader.read(&mut room).is_ok_and(|read| read > 0) {}
    });
    Ok(())
}

fn push(address: SocketAddr, route: &str) -> io::Result<()> {
    let mut stream = hello(address)?;
    read_beside(&stream)?;
    let metadata = frame::route_metadata(route);
    let mut data = vec![b'x'; 256 * 1024];
    data[0] = frame::DISCARD;
    let mut out = Vec::new();
    for id in (1..0x7FFF_FFFF).step_by(2) {
        out.clear();
        match id % 4 {
            1 => frame::put_request_response(&mut out, id, &metadata, &data),
            _ => frame::put_request_fnf(&mut out, id, &metadata, &data),
        }
        stream.write_all(&out)?;
    }
    Ok(())
}

fn fragments(address: SocketAddr, route: &str) -> io::Result<()> {
    let mut stream = hello(address)?;
    read_beside(&stream)?;
    let metadata = frame::route_metadata(route);
    let ids = || (1..2001).step_by(2);
    for id in ids() {
        let mut out = Vec::new();
        frame::put_request_begin(&mut out, id, &metadata);
        stream.write_all(&out)?;
    }
    let data = [b'x'; 1024];
    loop {
        for id in ids() {
            let mut out = Vec::new();
            frame::put_payload(&mut out, id, frame::NEXT | frame::FOLLOWS, &data, b"");
            stream.write_all(&out)?;
        }
    }
}

fn keepalive(address: SocketAddr) -> io::Result<()> {
    let mut stream = hello(address)?;
    let mut out = Vec::new();
    (0..64).for_each(|_| frame::put_keepalive(&mut out, frame::RESPOND, &[b'x'; 100]));
    loop {
        stream.write_all(&out)?;
    }
}

fn slow_reader(address: SocketAddr, route: &str) -> io::Result<()> {
    let mut stream = hello(address)?;
    let metadata = frame::route_metadata(route);
    let mut wanted = 1_000_000_u64.to_be_bytes().to_vec();
    wanted.extend(1024_u32.to_be_bytes());
    for id in (1..64).step_by(2) {
        let mut out = Vec::new();
        frame::put_request_stream(&mut out, id, 0x7FFF_FFFF, &metadata, &wanted);
        stream.write_all(&out)?;
    }
    let mut room = [0; 100];
    loop {
        if stream.read(&mut room)? == 0 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
}
