//! A WebSocket client that keeps to no rule: handshake and frames by hand.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::peer::Peer;
use crate::broker::{Broker, Transport};

/// How one WebSocket frame is written.
#[derive(Clone, Debug)]
pub(super) struct WsFrame<'a> {
    pub(super) last: bool,
    pub(super) reserved: u8,
    pub(super) opcode: u8,
    pub(super) masked: bool,
    /// Said instead of the true length, in 64 bits.
    pub(super) claims: Option<u64>,
    pub(super) body: &'a [u8],
}

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;

impl<'a> WsFrame<'a> {
    /// As it should be.
    pub(super) const fn of(opcode: u8, body: &'a [u8]) -> Self {
        Self {
            last: true,
            reserved: 0,
            opcode,
            masked: true,
            claims: None,
            body,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.last) << 7 | self.reserved << 4 | self.opcode];
        let mask = u8::from(self.masked) << 7;
        match (self.claims, self.body.len()) {
            (Some(claims), _) => {
                out.push(mask | 127);
                out.extend_from_slice(&claims.to_be_bytes());
            }
            (None, len @ 0..126) => out.push(mask | len as u8),
            (None, len @ 126..0x1_0000) => {
                out.push(mask | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            (None, len) => {
                out.push(mask | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if self.masked {
            // A mask of zeros is a mask.
            out.extend_from_slice(&[0; 4]);
        }
        out.extend_from_slice(self.body);
        out
    }
}

pub(super) struct WsPeer {
    peer: Peer,
    /// The broker's answer to the handshake.
    pub(super) head: String,
}

impl WsPeer {
    /// Shakes hands, and asks for compression.
    pub(super) fn connect(broker: &Broker) -> Self {
        let mut peer = Peer::try_silent(broker, Transport::Ws).expect("it accepts");
        peer.send(
            b"GET /rsocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, \
              x-webkit-deflate-frame\r\n\r\n",
        )
        .expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            peer.stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
        Self { peer, head }
    }

    pub(super) fn send(&mut self, frame: &WsFrame<'_>) -> io::Result<()> {
        self.peer.send(&frame.bytes())
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.peer.send(bytes)
    }

    /// Sends these bytes again and again until `end`, as far as the broker reads them. Returns how often,
    /// and what is left to be said of the last time.
    pub(super) fn flood<'b>(&mut self, bytes: &'b [u8], end: Instant) -> (u64, &'b [u8]) {
        let wait = Some(Duration::from_millis(100));
        self.peer.stream.set_write_timeout(wait).expect("a limit");
        let (mut times, mut left) = (0, bytes);
        while Instant::now() < end {
            if let Ok(sent) = self.peer.stream.write(left) {
                left = &left[sent..];
            }
            if left.is_empty() {
                (times, left) = (times + 1, bytes);
            }
        }
        self.peer.stream.set_write_timeout(None).expect("no limit");
        (times, left)
    }

    /// Another hand on the same socket, to write while this one reads.
    pub(super) fn writer(&self) -> TcpStream {
        self.peer.stream.try_clone().expect("a socket")
    }

    /// The next message: its opcode and body; none at the end.
    pub(super) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.peer.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[0] & 0x70, 0, "no extension was agreed to");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.peer.stream.read_exact(&mut len).ok()?;
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.peer.stream.read_exact(&mut len).ok()?;
                u64::from_be_bytes(len)
            }
            len => len.into(),
        };
        let mut body = vec![0; len as usize];
        self.peer.stream.read_exact(&mut body).ok()?;
        Some((head[0] & 0xF, body))
    }

    /// The code of the close message that ends the connection; none when it ends without.
    pub(super) fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some((opcode, body)) = self.next() {
            if opcode == CLOSE {
                code = body.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
        code
    }
}
