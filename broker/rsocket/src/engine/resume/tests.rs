//! Numbers are those of the conformance list.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::engine::Violation;
use crate::wire::{
    ErrorCode, ErrorFrame, Flags, Interaction, Keepalive, Lease, MetadataPush, Payload, Request,
    Resume, ResumeOk, StreamId, Version, cancel, request_n,
};

const TOKEN: &[u8] = b"sixteen bytes ok";

fn token() -> Token {
    Token::copy_from(TOKEN).unwrap()
}

fn session(limit: usize) -> Session {
    Session::new(token(), limit)
}

fn bytes(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.to_vec()
}

/// A PAYLOAD whose data is `len` bytes that say `number`.
fn payload(number: u32, len: usize) -> Vec<u8> {
    let data: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(len).collect();
    let payload = Payload {
        follows: false,
        complete: false,
        next: true,
        metadata: None,
        data: &data,
    };
    bytes(|out| payload.encode(StreamId::from_wire(1), out))
}

fn send(session: &mut Session, frame: &[u8]) -> usize {
    let (head, body) = frame.split_at(6);
    session.on_sent(head, Bytes::copy_from_slice(body), 0)
}

fn replayed(session: &Session) -> Vec<Vec<u8>> {
    let whole = |kept: &Kept| [&kept.head[..], &kept.body[..]].concat();
    session.replay().map(whole).collect()
}

fn resume_at(last_received: u64, first_available: u64) -> Resume<'static> {
    Resume {
        version: Version::V1_0,
        token: TOKEN,
        last_received,
        first_available,
    }
}

/// Conformance 109: what counts, and how much.
#[test]
fn positions_count_stream_frames_whole_and_nothing_else() {
    let stream = StreamId::from_wire(1);
    let request = |interaction| Request {
        interaction,
        initial_n: 1,
        follows: true,
        complete: false,
        metadata: None,
        data: b"quest",
    };
    let mut counted: Vec<Vec<u8>> = Interaction::ALL
        .into_iter()
        .map(|interaction| bytes(|out| request(interaction).encode(stream, out)))
        .collect();
    counted.push(payload(1, 9));
    counted.push(request_n(stream, 3).to_vec());
    counted.push(cancel(stream).to_vec());
    counted.push(bytes(|out| {
        ErrorFrame::new(ErrorCode::CANCELED, b"e").encode(stream, out);
    }));
    let keepalive = Keepalive {
        respond: true,
        position: 7,
        data: b"k",
    };
    let lease = Lease {
        ttl_ms: 1,
        requests: 1,
        metadata: None,
    };
    let uncounted = [
        bytes(|out| keepalive.encode(out)),
        bytes(|out| lease.encode(out)),
        bytes(|out| MetadataPush { metadata: b"m" }.encode(out)),
        bytes(|out| resume_at(0, 0).encode(out)),
        bytes(|out| ResumeOk { last_received: 0 }.encode(out)),
        bytes(|out| {
            ErrorFrame::new(ErrorCode::CONNECTION_ERROR, b"e").encode(StreamId::CONNECTION, out);
        }),
        Header::new(stream, FrameType::EXT, Flags::IGNORE)
            .encode()
            .to_vec(),
        Header::new(stream, FrameType::SETUP, Flags::NONE)
            .encode()
            .to_vec(),
        Header::new(stream, FrameType(0x0F), Flags::IGNORE)
            .encode()
            .to_vec(),
        vec![0; 5],
    ];
    let mut session = session(10_000);
    let mut expected = 0;
    for frame in &counted {
        session.on_received(frame);
        expected += frame.len() as u64;
        assert_eq!(session.received(), expected, "{frame:02x?}");
    }
    for frame in &uncounted {
        session.on_received(frame);
        assert_eq!(session.received(), expected, "{frame:02x?}");
        assert_eq!(session.on_sent(frame, Bytes::new(), 0), 0);
        assert_eq!(session.sent().position(), 0, "{frame:02x?}");
    }
    for frame in &counted {
        send(&mut session, frame);
    }
    assert_eq!(session.sent().position(), expected);
    assert_eq!(replayed(&session), counted);
}

/// The number that a foreign server was seen to answer after a request of 11 and a stream of 14
/// bytes.
#[test]
fn positions_agree_with_a_foreign_server() {
    let mut session = session(100);
    for (interaction, initial_n) in [(Interaction::Response, 0), (Interaction::Stream, 9)] {
        let request = Request {
            interaction,
            initial_n,
            follows: false,
            complete: false,
            metadata: None,
            data: if initial_n == 0 { b"hello" } else { b"four" },
        };
        session.on_received(&bytes(|out| request.encode(StreamId::from_wire(1), out)));
    }
    assert_eq!(session.received(), 25);
}

/// Conformance 108, 110, 111: every position a client may name.
#[test]
fn a_resume_is_accepted_where_frames_begin_and_nowhere_else() {
    let fresh = || {
        let mut session = session(10_000);
        for number in 0..4 {
            send(&mut session, &payload(number, 4));
        }
        session.on_position(10).unwrap();
        session.on_received(&payload(9, 4));
        session
    };
    for at in 0..60 {
        let mut session = fresh();
        let judged = session.accept(&resume_at(at, 0));
        if at % 10 == 0 && (10..=40).contains(&at) {
            assert_eq!(judged, Ok(ResumeOk { last_received: 10 }), "{at}");
            let expected: Vec<_> = (at as u32 / 10..4)
                .map(|number| payload(number, 4))
                .collect();
            assert_eq!(replayed(&session), expected);
        } else {
            let text = match at {
                0..10 => "position is not kept any more",
                41.. => "position is beyond what was sent",
                _ => "position is inside a frame",
            };
            let refused = Violation {
                code: ErrorCode::REJECTED_RESUME,
                text,
            };
            assert_eq!(judged, Err(refused), "{at}");
        }
    }
    // What the client can still send must begin where we stopped receiving, or before.
    assert!(fresh().accept(&resume_at(40, 10)).is_ok());
    let refused = fresh().accept(&resume_at(40, 11)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::REJECTED_RESUME);
}

/// Conformance 107, 112: the token decides, the version does not.
#[test]
fn the_token_decides() {
    let mut session = session(100);
    for wrong in [
        &b""[..],
        b"sixteen bytes no",
        b"sixteen bytes o",
        b"sixteen bytes ok!",
    ] {
        let resume = Resume {
            token: wrong,
            ..resume_at(0, 0)
        };
        assert_eq!(session.accept(&resume), Err(UNKNOWN_TOKEN));
    }
    let swapped = Resume {
        version: Version { major: 0, minor: 1 },
        ..resume_at(0, 0)
    };
    assert_eq!(session.accept(&swapped), Ok(ResumeOk { last_received: 0 }));
}

/// The client's half of 110: a server that makes no sense ends the session.
#[test]
fn resume_ok_is_judged_too() {
    let mut session = session(1000);
    send(&mut session, &payload(0, 4));
    send(&mut session, &payload(1, 4));
    assert_eq!(session.resume(), resume_at(0, 0));
    for wrong in [1, 19, 21] {
        let refused = session.continue_with(ResumeOk {
            last_received: wrong,
        });
        assert_eq!(refused.unwrap_err().code, ErrorCode::CONNECTION_ERROR);
    }
    assert_eq!(
        session.continue_with(ResumeOk { last_received: 10 }),
        Ok(())
    );
    assert_eq!(replayed(&session), [payload(1, 4)]);
    assert_eq!(session.resume(), resume_at(0, 10));
    let gone = session.continue_with(ResumeOk { last_received: 0 });
    assert_eq!(gone.unwrap_err().text, "position is not kept any more");
}

/// Conformance 48, 118: KEEPALIVE trims; zero and the past say nothing; the future ends it.
#[test]
fn keepalive_trims_what_is_kept() {
    let mut session = session(1000);
    for number in 0..3 {
        send(&mut session, &payload(number, 4));
    }
    let held = session.sent().bytes();
    for (position, first) in [
        (0, 0),
        (9, 0),
        (10, 10),
        (0, 10),
        (5, 10),
        (25, 20),
        (30, 30),
    ] {
        assert_eq!(session.on_position(position), Ok(()), "{position}");
        assert_eq!(session.sent().first_available(), first, "{position}");
    }
    assert!(held > 0 && session.sent().bytes() == 0 && session.sent().is_empty());
    let refused = session.on_position(31).unwrap_err();
    assert_eq!(refused.code, ErrorCode::CONNECTION_ERROR);
}

/// Conformance 117: the bound holds, and says what it cost.
#[test]
fn a_full_buffer_gives_up_its_oldest_frames() {
    let mut buffer = ReplayBuffer::new(1000);
    let mut evicted = 0;
    for number in 0..100u32 {
        evicted += buffer.push(&payload(number, 44), Bytes::new(), 0);
        assert!(buffer.bytes() <= 1000);
    }
    assert_eq!(buffer.len() + evicted, 100);
    assert_eq!(buffer.evicted(), evicted as u64 * 50);
    assert_eq!(buffer.first_available(), evicted as u64 * 50);
    let gone = buffer.replay_from(0).err();
    assert_eq!(
        gone,
        Some(ResumeError::Gone {
            asked: 0,
            first: buffer.first_available()
        })
    );
    assert_eq!(buffer.replay_from(4950).unwrap().len(), 1);
    // A frame that is larger than the whole buffer is given up itself, and the position goes on.
    assert!(buffer.push(b"head12", Bytes::from(vec![0; 5000]), 0) > 0);
    assert_eq!((buffer.len(), buffer.position()), (0, 10_006));
    assert_eq!(buffer.replay_from(10_006).unwrap().len(), 0);
}

/// A slice counts with the buffer it keeps alive; a small frame keeps none alive.
#[test]
fn what_is_pinned_is_counted() {
    let read = Bytes::from(vec![7; 16 * 1024]);
    let mut buffer = ReplayBuffer::new(100_000);
    buffer.push(b"head12", read.slice(..5000), read.len());
    assert!(buffer.bytes() >= read.len());
    let kept = buffer.iter().next().unwrap();
    assert_eq!(kept.body.as_ptr(), read.as_ptr());
    drop(buffer);
    let mut buffer = ReplayBuffer::new(100_000);
    buffer.push(b"head12", read.slice(..500), read.len());
    buffer.push(b"head12", read.slice(..50), read.len());
    assert!(buffer.bytes() < 1000);
    drop(buffer);
    assert!(read.is_unique(), "small frames are copies");
}

#[test]
fn tokens_are_long_enough_and_never_shown() {
    assert_eq!(Token::new(vec![0; 15]), None);
    assert_eq!(Token::copy_from(&[0; 65_536]), None);
    assert_eq!(Token::new(vec![0; 16]), Token::copy_from(&[0; 16]));
    assert_eq!(format!("{:?}", token()), "Token(16 bytes)");
}

/// One direction of a connection that loses what is under way when it is cut.
#[derive(Debug)]
struct Pipe {
    sender: Session,
    receiver: Session,
    under_way: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    arrived: Vec<Vec<u8>>,
}

impl Pipe {
    fn new(limit: usize) -> Self {
        Self {
            sender: session(limit),
            receiver: session(limit),
            under_way: VecDeque::new(),
            sent: Vec::new(),
            arrived: Vec::new(),
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        send(&mut self.sender, &frame);
        self.under_way.push_back(frame.clone());
        self.sent.push(frame);
    }

    fn deliver(&mut self, frames: usize) {
        for frame in self.under_way.drain(..frames.min(self.under_way.len())) {
            self.receiver.on_received(&frame);
            self.arrived.push(frame);
        }
    }

    /// Loses what is under way; whether the session could go on.
    fn cut(&mut self, sender_is_client: bool) -> bool {
        self.under_way.clear();
        let good = if sender_is_client {
            let ok = ResumeOk {
                last_received: self.receiver.received(),
            };
            let judged = self.receiver.accept(&self.sender.resume());
            judged == Ok(ok) && self.sender.continue_with(ok).is_ok()
        } else {
            self.sender.accept(&self.receiver.resume()).is_ok()
        };
        if good {
            self.under_way = replayed(&self.sender).into();
        }
        good
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Conformance 108, 120: however often it is cut, and wherever, each frame arrives once, in its
    /// place, byte for byte; and if what is needed was given up, that is said and nothing else
    /// happens.
    #[test]
    fn cuts_lose_nothing_and_double_nothing(
        ops in proptest::collection::vec((0u8..5, 0usize..6, 0usize..600), 1..120),
        sender_is_client in any::<bool>(),
        limit in prop_oneof![Just(usize::MAX), 100usize..4000],
    ) {
        let mut pipe = Pipe::new(limit);
        for (number, (op, count, len)) in (0..).zip(ops) {
            match op {
                0 | 1 => pipe.send(payload(number, len)),
                2 => pipe.deliver(count),
                3 => {
                    let position = pipe.receiver.received();
                    prop_assert_eq!(pipe.sender.on_position(position), Ok(()));
                }
                _ => {
                    let needed = pipe.receiver.received();
                    let kept = pipe.sender.sent().first_available();
                    let good = pipe.cut(sender_is_client);
                    prop_assert_eq!(good, needed >= kept);
                    if !good {
                        prop_assert!(pipe.sender.sent().evicted() > 0);
                        return Ok(());
                    }
                }
            }
            prop_assert!(pipe.sender.sent().bytes() <= limit);
            prop_assert_eq!(&pipe.sent[..pipe.arrived.len()], &pipe.arrived[..]);
        }
        pipe.deliver(usize::MAX);
        prop_assert_eq!(&pipe.sent, &pipe.arrived);
        prop_assert_eq!(pipe.receiver.received(), pipe.sender.sent().position());
    }

    /// Whatever a peer names, the answer is a refusal or a good position, and the sums stay right.
    #[test]
    fn any_positions_are_judged(
        sizes in proptest::collection::vec(0usize..5000, 0..30),
        asked in proptest::collection::vec((any::<bool>(), 0u64..100_000), 0..30),
    ) {
        let mut buffer = ReplayBuffer::new(50_000);
        let mut starts = vec![0];
        for size in sizes {
            buffer.push(b"head12", Bytes::from(vec![1; size]), 0);
            starts.push(buffer.position());
        }
        for (acknowledge, position) in asked {
            if acknowledge {
                prop_assert_eq!(buffer.acknowledge(position).is_ok(), position <= buffer.position());
            }
            let good = starts.contains(&position) && position >= buffer.first_available();
            prop_assert_eq!(buffer.check(position).is_ok(), good);
            if good {
                let rest: usize = buffer.replay_from(position).unwrap().map(Kept::len).sum();
                prop_assert_eq!(position + rest as u64, buffer.position());
            }
        }
        prop_assert_eq!(buffer.is_empty(), buffer.bytes() == 0);
    }
}
