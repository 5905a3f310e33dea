//! RSocket frames over TCP, as few as the load needs: u24 length, u32 stream, type and flags.
//!
//! Writers append to a `Vec<u8>`; the reader borrows from the bytes it is given. Anything that
//! does not parse is [`Garbled`], which ends the connection and shows in the tally.

use bytes::BufMut;

pub(crate) const SETUP: u8 = 0x01;
pub(crate) const KEEPALIVE: u8 = 0x03;
pub(crate) const REQUEST_RESPONSE: u8 = 0x04;
pub(crate) const REQUEST_FNF: u8 = 0x05;
pub(crate) const REQUEST_STREAM: u8 = 0x06;
pub(crate) const REQUEST_CHANNEL: u8 = 0x07;
pub(crate) const REQUEST_N: u8 = 0x08;
pub(crate) const CANCEL: u8 = 0x09;
pub(crate) const PAYLOAD: u8 = 0x0A;
pub(crate) const ERROR: u8 = 0x0B;

const METADATA: u16 = 0x100;
/// On a KEEPALIVE: please answer.
pub(crate) const RESPOND: u16 = 0x080;
/// On a request or a payload: fragments follow.
pub(crate) const FOLLOWS: u16 = 0x080;
pub(crate) const COMPLETE: u16 = 0x040;
pub(crate) const NEXT: u16 = 0x020;

pub(crate) const REJECTED: u32 = 0x202;

/// Data that begins with this byte is not echoed.
pub(crate) const DISCARD: u8 = 0xFF;

const MIME_ROUTING: u8 = 0x7E;
const MIME_APP: u8 = 0x51;
const MIME_SERVICES: u8 = 0x54;
const COMPOSITE: &[u8] = b"message/x.rsocket.composite-metadata.v0";
const OCTETS: &[u8] = b"application/octet-stream";

/// Bytes of the length and of the header before a frame's own fields.
const LENGTH: usize = 3;
pub(crate) const STREAM_AT: usize = LENGTH;
const HEADER: usize = 6;
const KEEPALIVE_MILLIS: u32 = 20_000;
const LIFETIME_MILLIS: u32 = 90_000;

/// The peer sent something that is not what the protocol allows here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Garbled;

/// One received frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) stream: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of `input` and the bytes it took, or `None` while it is incomplete.
    pub(crate) fn split(input: &'a [u8]) -> Result<Option<(usize, Self)>, Garbled> {
        let [a, b, c, rest @ ..] = input else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if length < HEADER {
            return Err(Garbled);
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let head = u16::from_be_bytes([frame[4], frame[5]]);
        let frame = Self {
            stream: word(frame, 0)?,
            kind: (head >> 10) as u8,
            flags: head & 0x3FF,
            body: &frame[HEADER..],
        };
        Ok(Some((LENGTH + length, frame)))
    }

    /// The number at the start of REQUEST_STREAM, REQUEST_N and ERROR.
    pub(crate) fn number(&self) -> Result<u32, Garbled> {
        word(self.body, 0)
    }

    /// What follows `fixed` bytes of fields and the metadata block, if there is one.
    pub(crate) fn data(&self, fixed: usize) -> Result<&'a [u8], Garbled> {
        let rest = self.body.get(fixed..).ok_or(Garbled)?;
        if self.flags & METADATA == 0 {
            return Ok(rest);
        }
        let [a, b, c, rest @ ..] = rest else {
            return Err(Garbled);
        };
        let metadata = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        rest.get(metadata..).ok_or(Garbled)
    }

    pub(crate) fn wants_answer(&self) -> bool {
        self.kind == KEEPALIVE && self.flags & RESPOND != 0
    }
}

/// The big-endian number at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> Result<u32, Garbled> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_be_bytes).ok_or(Garbled)
}

pub(crate) fn put_setup(out: &mut Vec<u8>, metadata: &[u8]) {
    put_setup_for(out, metadata, LIFETIME_MILLIS);
}

/// For a client that may be silent for so long.
pub(crate) fn put_setup_for(out: &mut Vec<u8>, metadata: &[u8], lifetime_millis: u32) {
    frame(out, 0, SETUP, METADATA, |out| {
        out.put_u32(0x0001_0000);
        out.put_u32(KEEPALIVE_MILLIS);
        out.put_u32(lifetime_millis);
        for mime in [COMPOSITE, OCTETS] {
            out.put_u8(mime.len() as u8);
            out.put_slice(mime);
        }
        put_metadata(out, metadata);
    });
}

pub(crate) fn put_request_response(out: &mut Vec<u8>, stream: u32, metadata: &[u8], data: &[u8]) {
    frame(out, stream, REQUEST_RESPONSE, METADATA, |out| {
        put_metadata(out, metadata);
        out.put_slice(data);
    });
}

pub(crate) fn put_request_fnf(out: &mut Vec<u8>, stream: u32, metadata: &[u8], data: &[u8]) {
    frame(out, stream, REQUEST_FNF, METADATA, |out| {
        put_metadata(out, metadata);
        out.put_slice(data);
    });
}

/// The first fragment of a request/response.
pub(crate) fn put_request_begin(out: &mut Vec<u8>, stream: u32, metadata: &[u8]) {
    frame(out, stream, REQUEST_RESPONSE, METADATA | FOLLOWS, |out| {
        put_metadata(out, metadata);
    });
}

pub(crate) fn put_request_stream(
    out: &mut Vec<u8>,
    stream: u32,
    credit: u32,
    metadata: &[u8],
    data: &[u8],
) {
    frame(out, stream, REQUEST_STREAM, METADATA, |out| {
        out.put_u32(credit);
        put_metadata(out, metadata);
        out.put_slice(data);
    });
}

/// A payload without metadata; its data is `head` and `tail` one after the other.
pub(crate) fn put_payload(out: &mut Vec<u8>, stream: u32, flags: u16, head: &[u8], tail: &[u8]) {
    frame(out, stream, PAYLOAD, flags, |out| {
        out.put_slice(head);
        out.put_slice(tail);
    });
}

pub(crate) fn put_keepalive(out: &mut Vec<u8>, flags: u16, data: &[u8]) {
    frame(out, 0, KEEPALIVE, flags, |out| {
        out.put_u64(0);
        out.put_slice(data);
    });
}

pub(crate) fn put_error(out: &mut Vec<u8>, stream: u32, code: u32, text: &str) {
    frame(out, stream, ERROR, 0, |out| {
        out.put_u32(code);
        out.put_slice(text.as_bytes());
    });
}

/// Composite metadata with one routing entry, as a caller sends it with each request.
pub(crate) fn route_metadata(route: &str) -> Vec<u8> {
    let mut tags = vec![route.len() as u8];
    tags.put_slice(route.as_bytes());
    let mut metadata = Vec::new();
    put_entry(&mut metadata, MIME_ROUTING, &tags);
    metadata
}

/// Composite metadata of the SETUP by which an app introduces itself and what it serves.
pub(crate) fn app_metadata(name: &str, services: &[String]) -> Vec<u8> {
    let mut metadata = Vec::new();
    put_entry(
        &mut metadata,
        MIME_APP,
        format!("{{\"name\":\"{name}\"}}").as_bytes(),
    );
    let published = services
        .iter()
        .map(|service| format!("\"{service}\""))
        .collect::<Vec<_>>();
    let published = format!("{{\"published\":[{}]}}", published.join(","));
    put_entry(&mut metadata, MIME_SERVICES, published.as_bytes());
    metadata
}

fn put_entry(out: &mut Vec<u8>, mime: u8, content: &[u8]) {
    out.put_u8(0x80 | mime);
    out.put_uint(content.len() as u64, 3);
    out.put_slice(content);
}

fn put_metadata(out: &mut Vec<u8>, metadata: &[u8]) {
    out.put_uint(metadata.len() as u64, 3);
    out.put_slice(metadata);
}

/// Length and header, then whatever `body` appends; the length is filled in afterwards.
fn frame(out: &mut Vec<u8>, stream: u32, kind: u8, flags: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_slice(&[0; LENGTH]);
    out.put_u32(stream);
    out.put_u16(u16::from(kind) << 10 | flags);
    body(out);
    let length = (out.len() - start - LENGTH) as u32;
    out[start..start + LENGTH].copy_from_slice(&length.to_be_bytes()[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_and_its_bytes_are_the_protocols() {
        let mut out = Vec::new();
        put_request_response(&mut out, 7, &route_metadata("a.B.c"), b"hi");
        let golden = b"\x00\x00\x15\x00\x00\x00\x07\x11\x00\x00\x00\x0a\xfe\x00\x00\x06\x05a.B.chi";
        assert_eq!(out, golden);
        let (taken, frame) = Frame::split(&out).unwrap().unwrap();
        assert_eq!(
            (taken, frame.stream, frame.kind),
            (out.len(), 7, REQUEST_RESPONSE)
        );
        assert_eq!(frame.data(0), Ok(&b"hi"[..]));
    }

    #[test]
    fn an_app_introduces_itself() {
        let metadata = app_metadata("load", &["load.Echo".into()]);
        let golden =
            b"\xd1\x00\x00\x0f{\"name\":\"load\"}\xd4\x00\x00\x1b{\"published\":[\"load.Echo\"]}";
        assert_eq!(metadata, golden);
    }

    #[test]
    fn every_prefix_of_a_frame_is_incomplete_and_lies_are_garbled() {
        let mut out = Vec::new();
        put_setup(&mut out, b"m");
        for end in 0..out.len() {
            assert_eq!(Frame::split(&out[..end]), Ok(None));
        }
        assert_eq!(Frame::split(&[0, 0, 5, 0, 0, 0, 0, 0]), Err(Garbled));
        // A metadata length that runs past the frame.
        let lie = [0, 0, 9, 0, 0, 0, 1, 0x11, 0, 0, 0, 1];
        let (_, frame) = Frame::split(&lie).unwrap().unwrap();
        assert_eq!(frame.data(0), Err(Garbled));
    }
}
