//! All streams of one connection, and the meaning of each frame the peer sends.

use std::{collections::HashMap, time::Instant};

use foldhash::fast::RandomState;

use super::{
    keepalive::{KeepaliveTimer, Timeout},
    stream::{Opener, Part, Sent, State},
};
use crate::wire::{
    Body, ErrorCode, ErrorFrame, Flags, Frame, Interaction, Payload, Request, Side, StreamId,
};

/// What both ends agreed on in SETUP, and our own bounds.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub side: Side,
    pub keepalive: KeepaliveTimer,
    /// Open streams, those of both sides counted apart.
    pub streams_max: usize,
}

/// What a frame from the peer means to the owner of the connection.
#[derive(Debug)]
#[must_use]
pub enum Event<'a, 'c, S> {
    /// Nothing to do; see the table of this module for when that is.
    Ignored,
    /// A new stream. Answer with [`Connection::accept`] or an ERROR.
    Request {
        id: StreamId,
        request: Request<'a>,
    },
    /// Part of a stream's message. Pass it on, if at all, with these `flags`.
    Payload {
        id: StreamId,
        owner: Owner<'c, S>,
        flags: Flags,
        part: Part,
    },
    /// Credit for what we send; never zero.
    RequestN {
        id: StreamId,
        owner: &'c mut S,
        n: u32,
    },
    /// The requester gave up; the stream has ended.
    Cancelled {
        id: StreamId,
        owner: S,
    },
    /// The responder of a channel wants no more items; the other direction goes on.
    HalfCancelled {
        id: StreamId,
        owner: Owner<'c, S>,
    },
    /// The stream has failed; the code is legal on a stream.
    Failed {
        id: StreamId,
        owner: S,
        code: ErrorCode,
        data: &'a [u8],
    },
    /// The frame breaks its own stream only: send this ERROR there.
    Refused {
        id: StreamId,
        code: ErrorCode,
        text: &'static str,
    },
    /// Answer with the same data and our own received position. `position` is the peer's, as below.
    Ping {
        position: u64,
        data: &'a [u8],
    },
    /// A KEEPALIVE that wants no answer. `position` is what the peer has received, for a session
    /// that can be resumed; zero when it says nothing.
    Pong {
        position: u64,
    },
    /// What the peer lets us start, on a connection with leases: it replaces what was left of the
    /// lease before. Zero requests or a zero time let us start nothing.
    Lease {
        ttl_ms: u32,
        requests: u32,
        metadata: Option<&'a [u8]>,
    },
    MetadataPush {
        metadata: &'a [u8],
    },
    /// The peer starts no new streams and wants none.
    Draining,
    /// The peer ends the connection.
    Closed {
        code: ErrorCode,
        data: &'a [u8],
    },
    /// The peer broke the protocol: send this ERROR on stream zero and close.
    Violation(Violation),
}

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: ErrorCode,
    pub text: &'static str,
}

/// The owner's part of a stream: lent while the stream lives, given back when it ended.
#[derive(Debug)]
pub enum Owner<'c, S> {
    Live(&'c mut S),
    Ended(S),
}

impl<S> Owner<'_, S> {
    pub fn get(&mut self) -> &mut S {
        match self {
            Self::Live(owner) => owner,
            Self::Ended(owner) => owner,
        }
    }

    pub const fn ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// No stream can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// `streams_max` are open.
    TooMany,
    /// The peer announced that it is closing.
    Draining,
}

#[derive(Debug)]
struct Stream<S> {
    state: State,
    owner: S,
}

/// One established connection.
#[derive(Debug)]
pub struct Connection<S> {
    side: Side,
    streams: HashMap<StreamId, Stream<S>, RandomState>,
    opened_by_us: usize,
    streams_max: usize,
    next_id: StreamId,
    /// Ids began anew, so the next one may still be in use.
    wrapped: bool,
    peer_draining: bool,
    /// Both ends said L in SETUP.
    leases: bool,
    keepalive: KeepaliveTimer,
}

impl<S> Connection<S> {
    pub fn new(terms: Terms) -> Self {
        Self {
            side: terms.side,
            streams: HashMap::default(),
            opened_by_us: 0,
            streams_max: terms.streams_max,
            next_id: terms.side.first(),
            wrapped: false,
            peer_draining: false,
            leases: false,
            keepalive: terms.keepalive,
        }
    }

    /// A connection whose SETUP had the lease flag: LEASE frames mean something on it.
    #[must_use]
    pub fn with_leases(self, leases: bool) -> Self {
        Self { leases, ..self }
    }

    /// The same of a connection that is there already, before its first frame.
    pub const fn set_leases(&mut self, leases: bool) {
        self.leases = leases;
    }

    // ---- getters

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub fn get(&self, id: StreamId) -> Option<&S> {
        self.streams.get(&id).map(|stream| &stream.owner)
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut S> {
        self.streams.get_mut(&id).map(|stream| &mut stream.owner)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (StreamId, Opener, &mut S)> {
        self.streams
            .iter_mut()
            .map(|(id, stream)| (*id, stream.state.opener, &mut stream.owner))
    }

    /// Whether the peer announced CONNECTION_CLOSE.
    pub const fn peer_draining(&self) -> bool {
        self.peer_draining
    }

    /// Whether [`Self::open`] would find a number.
    pub const fn can_open(&self) -> Result<(), Exhausted> {
        if self.peer_draining {
            return Err(Exhausted::Draining);
        }
        if self.opened_by_us >= self.streams_max {
            return Err(Exhausted::TooMany);
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] has something to say.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.keepalive.next_timeout()
    }

    // ---- what happened

    /// Any bytes from the peer are proof of life, whatever the frame.
    pub fn heard(&mut self, now: Instant) {
        self.keepalive.heard(now);
    }

    /// The connection goes on over a new transport: its deadlines begin anew.
    pub fn reattached(&mut self, now: Instant) {
        self.keepalive.restart(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Timeout {
        self.keepalive.handle_timeout(now)
    }

    /// Takes one frame of the peer.
    pub fn handle<'a>(&mut self, frame: Frame<'a>) -> Event<'a, '_, S> {
        let id = frame.header.stream_id;
        if id.is_connection() {
            return self.handle_connection_frame(frame);
        }
        match frame.body {
            Body::Payload(payload) => self.handle_payload(id, &payload),
            Body::Request(request) => self.handle_request(id, request),
            Body::RequestN(n) => self.handle_request_n(id, n),
            Body::Cancel => self.handle_cancel(id),
            Body::Error(error) => self.handle_error(id, error),
            Body::Ext(_) | Body::Unknown(_) => unknown(frame.header.flags),
            Body::Setup(_) | Body::Resume(_) | Body::ResumeOk(_) => Event::Ignored,
            Body::Lease(_) | Body::Keepalive(_) | Body::MetadataPush(_) => Event::Ignored,
        }
    }

    fn handle_connection_frame<'a>(&mut self, frame: Frame<'a>) -> Event<'a, '_, S> {
        match frame.body {
            Body::Keepalive(keepalive) if keepalive.respond => Event::Ping {
                position: keepalive.position,
                data: keepalive.data,
            },
            Body::Keepalive(keepalive) => Event::Pong {
                position: keepalive.position,
            },
            Body::Lease(lease) if self.leases => Event::Lease {
                ttl_ms: lease.ttl_ms,
                requests: lease.requests,
                metadata: lease.metadata,
            },
            Body::MetadataPush(push) => Event::MetadataPush {
                metadata: push.metadata,
            },
            Body::Error(error) => self.handle_connection_error(error),
            Body::Resume(_) => Event::Violation(Violation {
                code: ErrorCode::CONNECTION_ERROR,
                text: "RESUME on a connection that is set up",
            }),
            Body::Ext(_) | Body::Unknown(_) => unknown(frame.header.flags),
            Body::Setup(_) | Body::Lease(_) | Body::ResumeOk(_) => Event::Ignored,
            Body::Request(_) | Body::RequestN(_) | Body::Cancel | Body::Payload(_) => {
                Event::Ignored
            }
        }
    }

    fn handle_connection_error<'a>(&mut self, error: ErrorFrame<'a>) -> Event<'a, '_, S> {
        match error.code {
            ErrorCode::CONNECTION_CLOSE => {
                self.peer_draining = true;
                Event::Draining
            }
            // Only a server refuses a SETUP; a client that says so makes no sense (35).
            ErrorCode::INVALID_SETUP
            | ErrorCode::UNSUPPORTED_SETUP
            | ErrorCode::REJECTED_SETUP
            | ErrorCode::REJECTED_RESUME
                if self.side == Side::Server =>
            {
                Event::Ignored
            }
            code => Event::Closed {
                code,
                data: error.data,
            },
        }
    }

    fn handle_request<'a>(&self, id: StreamId, request: Request<'a>) -> Event<'a, '_, S> {
        if !self.side.other().owns(id) {
            return Event::Violation(Violation {
                code: ErrorCode::CONNECTION_ERROR,
                text: "request on a stream id that the other side numbers",
            });
        }
        if self.streams.contains_key(&id) {
            return Event::Ignored;
        }
        if request.interaction.has_credit() && request.initial_n == 0 {
            let text = "initial request-n is zero";
            return Event::Refused {
                id,
                code: ErrorCode::INVALID,
                text,
            };
        }
        if self.streams.len() - self.opened_by_us >= self.streams_max {
            // Nothing may come back on a fire-and-forget.
            if request.interaction == Interaction::FireAndForget {
                return Event::Ignored;
            }
            let text = "too many open streams on this connection";
            return Event::Refused {
                id,
                code: ErrorCode::REJECTED,
                text,
            };
        }
        Event::Request { id, request }
    }

    fn handle_payload<'a>(&mut self, id: StreamId, payload: &Payload<'a>) -> Event<'a, '_, S> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Event::Ignored;
        };
        let from_requester = stream.state.opener == Opener::Peer;
        let Some((flags, part)) = stream.state.payload(from_requester, payload) else {
            return Event::Ignored;
        };
        match self.owner(id) {
            Some(owner) => Event::Payload {
                id,
                owner,
                flags,
                part,
            },
            None => Event::Ignored,
        }
    }

    fn handle_request_n<'a>(&mut self, id: StreamId, n: u32) -> Event<'a, '_, S> {
        match self.streams.get_mut(&id) {
            Some(stream) if n > 0 && stream.state.wants_credit() => Event::RequestN {
                id,
                owner: &mut stream.owner,
                n,
            },
            _ => Event::Ignored,
        }
    }

    fn handle_cancel<'a>(&mut self, id: StreamId) -> Event<'a, '_, S> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Event::Ignored;
        };
        if stream.state.opener == Opener::Peer {
            return match self.forget(id) {
                Some(owner) => Event::Cancelled { id, owner },
                None => Event::Ignored,
            };
        }
        if !stream.state.responder_cancel() {
            return Event::Ignored;
        }
        match self.owner(id) {
            Some(owner) => Event::HalfCancelled { id, owner },
            None => Event::Ignored,
        }
    }

    fn handle_error<'a>(&mut self, id: StreamId, error: ErrorFrame<'a>) -> Event<'a, '_, S> {
        let Some(stream) = self.streams.get(&id) else {
            return Event::Ignored;
        };
        if stream.state.opener == Opener::Peer && !stream.state.requester_may_fail() {
            return Event::Ignored;
        }
        let code = if error.code.is_for_streams() {
            error.code
        } else {
            ErrorCode::APPLICATION_ERROR
        };
        match self.forget(id) {
            Some(owner) => Event::Failed {
                id,
                owner,
                code,
                data: error.data,
            },
            None => Event::Ignored,
        }
    }

    // ---- commands

    /// Takes a request of the peer. The stream lives on unless it was a whole fire-and-forget,
    /// whose owner is given back.
    pub fn accept(&mut self, id: StreamId, request: &Request<'_>, owner: S) -> Option<S> {
        let state = State::new(
            Opener::Peer,
            request.interaction,
            request.follows,
            request.complete,
        );
        if state.ended() {
            return Some(owner);
        }
        self.streams.insert(id, Stream { state, owner });
        None
    }

    /// Numbers a stream of our own. `owner` makes the owner's part when there is a number. A whole
    /// fire-and-forget ends with its request, and its owner is given back.
    pub fn open(
        &mut self,
        request: &Request<'_>,
        owner: S,
    ) -> Result<(StreamId, Option<S>), (Exhausted, S)> {
        if let Err(exhausted) = self.can_open() {
            return Err((exhausted, owner));
        }
        let id = self.allocate();
        let state = State::new(
            Opener::Us,
            request.interaction,
            request.follows,
            request.complete,
        );
        if state.ended() {
            return Ok((id, Some(owner)));
        }
        self.opened_by_us += 1;
        self.streams.insert(id, Stream { state, owner });
        Ok((id, None))
    }

    fn allocate(&mut self) -> StreamId {
        loop {
            let id = self.next_id;
            let (next, began_anew) = id.next();
            self.next_id = next;
            self.wrapped |= began_anew;
            // `streams_max` is far below 2^30, so a free id is always near.
            if !self.wrapped || !self.streams.contains_key(&id) {
                return id;
            }
        }
    }

    /// Tells that a PAYLOAD is about to be sent, with the flags and parts it has.
    pub fn sent(&mut self, id: StreamId, payload: &Payload<'_>) -> Sent<S> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Sent::Refused;
        };
        let from_requester = stream.state.opener == Opener::Us;
        if stream.state.payload(from_requester, payload).is_none() {
            return Sent::Refused;
        }
        self.after_sending(id)
    }

    /// Tells that we, the responder of a channel, send CANCEL.
    pub fn sent_half_cancel(&mut self, id: StreamId) -> Sent<S> {
        match self.streams.get_mut(&id) {
            Some(stream) if stream.state.opener == Opener::Peer => {
                if !stream.state.responder_cancel() {
                    return Sent::Refused;
                }
                self.after_sending(id)
            }
            _ => Sent::Refused,
        }
    }

    fn after_sending(&mut self, id: StreamId) -> Sent<S> {
        match self.owner(id) {
            Some(Owner::Ended(owner)) => Sent::Ended(owner),
            Some(Owner::Live(_)) => Sent::Open,
            None => Sent::Refused,
        }
    }

    /// Ends a stream because ERROR or the requester's CANCEL is sent, or because nobody cares.
    pub fn forget(&mut self, id: StreamId) -> Option<S> {
        let stream = self.streams.remove(&id)?;
        if stream.state.opener == Opener::Us {
            self.opened_by_us -= 1;
        }
        Some(stream.owner)
    }

    /// Ends every stream.
    pub fn drain(&mut self) -> impl Iterator<Item = (StreamId, Opener, S)> {
        self.opened_by_us = 0;
        self.streams
            .drain()
            .map(|(id, stream)| (id, stream.state.opener, stream.owner))
    }

    fn owner(&mut self, id: StreamId) -> Option<Owner<'_, S>> {
        if self.streams.get(&id)?.state.ended() {
            return self.forget(id).map(Owner::Ended);
        }
        self.streams
            .get_mut(&id)
            .map(|stream| Owner::Live(&mut stream.owner))
    }

    /// Test hook for the wrap of stream ids (conformance 57, 140).
    #[cfg(test)]
    pub(crate) fn start_ids_at(&mut self, id: StreamId) {
        self.next_id = id;
    }
}

fn unknown<'a, 'c, S>(flags: Flags) -> Event<'a, 'c, S> {
    if flags.contains(Flags::IGNORE) {
        return Event::Ignored;
    }
    Event::Violation(Violation {
        code: ErrorCode::CONNECTION_ERROR,
        text: "frame of unknown type without the ignore flag",
    })
}
