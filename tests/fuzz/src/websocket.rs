use bytes::Bytes;
use jackfield_rsocket::net::TransportKind;

use crate::{
    input::Input,
    split::{Cuts, End, Read, read},
};

const FRAME_MAX: usize = 1000;

const HELLO: &[u8] = b"GET /rsocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What a client sends behind its handshake: the same messages wherever it is cut; and when the
/// bytes were built from frames, those that RFC 6455 makes of them.
pub fn websocket(data: &[u8]) {
    let mut input = Input::new(data);
    let built = input.flip();
    let pieces = 1 + input.below(8);
    let lengths = input.take(pieces);
    let (bytes, expected) = match built {
        true => {
            let frames = frames(input);
            let bytes = frames.iter().flat_map(Frame::bytes).collect();
            (bytes, Some(expect(&frames)))
        }
        false => (input.rest().to_vec(), None),
    };
    let whole = read_ws(&bytes, Cuts::Nowhere);
    for cuts in [Cuts::Everywhere, Cuts::Into(lengths)] {
        assert_eq!(read_ws(&bytes, cuts), whole, "{cuts:?}");
    }
    if let Some(expected) = expected {
        assert_eq!(whole, expected);
    }
}

/// Ends by a cut and by a fault are one: the library tells them apart in its own way.
fn read_ws(bytes: &[u8], cuts: Cuts<'_>) -> Read {
    let (frames, end) = read(TransportKind::WebSocket, FRAME_MAX, HELLO, bytes, cuts);
    (frames, if end == End::Cut { End::Fault } else { end })
}

#[derive(Debug)]
struct Frame {
    last: bool,
    reserved: u8,
    opcode: u8,
    masked: bool,
    /// How the length is written: as short as can be, in 16 bits, in 64 bits.
    form: u8,
    body: Vec<u8>,
}

fn frames(mut input: Input<'_>) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !input.is_empty() && frames.len() < 40 {
        let odd = input.byte();
        let opcode = match input.below(8) {
            0 | 1 => 2,
            2 | 3 => 0,
            4 => 9,
            5 => 10,
            6 => 8,
            _ => input.byte() & 0xF,
        };
        let len = match input.below(4) {
            0 => input.below(16),
            1 => 6 + input.below(200),
            2 => 4 * input.below(256),
            _ => 6,
        };
        frames.push(Frame {
            // Mostly in order: one oddity in eight frames.
            last: odd & 0x03 != 0,
            reserved: if odd & 0xE0 == 0x20 { odd >> 2 & 7 } else { 0 },
            opcode,
            masked: odd & 0xF8 != 0x40,
            form: if odd & 0xE0 == 0x80 { odd & 3 } else { 0 },
            body: input.filler(len),
        });
    }
    frames
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.last) << 7 | self.reserved << 4 | self.opcode];
        let mask = u8::from(self.masked) << 7;
        let len = self.body.len();
        match (self.form, len) {
            (0, ..126) => out.push(mask | len as u8),
            (0 | 1, _) => {
                out.push(mask | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                out.push(mask | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let key = [0x37, 0xFA, 0x21, 0x3D];
        if self.masked {
            out.extend_from_slice(&key);
        }
        let masked = self.body.iter().zip(key.iter().cycle());
        out.extend(masked.map(|(byte, key)| if self.masked { byte ^ key } else { *byte }));
        out
    }

    const fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    /// What no server may take from a client.
    fn is_illegal(&self) -> bool {
        let control = self.is_control() && (!self.last || self.body.len() > 125);
        self.reserved != 0 || !self.masked || control || matches!(self.opcode, 3..=7 | 11..)
    }
}

fn expect(frames: &[Frame]) -> Read {
    let mut messages = Vec::new();
    // The message that is being put together.
    let mut partial: Option<Vec<u8>> = None;
    for frame in frames {
        let begun = partial.as_ref().map_or(0, Vec::len);
        if frame.is_illegal() || (!frame.is_control() && begun + frame.body.len() > FRAME_MAX) {
            return (messages, End::Fault);
        }
        match (frame.opcode, partial.take()) {
            (8, _) => return (messages, End::Clean),
            (9 | 10, kept) => {
                partial = kept;
                continue;
            }
            // Text, a continuation of nothing, and a message inside another.
            (1, _) | (0, None) | (2, Some(_)) => return (messages, End::Fault),
            (_, begun) => {
                let message = [begun.unwrap_or_default(), frame.body.clone()].concat();
                match frame.last {
                    true if message.len() < 6 => return (messages, End::Fault),
                    true => messages.push(Bytes::from(message)),
                    false => partial = Some(message),
                }
            }
        }
    }
    // A peer that goes without a word is no fault, unless it was in the middle of a message.
    let end = if partial.is_some() {
        End::Fault
    } else {
        End::Clean
    };
    (messages, end)
}
