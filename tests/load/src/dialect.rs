//! How a caller asks and is answered, in RSocket, in NATS, and over a bare echo of bytes.
//!
//! A request is a template with its numbers overwritten, the same work in every dialect, so that
//! the generator costs about the same whatever it drives. The first eight bytes of the data are
//! the connection's number and the call's number, and a reply must end with exactly the data of
//! its request; what stands before is the label of the responder that answered.

use bytes::BufMut;

use crate::{
    frame::{self, Frame, Garbled},
    nats::{self, Op},
};

/// The two numbers at the start of the data.
pub(crate) const SIZE_MIN: usize = 8;

/// What one received message was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Answered {
        serial: u32,
        data: &'a [u8],
    },
    Failed {
        serial: u32,
        code: u32,
        text: &'a [u8],
    },
    /// Part of the conversation, but not of a call.
    Control,
    /// The peer says that this connection is over.
    Closed {
        code: u32,
        text: &'a [u8],
    },
}

pub(crate) trait Dialect: Send + 'static {
    /// Appends what opens the connection.
    fn hello(&self, out: &mut Vec<u8>);

    /// Appends call number `serial`.
    fn request(&mut self, serial: u32, out: &mut Vec<u8>);

    /// The first message of `input` and the bytes it took; may append an answer to `out`.
    fn reply<'a>(
        &self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Reply<'a>)>, Garbled>;

    /// The data that the reply to `serial` must end with.
    fn data(&mut self, serial: u32) -> &[u8];
}

/// The data of one connection's calls: two numbers and a filler.
struct Body(Vec<u8>);

impl Body {
    fn new(connection: u32, size: usize) -> Self {
        let mut body = vec![b'x'; size.max(SIZE_MIN)];
        body[..4].copy_from_slice(&connection.to_be_bytes());
        Self(body)
    }

    fn of(&mut self, serial: u32) -> &[u8] {
        self.0[4..8].copy_from_slice(&serial.to_be_bytes());
        &self.0
    }
}

/// REQUEST_RESPONSE with a composite routing entry.
pub(crate) struct RSocket {
    body: Body,
    template: Vec<u8>,
    serial_at: usize,
}

impl RSocket {
    pub(crate) fn new(connection: u32, size: usize, route: &str) -> Self {
        let mut body = Body::new(connection, size);
        let metadata = frame::route_metadata(route);
        let mut template = Vec::new();
        frame::put_request_response(&mut template, 0, &metadata, body.of(0));
        let serial_at = template.len() - body.0.len() + 4;
        Self {
            body,
            template,
            serial_at,
        }
    }
}

impl Dialect for RSocket {
    fn hello(&self, out: &mut Vec<u8>) {
        frame::put_setup(out, b"");
    }

    fn request(&mut self, serial: u32, out: &mut Vec<u8>) {
        put_number(&mut self.template, frame::STREAM_AT, 2 * serial + 1);
        put_number(&mut self.template, self.serial_at, serial);
        out.put_slice(&self.template);
    }

    fn reply<'a>(
        &self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Reply<'a>)>, Garbled> {
        let Some((taken, frame)) = Frame::split(input)? else {
            return Ok(None);
        };
        let serial = frame.stream / 2;
        let reply = match frame.kind {
            frame::PAYLOAD
                if frame.flags & frame::NEXT != 0 && frame.flags & frame::FOLLOWS == 0 =>
            {
                Reply::Answered {
                    serial,
                    data: frame.data(0)?,
                }
            }
            frame::ERROR if frame.stream == 0 => Reply::Closed {
                code: frame.number()?,
                text: frame.data(4)?,
            },
            frame::ERROR => Reply::Failed {
                serial,
                code: frame.number()?,
                text: frame.data(4)?,
            },
            frame::KEEPALIVE => {
                if frame.wants_answer() {
                    frame::put_keepalive(out, 0, frame.data(8)?);
                }
                Reply::Control
            }
            _ => Reply::Control,
        };
        Ok(Some((taken, reply)))
    }

    fn data(&mut self, serial: u32) -> &[u8] {
        self.body.of(serial)
    }
}

/// PUB with a reply subject below the connection's own inbox, to which it subscribed once.
pub(crate) struct Nats {
    body: Body,
    inbox: String,
    template: Vec<u8>,
    digits_at: usize,
    serial_at: usize,
}

/// A serial number is written with all its digits, so that every request has the same length.
const DIGITS: usize = 10;

impl Nats {
    pub(crate) fn new(connection: u32, size: usize, subject: &str) -> Self {
        let mut body = Body::new(connection, size);
        let inbox = format!("_INBOX.{:08x}{connection:08x}", std::process::id());
        let data = body.of(0);
        let mut template = format!("PUB {subject} {inbox}.").into_bytes();
        let digits_at = template.len();
        template.put_slice(format!("{:0DIGITS$} {}\r\n", 0, data.len()).as_bytes());
        let serial_at = template.len() + 4;
        template.put_slice(data);
        template.put_slice(b"\r\n");
        Self {
            body,
            inbox,
            template,
            digits_at,
            serial_at,
        }
    }
}

impl Dialect for Nats {
    fn hello(&self, out: &mut Vec<u8>) {
        out.put_slice(nats::CONNECT);
        out.put_slice(format!("SUB {}.* 1\r\n", self.inbox).as_bytes());
    }

    fn request(&mut self, serial: u32, out: &mut Vec<u8>) {
        let mut rest = serial;
        for digit in self.template[self.digits_at..][..DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        put_number(&mut self.template, self.serial_at, serial);
        out.put_slice(&self.template);
    }

    fn reply<'a>(
        &self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Reply<'a>)>, Garbled> {
        let Some((taken, op)) = nats::split(input)? else {
            return Ok(None);
        };
        let reply = match op {
            Op::Msg { subject, data, .. } => {
                let digits = subject.get(self.inbox.len() + 1..).ok_or(Garbled)?;
                let serial = nats::decimal(digits).and_then(|serial| serial.try_into().ok());
                Reply::Answered {
                    serial: serial.ok_or(Garbled)?,
                    data,
                }
            }
            Op::Err(text) => Reply::Closed { code: 0, text },
            Op::Ping => {
                out.put_slice(nats::PONG);
                Reply::Control
            }
            Op::Pong | Op::Other => Reply::Control,
        };
        Ok(Some((taken, reply)))
    }

    fn data(&mut self, serial: u32) -> &[u8] {
        self.body.of(serial)
    }
}

/// Bare bytes to an echo: what the sockets alone cost.
pub(crate) struct Raw(Body);

impl Raw {
    pub(crate) fn new(connection: u32, size: usize) -> Self {
        Self(Body::new(connection, size))
    }
}

impl Dialect for Raw {
    fn hello(&self, _out: &mut Vec<u8>) {}

    fn request(&mut self, serial: u32, out: &mut Vec<u8>) {
        out.put_slice(self.0.of(serial));
    }

    fn reply<'a>(
        &self,
        input: &'a [u8],
        _out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Reply<'a>)>, Garbled> {
        let size = self.0.0.len();
        let Some(data) = input.get(..size) else {
            return Ok(None);
        };
        Ok(Some((
            size,
            Reply::Answered {
                serial: frame::word(data, 4)?,
                data,
            },
        )))
    }

    fn data(&mut self, serial: u32) -> &[u8] {
        self.0.of(serial)
    }
}

fn put_number(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_makes_the_same_bytes_as_the_codec() {
        let mut rsocket = RSocket::new(3, 12, "load.Echo.echo");
        let (mut made, mut written) = (Vec::new(), Vec::new());
        rsocket.request(5, &mut made);
        let data = rsocket.data(5).to_vec();
        let metadata = frame::route_metadata("load.Echo.echo");
        frame::put_request_response(&mut written, 11, &metadata, &data);
        assert_eq!(made, written);
        assert_eq!(data, b"\0\0\0\x03\0\0\0\x05xxxx");
    }

    #[test]
    fn nats_finds_the_call_by_its_inbox() {
        let mut nats = Nats::new(1, 8, "load.Echo");
        let mut out = Vec::new();
        nats.request(42, &mut out);
        let line = format!("PUB load.Echo {}.0000000042 8\r\n", nats.inbox);
        assert!(out.starts_with(line.as_bytes()) && out.ends_with(b"\0\0\0\x01\0\0\0\x2a\r\n"));
        let reply = format!("MSG {}.0000000042 1 2\r\nok\r\n", nats.inbox);
        let (_, reply) = nats.reply(reply.as_bytes(), &mut out).unwrap().unwrap();
        assert_eq!(
            reply,
            Reply::Answered {
                serial: 42,
                data: b"ok"
            }
        );
    }
}
