use std::time::{Duration, Instant};

use bytes::BytesMut;
use jackfield_rsocket::{
    engine::{Connection, Event, KeepaliveTimer, Owner, Part, Sent, Terms},
    wire::{Body, Flags, Frame, FrameType, Header, Interaction, Payload, Request, Side, StreamId},
};

use crate::{
    input::Input,
    model::{Answer, Model, Piece},
};

/// A connection is given frames and commands, and says what the model says; its table holds what the
/// model's holds, and every owner comes back with the stream that it was given to.
pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let terms = input.byte();
    let (server, leases) = (terms & 1 == 0, terms & 2 == 2);
    let streams_max = 1 + usize::from(terms >> 2) % 8;
    let side = if server { Side::Server } else { Side::Client };
    let keepalive = KeepaliveTimer::server(Duration::from_secs(9), Instant::now());
    let connection = Connection::new(Terms {
        side,
        keepalive,
        streams_max,
    });
    let mut pair = Pair {
        connection: connection.with_leases(leases),
        model: Model::new(server, leases, streams_max),
    };
    let mut steps = 0;
    while !input.is_empty() && steps < 300 {
        steps += 1;
        if !pair.step(&mut input) {
            return;
        }
        pair.compare();
    }
    let mut owners: Vec<_> = pair
        .connection
        .drain()
        .map(|(id, _, owner)| (id.get(), owner))
        .collect();
    owners.sort_unstable();
    assert!(owners.iter().all(|(id, owner)| id == owner));
    assert_eq!(owners.len(), pair.model.ids().count());
}

/// The engine and the model. The owner of a stream is its number.
struct Pair {
    connection: Connection<u32>,
    model: Model,
}

impl Pair {
    /// False when the connection has ended.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.byte() % 8 {
            0 => self.open(input),
            1 => self.send(input),
            2 => {
                let id = id(input);
                let sent = self.connection.sent_half_cancel(id);
                assert_eq!(ended(sent, id), self.model.send_half_cancel(id.get()));
            }
            3 if input.byte().is_multiple_of(4) => {
                let id = id(input);
                assert_eq!(
                    self.connection.forget(id).is_some(),
                    self.model.forget(id.get())
                );
            }
            _ => return self.receive(&frame(input), input),
        }
        true
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let request = request(input, b"");
        assert_eq!(self.connection.peer_draining(), self.model.draining);
        let possible = self.connection.can_open().is_ok();
        let expected = self.model.open(&request);
        // The number is not known before, so the owner is told after.
        let opened = match self.connection.open(&request, 0) {
            Ok((id, owner)) => {
                if let Some(owner) = self.connection.get_mut(id) {
                    *owner = id.get();
                }
                Some((id.get(), owner.is_none()))
            }
            Err(_) => None,
        };
        assert_eq!(opened, expected);
        assert_eq!(possible, expected.is_some());
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let id = id(input);
        let flags = input.byte();
        let payload = Payload {
            follows: flags & 1 == 1,
            complete: flags & 2 == 2,
            next: flags & 4 == 4,
            metadata: (flags & 8 == 8).then_some(b""),
            data: b"",
        };
        let sent = self.connection.sent(id, &payload);
        assert_eq!(ended(sent, id), self.model.send(id.get(), &payload));
    }

    fn receive(&mut self, bytes: &[u8], input: &mut Input<'_>) -> bool {
        let Ok(frame) = Frame::decode(bytes) else {
            return true;
        };
        let expected = self.model.receive(&frame);
        let answer = answer(self.connection.handle(frame));
        assert_eq!(answer, expected, "{frame:?}");
        if let (Answer::Request(id), Body::Request(request)) = (&answer, frame.body) {
            // One in eight is refused by the owner.
            if input.byte() % 8 != 7 {
                let id = frame.header.stream_id;
                let lives = self.connection.accept(id, &request, id.get()).is_none();
                assert_eq!(lives, self.model.accept(id.get(), &request));
            }
            assert_eq!(*id, frame.header.stream_id.get());
        }
        !matches!(answer, Answer::Violation | Answer::Closed)
    }

    fn compare(&mut self) {
        let ids: Vec<u32> = self.model.ids().collect();
        assert_eq!(self.connection.len(), ids.len());
        assert_eq!(self.connection.is_empty(), ids.is_empty());
        for id in ids {
            assert_eq!(self.connection.get(StreamId::from_wire(id)), Some(&id));
        }
        for (id, _, owner) in self.connection.iter_mut() {
            assert_eq!(id.get(), *owner);
        }
    }
}

fn ended(sent: Sent<u32>, id: StreamId) -> Option<bool> {
    match sent {
        Sent::Open => Some(false),
        Sent::Ended(owner) => {
            assert_eq!(owner, id.get());
            Some(true)
        }
        Sent::Refused => None,
    }
}

fn answer(event: Event<'_, '_, u32>) -> Answer {
    let over = |id: StreamId, mut owner: Owner<'_, u32>| {
        assert_eq!(*owner.get(), id.get());
        (id.get(), owner.ended())
    };
    match event {
        Event::Ignored => Answer::Ignored,
        Event::Request { id, .. } => Answer::Request(id.get()),
        Event::Payload {
            id,
            owner,
            flags,
            part,
        } => {
            let (id, ended) = over(id, owner);
            let part = match part {
                Part::Request { last } => Piece::Request { last },
                Part::Item { last } => Piece::Item { last },
                Part::End => Piece::End,
            };
            Answer::Payload {
                id,
                flags: flags.0,
                part,
                ended,
            }
        }
        Event::RequestN { id, owner, n } => {
            assert_eq!(*owner, id.get());
            Answer::RequestN(id.get(), n)
        }
        Event::Cancelled { id, owner } => {
            assert_eq!(owner, id.get());
            Answer::Cancelled(owner)
        }
        Event::HalfCancelled { id, owner } => {
            let (id, ended) = over(id, owner);
            Answer::HalfCancelled { id, ended }
        }
        Event::Failed {
            id, owner, code, ..
        } => {
            assert_eq!(owner, id.get());
            Answer::Failed(owner, code.0)
        }
        Event::Refused { id, code, .. } => Answer::Refused(id.get(), code),
        Event::Ping { .. } => Answer::Ping,
        Event::Pong { .. } => Answer::Pong,
        Event::Lease { .. } => Answer::Lease,
        Event::MetadataPush { .. } => Answer::Push,
        Event::Draining => Answer::Draining,
        Event::Closed { .. } => Answer::Closed,
        Event::Violation(_) => Answer::Violation,
    }
}

/// Few numbers, so that frames meet streams.
fn id(input: &mut Input<'_>) -> StreamId {
    StreamId::from_wire(match input.byte() {
        wild @ 240.. => u32::from(wild) << 24 | u32::from(wild & 3),
        near => u32::from(near) % 12,
    })
}

fn request(input: &mut Input<'_>, data: &'static [u8]) -> Request<'static> {
    let flags = input.byte();
    let interaction = Interaction::ALL[usize::from(flags & 3)];
    Request {
        interaction,
        initial_n: 1 + u32::from(flags >> 6),
        follows: flags & 4 == 4,
        complete: interaction == Interaction::Channel && flags & 8 == 8,
        metadata: (flags & 16 == 16).then_some(b""),
        data,
    }
}

/// A frame of the peer, most often one of a stream.
fn frame(input: &mut Input<'_>) -> BytesMut {
    const TYPES: [u8; 24] = [
        4, 5, 6, 7, 8, 9, 10, 10, 10, 10, 10, 11, 4, 6, 7, 7, 8, 9, 1, 2, 3, 12, 13, 0x3F,
    ];
    let number = match input.byte() {
        wild @ 248.. => wild & 0x3F,
        kind => TYPES[usize::from(kind) % TYPES.len()],
    };
    let id = id(input);
    let flags = Flags(u16::from_be_bytes([input.byte() & 3, input.byte()]));
    // Metadata is empty or missing: its bounds are another target's.
    let flags = flags.without(Flags::METADATA);
    let n = input.number();
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&Header::new(id, FrameType(number), flags).encode());
    match number {
        4 | 5 | 9 | 10 | 12 => {}
        6..=8 => frame.extend_from_slice(&n.to_be_bytes()),
        11 => frame.extend_from_slice(&(n & 0x1FF | (n & 0x8000_0000) | 0x100).to_be_bytes()),
        _ => frame.extend_from_slice(&[0; 24]),
    }
    frame
}
