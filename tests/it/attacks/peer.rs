//! A peer that says anything: frames written by hand over a plain socket.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use jackfield_rsocket::metadata::CompositeBuilder;
use tokio::net::TcpSocket;

use crate::broker::{Broker, Transport};

pub(super) const SETUP: u8 = 0x01;
pub(super) const KEEPALIVE: u8 = 0x03;
pub(super) const REQUEST_RESPONSE: u8 = 0x04;
pub(super) const REQUEST_FNF: u8 = 0x05;
pub(super) const REQUEST_STREAM: u8 = 0x06;
pub(super) const REQUEST_CHANNEL: u8 = 0x07;
pub(super) const CANCEL: u8 = 0x09;
pub(super) const PAYLOAD: u8 = 0x0A;
pub(super) const ERROR: u8 = 0x0B;
pub(super) const RESUME: u8 = 0x0D;
pub(super) const RESUME_OK: u8 = 0x0E;

pub(super) const METADATA: u16 = 0x100;
pub(super) const FOLLOWS: u16 = 0x080;
pub(super) const RESPOND: u16 = 0x080;
pub(super) const TOKEN: u16 = 0x080;
pub(super) const COMPLETE: u16 = 0x040;
pub(super) const NEXT: u16 = 0x020;

pub(super) const REJECTED_SETUP: u32 = 0x003;
pub(super) const REJECTED_RESUME: u32 = 0x004;
pub(super) const CONNECTION_ERROR: u32 = 0x101;
pub(super) const INVALID: u32 = 0x204;

/// A frame with its length.
pub(super) fn framed(frame: &[u8]) -> Vec<u8> {
    let mut out = (frame.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(frame);
    out
}

/// A frame without one.
pub(super) fn bare(stream: u32, kind: u8, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = stream.to_be_bytes().to_vec();
    out.extend_from_slice(&(u16::from(kind) << 10 | flags).to_be_bytes());
    out.extend_from_slice(body);
    out
}

pub(super) fn frame(stream: u32, kind: u8, flags: u16, body: &[u8]) -> Vec<u8> {
    framed(&bare(stream, kind, flags, body))
}

/// A metadata block with its length, and data behind it.
pub(super) fn with_metadata(metadata: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = (metadata.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(metadata);
    out.extend_from_slice(data);
    out
}

/// Composite metadata with a route.
pub(super) fn route(route: &str) -> Vec<u8> {
    let block = CompositeBuilder::new().route(route).finish();
    block.expect("a route").to_vec()
}

/// A request/response to a route, with data.
pub(super) fn call(stream: u32, to: &str, data: &[u8]) -> Vec<u8> {
    let body = with_metadata(&route(to), data);
    frame(stream, REQUEST_RESPONSE, METADATA, &body)
}

/// A request for a stream with endless credit.
pub(super) fn subscribe(stream: u32, to: &str) -> Vec<u8> {
    let mut body = 0x7FFF_FFFF_u32.to_be_bytes().to_vec();
    body.extend(with_metadata(&route(to), b""));
    frame(stream, REQUEST_STREAM, METADATA, &body)
}

/// How a client introduces itself.
#[derive(Clone, Debug)]
pub(super) struct Hello<'a> {
    pub(super) lifetime_ms: u32,
    pub(super) token: Option<&'a [u8]>,
    pub(super) metadata: &'a [u8],
}

impl Default for Hello<'_> {
    fn default() -> Self {
        Self {
            lifetime_ms: 90_000,
            token: None,
            metadata: b"",
        }
    }
}

impl Hello<'_> {
    /// SETUP without a length.
    pub(super) fn bare(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for number in [0x0001_0000, 20_000, self.lifetime_ms] {
            body.extend_from_slice(&number.to_be_bytes());
        }
        let mut flags = METADATA;
        if let Some(token) = self.token {
            flags |= TOKEN;
            body.extend_from_slice(&(token.len() as u16).to_be_bytes());
            body.extend_from_slice(token);
        }
        for mime in ["message/x.rsocket.composite-metadata.v0", "a/b"] {
            body.push(mime.len() as u8);
            body.extend_from_slice(mime.as_bytes());
        }
        body.extend(with_metadata(self.metadata, b""));
        bare(0, SETUP, flags, &body)
    }
}

/// Composite metadata that registers a service, and names the application if that has a uuid.
pub(super) fn registers(service: &str, uuid: Option<&str>) -> Vec<u8> {
    let entry = |id: u8, text: String| {
        let mut out = vec![0x80 | id];
        out.extend(with_metadata(text.as_bytes(), b""));
        out
    };
    let app = uuid.map(|uuid| format!(r#"{{"name":"mallory","uuid":"{uuid}"}}"#));
    let mut out = app.map(|app| entry(0x51, app)).unwrap_or_default();
    out.extend(entry(0x54, format!(r#"{{"published":["{service}"]}}"#)));
    out
}

/// A received frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) stream: u32,
    pub(super) kind: u8,
    pub(super) flags: u16,
    pub(super) body: Vec<u8>,
}

impl Frame {
    /// The code of an ERROR.
    pub(super) fn code(&self) -> Option<u32> {
        let code = self.body.first_chunk().filter(|_| self.kind == ERROR);
        code.map(|code| u32::from_be_bytes(*code))
    }
}

/// One socket. Nothing is sent that was not asked for, KEEPALIVE neither.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
}

impl Peer {
    /// Connects and says nothing.
    pub(super) fn silent(broker: &Broker) -> Self {
        Self::try_silent(broker, Transport::Tcp).expect("it accepts")
    }

    pub(super) fn try_silent(broker: &Broker, transport: Transport) -> io::Result<Self> {
        let stream = TcpStream::connect(address(broker, transport))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// From another address of this machine.
    pub(super) fn silent_from(broker: &Broker, last: u8) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let stream = runtime.expect("a runtime").block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
            socket.bind(from).expect("a loopback address");
            let stream = socket.connect(address(broker, Transport::Tcp)).await;
            stream.expect("it accepts").into_std().expect("a socket")
        });
        stream.set_nonblocking(false).expect("a blocking socket");
        let limit = Some(Duration::from_secs(30));
        stream.set_read_timeout(limit).expect("a limit");
        Self { stream }
    }

    /// Connects and introduces itself.
    pub(super) fn hello(broker: &Broker, hello: &Hello<'_>) -> Self {
        let mut peer = Self::silent(broker);
        peer.send(&framed(&hello.bare())).expect("it reads");
        peer
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame; none at the end of the connection, however it ends.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut prefix = [0; 3];
        self.stream.read_exact(&mut prefix).ok()?;
        let len = u32::from_be_bytes([0, prefix[0], prefix[1], prefix[2]]) as usize;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).ok()?;
        let word = u16::from_be_bytes([bytes[4], bytes[5]]);
        Some(Frame {
            stream: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            kind: (word >> 10) as u8,
            flags: word & 0x3FF,
            body: bytes.split_off(6),
        })
    }

    /// The next frame of a stream; frames of others are passed over.
    pub(super) fn next_of(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.stream == stream {
                return Some(frame);
            }
        }
    }

    /// The ERROR on stream zero with which the connection ends.
    pub(super) fn farewell(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.stream == 0 {
                code = frame.code().or(code);
            }
        }
        code
    }

    /// Whether the broker has closed within the time.
    pub(super) fn is_closed_within(&mut self, limit: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(limit));
        let mut room = [0; 4096];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    let late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                    return !late.contains(&error.kind());
                }
            }
        }
    }
}

fn address(broker: &Broker, transport: Transport) -> SocketAddr {
    let uri = broker.uri(transport);
    let rest = uri.split("://").nth(1).unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    host.parse().expect("an address")
}
