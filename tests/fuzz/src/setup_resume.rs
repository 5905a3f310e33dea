//! First frames against the sheet's section 1.4, and one session over many transports against 1.9.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    engine::{
        First, Offer, judge_first,
        resume::{Session, Token},
    },
    wire::{ErrorCode, Flags, Frame, FrameType, Header, Resume, StreamId, Version},
};

use crate::input::Input;

const TOKEN: &[u8] = b"sixteen bytes ok";

/// Half of the inputs are a first frame, the other half the life of a session.
pub fn setup_resume(data: &[u8]) {
    let mut input = Input::new(data);
    if input.flip() {
        let offer = Offer {
            resume: input.flip(),
            lease: input.flip(),
        };
        first(input.rest(), offer);
    } else {
        session(&mut input);
    }
}

// ---- first frames

fn first(bytes: &[u8], offer: Offer) {
    let found = match judge_first(Frame::decode(bytes), offer) {
        Ok(First::Setup { token, .. }) => Ok(token.is_some()),
        Ok(First::Resume(_)) => Ok(false),
        Err(violation) => Err(violation.code),
    };
    assert_eq!(found, judge(bytes, offer));
}

/// Whether a session is wanted, or the code to refuse with.
fn judge(bytes: &[u8], offer: Offer) -> Result<bool, ErrorCode> {
    let invalid = Err(ErrorCode::INVALID_SETUP);
    let mut reader = Input::new(bytes);
    if bytes.len() < 6 {
        return invalid;
    }
    let stream = reader.word() & 0x7FFF_FFFF;
    let [high, low] = [reader.byte(), reader.byte()];
    let (kind, flags) = (high >> 2, u16::from(high & 3) << 8 | u16::from(low));
    match kind {
        1 | 13 if stream != 0 => invalid,
        1 => setup(reader, flags, offer),
        13 => {
            reader.take(4);
            let len = short(&mut reader);
            match reader.rest().len() >= len + 16 {
                true if offer.resume => Ok(false),
                true => Err(ErrorCode::REJECTED_RESUME),
                false => invalid,
            }
        }
        _ => invalid,
    }
}

fn setup(mut reader: Input<'_>, flags: u16, offer: Offer) -> Result<bool, ErrorCode> {
    let invalid = Err(ErrorCode::INVALID_SETUP);
    if reader.rest().len() < 12 {
        return invalid;
    }
    let (version, keepalive, lifetime) = (reader.word(), reader.word(), reader.word());
    let mut token = None;
    if flags & 0x80 != 0 {
        if reader.rest().len() < 2 {
            return invalid;
        }
        let len = short(&mut reader);
        token = Some(len);
        if reader.take(len).len() < len {
            return invalid;
        }
    }
    for _mime in 0..2 {
        if reader.is_empty() {
            return invalid;
        }
        let len = usize::from(reader.byte());
        if reader.take(len).len() < len {
            return invalid;
        }
    }
    if flags & 0x100 != 0 {
        let [a, b, c, ..] = *reader.rest() else {
            return invalid;
        };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if reader.rest().len() - 3 < len {
            return invalid;
        }
    }
    if version != 0x0001_0000
        || !(1..1 << 31).contains(&keepalive)
        || !(1..1 << 31).contains(&lifetime)
    {
        return invalid;
    }
    match token {
        Some(_) if !offer.resume => Err(ErrorCode::REJECTED_SETUP),
        Some(..16) => Err(ErrorCode::REJECTED_SETUP),
        _ if flags & 0x40 != 0 && !offer.lease => Err(ErrorCode::UNSUPPORTED_SETUP),
        token => Ok(token.is_some()),
    }
}

fn short(reader: &mut Input<'_>) -> usize {
    let [a, b] = [reader.byte(), reader.byte()];
    usize::from(u16::from_be_bytes([a, b]))
}

// ---- a session

/// One end: what it has sent since the beginning, and what has arrived here, in order.
struct End {
    session: Session,
    sent: Vec<u8>,
    arrived: Vec<u8>,
    /// On their way to the other end.
    flying: VecDeque<Vec<u8>>,
}

impl End {
    fn new(limit: usize) -> Self {
        let token = Token::copy_from(TOKEN).expect("long enough");
        Self {
            session: Session::new(token, limit),
            sent: Vec::new(),
            arrived: Vec::new(),
            flying: VecDeque::new(),
        }
    }

    /// Frames that do not count are sent too, and must change nothing.
    fn send(&mut self, frame: Vec<u8>) {
        let (head, body) = frame.split_at(6);
        let pinned = body.len();
        self.session
            .on_sent(head, Bytes::copy_from_slice(body), pinned);
        if counts(&frame) {
            self.sent.extend_from_slice(&frame);
        }
        self.flying.push_back(frame);
    }

    fn receive(&mut self, frame: &[u8]) {
        self.session.on_received(frame);
        if counts(frame) {
            self.arrived.extend_from_slice(frame);
        }
        assert_eq!(self.session.received(), self.arrived.len() as u64);
    }

    fn send_again(&mut self) {
        let frames = self
            .session
            .replay()
            .map(|kept| [&kept.head[..], &kept.body].concat());
        self.flying = frames.collect();
    }
}

/// Streams of a type that is sent again (sheet 1.9), from the bytes.
fn counts(frame: &[u8]) -> bool {
    let stream = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) & 0x7FFF_FFFF;
    stream != 0 && matches!(frame[4] >> 2, 4..=11)
}

/// Sends, deliveries, acknowledgements, cuts and resumes in any order: what arrives is always a
/// beginning of what was sent, without a gap or a double.
fn session(input: &mut Input<'_>) {
    let limit = 256 << input.below(8);
    let (mut client, mut server) = (End::new(limit), End::new(limit));
    let mut steps = 0;
    while !input.is_empty() && steps < 300 {
        steps += 1;
        let (near, far) = match input.flip() {
            true => (&mut client, &mut server),
            false => (&mut server, &mut client),
        };
        match input.byte() % 6 {
            0 | 1 => near.send(frame(input)),
            2 | 3 => {
                if let Some(frame) = near.flying.pop_front() {
                    far.receive(&frame);
                }
            }
            4 => acknowledge(near, far, input),
            _ => {
                if !resume(&mut client, &mut server, input) {
                    return;
                }
            }
        }
        assert!(client.sent.starts_with(&server.arrived));
        assert!(server.sent.starts_with(&client.arrived));
    }
}

/// A KEEPALIVE of `far`: the truth, or a lie.
fn acknowledge(near: &mut End, far: &End, input: &mut Input<'_>) {
    let truth = far.session.received();
    assert!(near.session.on_position(truth).is_ok());
    let lie = u64::from(input.number());
    let beyond = lie > near.sent.len() as u64;
    // A lie below what was sent would make us drop what the liar needs: its own loss, not ours.
    if beyond {
        assert!(near.session.on_position(lie).is_err());
    }
}

/// All that flies is lost; the client comes back. False when the session is over.
fn resume(client: &mut End, server: &mut End, input: &mut Input<'_>) -> bool {
    client.flying.clear();
    server.flying.clear();
    if input.byte().is_multiple_of(8) {
        hostile(server, input);
        return false;
    }
    let kept = |end: &End, from: u64| end.session.sent().first_available() <= from;
    let possible =
        kept(server, client.session.received()) && kept(client, server.session.received());
    let resume = client.session.resume();
    let accepted = server.session.accept(&resume);
    assert_eq!(accepted.is_ok(), possible);
    let Ok(ok) = accepted else { return false };
    assert!(client.session.continue_with(ok).is_ok());
    client.send_again();
    server.send_again();
    true
}

/// A RESUME that says anything: accepted only with the token, at a position where a frame begins.
fn hostile(server: &mut End, input: &mut Input<'_>) {
    let mut token = TOKEN.to_vec();
    if input.flip() {
        let at = input.below(token.len());
        token[at] ^= input.byte();
        token.truncate(usize::from(input.byte()).max(1));
    }
    let (last_received, first_available) = (input.number().into(), input.number().into());
    let resume = Resume {
        version: Version { major: 0, minor: 1 },
        token: &token,
        last_received,
        first_available,
    };
    // As it comes off the wire.
    let mut bytes = BytesMut::new();
    resume.encode(&mut bytes);
    let frame = Frame::decode(&bytes).expect("a frame");
    let Ok(First::Resume(resume)) = judge_first(
        Ok(frame),
        Offer {
            resume: true,
            lease: true,
        },
    ) else {
        panic!("a RESUME");
    };
    let boundary = server.session.sent().check(last_received).is_ok();
    let honest = first_available <= server.session.received();
    let accepted = server.session.accept(&resume);
    assert_eq!(accepted.is_ok(), token == TOKEN && boundary && honest);
    if accepted.is_ok() {
        let again: Vec<u8> = server
            .session
            .replay()
            .flat_map(|kept| [&kept.head[..], &kept.body].concat())
            .collect();
        assert!(again == server.sent[last_received as usize..]);
    }
}

fn frame(input: &mut Input<'_>) -> Vec<u8> {
    const TYPES: [u8; 16] = [4, 5, 6, 7, 8, 9, 10, 10, 10, 10, 11, 2, 3, 12, 13, 0x3F];
    let kind = FrameType(TYPES[input.below(TYPES.len())]);
    let stream = StreamId::from_wire(u32::from(input.byte() % 4));
    let mut frame = Header::new(stream, kind, Flags::NONE).encode().to_vec();
    let len = match input.byte() {
        255 => 5000,
        len => usize::from(len),
    };
    frame.extend(input.filler(len));
    frame
}
