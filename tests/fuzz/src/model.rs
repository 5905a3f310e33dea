//! What a connection must answer, written from the protocol sheet (sections 1.7, 1.8, 1.10, 1.11 and
//! 4.4 to 4.10) and not from the engine. Simple rather than fast.

use std::collections::BTreeMap;

use jackfield_rsocket::wire::{Body, ErrorCode, Frame, Interaction, Payload, Request};

/// What one side of a stream still has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Nothing,
    /// Fragments of the request itself.
    Request,
    /// Items; in the middle of one or not.
    Items {
        begun: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    ours: bool,
    interaction: Interaction,
    /// The request said that no items of the requester follow.
    said_complete: bool,
    requester: Sending,
    responder: Sending,
}

/// What must come of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ignored,
    Request(u32),
    Payload {
        id: u32,
        flags: u16,
        part: Piece,
        ended: bool,
    },
    RequestN(u32, u32),
    Cancelled(u32),
    HalfCancelled {
        id: u32,
        ended: bool,
    },
    Failed(u32, u32),
    Refused(u32, ErrorCode),
    Ping,
    Pong,
    Lease,
    Push,
    Draining,
    Closed,
    Violation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Request { last: bool },
    Item { last: bool },
    End,
}

/// One connection, seen from one of its ends.
pub(crate) struct Model {
    server: bool,
    leases: bool,
    streams_max: usize,
    streams: BTreeMap<u32, Stream>,
    next: u32,
    pub(crate) draining: bool,
}

const METADATA: u16 = 0x100;
const FOLLOWS: u16 = 0x80;
const COMPLETE: u16 = 0x40;
const NEXT: u16 = 0x20;

impl Model {
    pub(crate) fn new(server: bool, leases: bool, streams_max: usize) -> Self {
        let next = if server { 2 } else { 1 };
        Self {
            server,
            leases,
            streams_max,
            streams: BTreeMap::new(),
            next,
            draining: false,
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        self.streams.keys().copied()
    }

    fn opened(&self, ours: bool) -> usize {
        self.streams
            .values()
            .filter(|stream| stream.ours == ours)
            .count()
    }

    // ---- frames of the peer

    pub(crate) fn receive(&mut self, frame: &Frame<'_>) -> Answer {
        let id = frame.header.stream_id.get();
        let ignorable = frame.header.flags.0 & 0x200 != 0;
        match (&frame.body, id) {
            (Body::Ext(_) | Body::Unknown(_), _) if ignorable => Answer::Ignored,
            (Body::Ext(_) | Body::Unknown(_), _) => Answer::Violation,
            (Body::Keepalive(keepalive), 0) if keepalive.respond => Answer::Ping,
            (Body::Keepalive(_), 0) => Answer::Pong,
            (Body::Lease(_), 0) if self.leases => Answer::Lease,
            (Body::MetadataPush(_), 0) => Answer::Push,
            (Body::Resume(_), 0) => Answer::Violation,
            (Body::Error(error), 0) => self.connection_error(error.code.0),
            (_, 0) => Answer::Ignored,
            (Body::Request(request), id) => self.request(id, request),
            (Body::Payload(payload), id) => self.payload(id, payload),
            (Body::RequestN(n), id) => self.request_n(id, *n),
            (Body::Cancel, id) => self.cancel(id),
            (Body::Error(error), id) => self.error(id, error.code.0),
            _ => Answer::Ignored,
        }
    }

    fn connection_error(&mut self, code: u32) -> Answer {
        match code {
            0x102 => {
                self.draining = true;
                Answer::Draining
            }
            1..=4 if self.server => Answer::Ignored,
            _ => Answer::Closed,
        }
    }

    fn request(&self, id: u32, request: &Request<'_>) -> Answer {
        let from_client = id % 2 == 1;
        if from_client != self.server {
            return Answer::Violation;
        }
        if self.streams.contains_key(&id) {
            return Answer::Ignored;
        }
        let credited = matches!(
            request.interaction,
            Interaction::Stream | Interaction::Channel
        );
        if credited && request.initial_n == 0 {
            return Answer::Refused(id, ErrorCode::INVALID);
        }
        match request.interaction {
            _ if self.opened(false) < self.streams_max => Answer::Request(id),
            Interaction::FireAndForget => Answer::Ignored,
            _ => Answer::Refused(id, ErrorCode::REJECTED),
        }
    }

    fn payload(&mut self, id: u32, payload: &Payload<'_>) -> Answer {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Answer::Ignored;
        };
        let Some((flags, part)) = stream.pass(!stream.ours, payload) else {
            return Answer::Ignored;
        };
        let ended = self.remove_if_over(id);
        Answer::Payload {
            id,
            flags,
            part,
            ended,
        }
    }

    fn request_n(&self, id: u32, n: u32) -> Answer {
        let Some(stream) = self.streams.get(&id) else {
            return Answer::Ignored;
        };
        // Credit is for what we send: as requester only a channel's items.
        let wanted = match (stream.ours, stream.interaction) {
            (true, Interaction::Channel) => stream.requester != Sending::Nothing,
            (false, Interaction::Stream | Interaction::Channel) => {
                stream.responder != Sending::Nothing
            }
            _ => false,
        };
        match wanted && n > 0 {
            true => Answer::RequestN(id, n),
            false => Answer::Ignored,
        }
    }

    fn cancel(&mut self, id: u32) -> Answer {
        match self.streams.get(&id).copied() {
            None => Answer::Ignored,
            Some(stream) if !stream.ours => {
                self.streams.remove(&id);
                Answer::Cancelled(id)
            }
            Some(_) if self.half_cancel(id) => {
                let ended = self.remove_if_over(id);
                Answer::HalfCancelled { id, ended }
            }
            Some(_) => Answer::Ignored,
        }
    }

    fn error(&mut self, id: u32, code: u32) -> Answer {
        let Some(stream) = self.streams.get(&id) else {
            return Answer::Ignored;
        };
        if !stream.ours && stream.interaction != Interaction::Channel {
            return Answer::Ignored;
        }
        self.streams.remove(&id);
        let legal = (0x201..0xFFFF_FFFF).contains(&code);
        Answer::Failed(id, if legal { code } else { 0x201 })
    }

    // ---- what we do

    /// We take the request. True when the stream lives on.
    pub(crate) fn accept(&mut self, id: u32, request: &Request<'_>) -> bool {
        let stream = Stream::new(false, request);
        let over = stream.is_over();
        if !over {
            self.streams.insert(id, stream);
        }
        !over
    }

    /// The number of a stream of ours, and whether it lives on; none when there can be none.
    pub(crate) fn open(&mut self, request: &Request<'_>) -> Option<(u32, bool)> {
        if self.draining || self.opened(true) >= self.streams_max {
            return None;
        }
        let id = self.next;
        self.next += 2;
        let stream = Stream::new(true, request);
        let over = stream.is_over();
        if !over {
            self.streams.insert(id, stream);
        }
        Some((id, !over))
    }

    /// We send a payload: none when it must not be sent, else whether the stream ended with it.
    pub(crate) fn send(&mut self, id: u32, payload: &Payload<'_>) -> Option<bool> {
        let stream = self.streams.get_mut(&id)?;
        stream.pass(stream.ours, payload)?;
        Some(self.remove_if_over(id))
    }

    /// We, the responder of a channel, want no more items.
    pub(crate) fn send_half_cancel(&mut self, id: u32) -> Option<bool> {
        let ours = self.streams.get(&id)?.ours;
        (!ours && self.half_cancel(id)).then(|| self.remove_if_over(id))
    }

    pub(crate) fn forget(&mut self, id: u32) -> bool {
        self.streams.remove(&id).is_some()
    }

    fn half_cancel(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let means =
            stream.interaction == Interaction::Channel && stream.requester != Sending::Nothing;
        if means {
            stream.requester = Sending::Nothing;
        }
        means
    }

    fn remove_if_over(&mut self, id: u32) -> bool {
        let over = self.streams.get(&id).is_some_and(Stream::is_over);
        if over {
            self.streams.remove(&id);
        }
        over
    }
}

impl Stream {
    fn new(ours: bool, request: &Request<'_>) -> Self {
        let items = Sending::Items { begun: false };
        let requester = match request.interaction {
            _ if request.follows => Sending::Request,
            Interaction::Channel if !request.complete => items,
            _ => Sending::Nothing,
        };
        let responder = match request.interaction {
            Interaction::FireAndForget => Sending::Nothing,
            _ => items,
        };
        Self {
            ours,
            interaction: request.interaction,
            said_complete: request.complete,
            requester,
            responder,
        }
    }

    fn is_over(&self) -> bool {
        self.requester == Sending::Nothing && self.responder == Sending::Nothing
    }

    /// A payload of one side: the flags to pass it on with, and what it is; none when it is dropped.
    fn pass(&mut self, by_requester: bool, payload: &Payload<'_>) -> Option<(u16, Piece)> {
        // F together with C is F ignored.
        let follows = payload.follows && !payload.complete;
        let flag = |on: bool, flag: u16| if on { flag } else { 0 };
        let base = flag(payload.metadata.is_some(), METADATA) | flag(follows, FOLLOWS);
        let channel = self.interaction == Interaction::Channel;
        let sending = if by_requester {
            &mut self.requester
        } else {
            &mut self.responder
        };
        match *sending {
            Sending::Nothing => None,
            Sending::Request => {
                // C may come with the first frame or with the last, and means the items.
                let complete = channel && (payload.complete || (self.said_complete && !follows));
                if !follows {
                    *sending = match channel && !complete {
                        true => Sending::Items { begun: false },
                        false => Sending::Nothing,
                    };
                }
                Some((
                    base | NEXT | flag(complete, COMPLETE),
                    Piece::Request { last: !follows },
                ))
            }
            Sending::Items { begun } => {
                // The one reply is complete whether or not it says so, when it is whole.
                let single = self.interaction == Interaction::Response;
                let complete = payload.complete || (single && !follows);
                let item = payload.next || begun || follows || (single && !payload.complete);
                if !item && !complete {
                    return None;
                }
                *sending = match complete {
                    true => Sending::Nothing,
                    false => Sending::Items { begun: follows },
                };
                let flags = base | flag(complete, COMPLETE) | flag(item, NEXT);
                let part = if item {
                    Piece::Item { last: !follows }
                } else {
                    Piece::End
                };
                Some((flags, part))
            }
        }
    }
}
