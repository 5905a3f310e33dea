//! What the peer says, and what it leads to.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::super::call::{Call, Inbound, Outbound, Room, Unfit};
use super::super::incoming::Queue;
use super::super::shared::Ticket;
use super::super::{CallError, Closed, Failure, Message};
use super::{Driver, FRAMES, guarded, now};
use crate::engine::lease::NO_LEASE;
use crate::engine::{Event, Owner, Part, Violation};
use crate::net::NetError;
use crate::wire::{Body, ErrorCode, Flags, Frame, Interaction, Request, StreamId};

impl Driver {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut heard = false;
        for _ in 0..FRAMES {
            if self.held.as_ref().is_some_and(|queue| queue.is_held()) {
                break;
            }
            self.held = None;
            let frame = match self.out.poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Err(Closed::Peer),
                Poll::Ready(Some(Err(error))) => return Err(self.fault(error)),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            heard = true;
            self.handle(&frame)?;
        }
        if heard {
            self.connection.heard(now());
        }
        Ok(heard)
    }

    /// What is no frame is the peer's breach, and is answered; the rest is the transport's failure.
    fn fault(&mut self, error: NetError) -> Closed {
        match not_a_frame(&error) {
            Some(text) => self.violation(Violation {
                code: ErrorCode::CONNECTION_ERROR,
                text,
            }),
            None => Closed::Net(Arc::new(error)),
        }
    }

    fn handle(&mut self, bytes: &Bytes) -> Result<(), Closed> {
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) if error.ignorable() => return Ok(()),
            Err(_) => return Err(self.violation(MALFORMED)),
        };
        let room = Room::new(&self.limits, self.memory.as_ref());
        match self.connection.handle(frame) {
            Event::Ignored | Event::Draining => {}
            Event::Request { id, request } => self.take_request(id, &request, bytes),
            Event::Payload {
                id,
                owner,
                flags,
                part,
            } => {
                let Body::Payload(payload) = frame.body else {
                    return Ok(());
                };
                let fragment = message(bytes, payload.metadata, payload.data);
                let reaction = react(owner, fragment, flags, part, &room);
                self.follow(id, reaction);
                self.watch_assembly(part);
            }
            Event::RequestN { id, owner, n } => {
                owner.credit = owner.credit.saturating_add(n.into());
                self.release_held(id);
            }
            Event::Cancelled { mut owner, .. } => owner.inbound.fail(cancelled().into()),
            Event::HalfCancelled { mut owner, .. } => owner.get().outbound = Outbound::Nothing,
            Event::Failed {
                mut owner,
                code,
                data,
                ..
            } => {
                owner.inbound.fail(Failure::from_wire(code, data).into());
            }
            Event::Refused { id, code, text } => self.out.error(id, code, text),
            Event::Ping { position, data } => {
                self.out.keepalive(false, data);
                self.on_position(position)?;
            }
            Event::Pong { position } => self.on_position(position)?,
            Event::Lease {
                ttl_ms, requests, ..
            } => self.leases.granted(ttl_ms, requests),
            Event::MetadataPush { metadata } => {
                let push = || self.handler.metadata_push(slice(bytes, metadata));
                let _ = guarded(push);
            }
            Event::Closed { code, data } => {
                return Err(Closed::Error(Failure::from_wire(code, data)));
            }
            Event::Violation(violation) => return Err(self.violation(violation)),
        }
        Ok(())
    }

    fn on_position(&mut self, position: u64) -> Result<(), Closed> {
        let acknowledged = self.out.on_position(position);
        acknowledged.map_err(|violation| self.violation(violation))
    }

    fn violation(&mut self, violation: Violation) -> Closed {
        self.out
            .error(StreamId::CONNECTION, violation.code, violation.text);
        Closed::Violation(violation.text)
    }

    fn take_request(&mut self, id: StreamId, request: &Request<'_>, bytes: &Bytes) {
        if !self.leases.admit() {
            self.refuse(id, request.interaction, ErrorCode::REJECTED, NO_LEASE);
            return;
        }
        let room = Room::new(&self.limits, self.memory.as_ref());
        let mut call = Call::new(Ticket::of(id), Inbound::Nothing, request.initial_n);
        let fragment = message(bytes, request.metadata, request.data);
        let whole = match call.assemble(fragment, !request.follows, &room) {
            Ok(whole) => whole,
            Err(unfit) => {
                let (code, text) = unfit.refusal();
                return self.refuse(id, request.interaction, code, text);
            }
        };
        if whole.is_none() {
            call.begun = Some(request.interaction);
            self.watch_assembly(Part::Request { last: false });
        }
        // A whole fire-and-forget ends here, and nothing more is kept of it.
        drop(self.connection.accept(id, request, call));
        if let Some(whole) = whole {
            self.dispatch(id, request.interaction, request.complete, whole);
        }
    }

    /// Does what a part of a message led to.
    fn follow(&mut self, id: StreamId, reaction: Reaction) {
        match reaction {
            Reaction::Nothing => {}
            Reaction::Dispatch {
                interaction,
                complete,
                message,
            } => {
                self.dispatch(id, interaction, complete, message);
            }
            Reaction::Hold(queue) => self.held = Some(queue),
            Reaction::Unfit(unfit) => self.give_up(id, unfit.error(), unfit.refusal()),
        }
    }

    /// Sends ERROR, unless nothing may come back.
    fn refuse(&mut self, id: StreamId, interaction: Interaction, code: ErrorCode, text: &str) {
        if interaction != Interaction::FireAndForget {
            self.out.error(id, code, text);
        }
    }

    /// Ends a stream because of what the peer sent on it, or did not send.
    pub(super) fn give_up(
        &mut self,
        id: StreamId,
        error: CallError,
        (code, text): (ErrorCode, &str),
    ) {
        let Some(mut call) = self.connection.forget(id) else {
            return;
        };
        call.inbound.fail(error);
        if self.side.owns(id) {
            self.out.cancel(id);
        } else if let Some(interaction) = call.begun {
            self.refuse(id, interaction, code, text);
        } else {
            self.out.error(id, code, text);
        }
    }

    /// A message that was begun is to be whole in time.
    fn watch_assembly(&mut self, part: Part) {
        if matches!(
            part,
            Part::Request { last: false } | Part::Item { last: false }
        ) {
            let patience = self.limits.assembly_timeout;
            self.sweep.get_or_insert_with(|| now() + patience);
        }
    }
}

/// What a part of a message leads to, beyond its own stream's state.
enum Reaction {
    Nothing,
    Dispatch {
        interaction: Interaction,
        complete: bool,
        message: Message,
    },
    Hold(Arc<Queue>),
    Unfit(Unfit),
}

fn react(
    mut owner: Owner<'_, Call>,
    fragment: Message,
    flags: Flags,
    part: Part,
    room: &Room<'_>,
) -> Reaction {
    let complete = flags.contains(Flags::COMPLETE);
    let call = owner.get();
    let (Part::Request { last } | Part::Item { last }) = part else {
        call.inbound.complete();
        return Reaction::Nothing;
    };
    let message = match call.assemble(fragment, last, room) {
        Ok(Some(message)) => message,
        Ok(None) => return Reaction::Nothing,
        Err(unfit) => {
            // A stream that ended with this very frame is not there to be given up.
            if owner.ended() {
                owner.get().inbound.fail(unfit.error());
            }
            return Reaction::Unfit(unfit);
        }
    };
    if let Some(interaction) = call.begun.take() {
        return Reaction::Dispatch {
            interaction,
            complete,
            message,
        };
    }
    let queue = match &call.inbound {
        Inbound::Items(feed) => Some(Arc::clone(&feed.0)),
        _ => None,
    };
    let room = call.inbound.item(message);
    if complete {
        call.inbound.complete();
    }
    match queue {
        Some(queue) if !room => Reaction::Hold(queue),
        _ => Reaction::Nothing,
    }
}

fn message(bytes: &Bytes, metadata: Option<&[u8]>, data: &[u8]) -> Message {
    Message {
        metadata: metadata.map(|metadata| slice(bytes, metadata)),
        data: slice(bytes, data),
    }
}

/// A part of a frame on its own. Small parts are copied, so that whoever keeps one does not keep
/// the whole read buffer.
fn slice(bytes: &Bytes, part: &[u8]) -> Bytes {
    if part.len() < SLICE_MIN {
        Bytes::copy_from_slice(part)
    } else {
        bytes.slice_ref(part)
    }
}

/// What to call bytes that are no frame.
pub(in super::super) const fn not_a_frame(error: &NetError) -> Option<&'static str> {
    match error {
        NetError::FrameTooLong { .. } => Some("a frame is over the limit"),
        NetError::FrameTooShort { .. } => Some("a frame is shorter than its header"),
        NetError::TextMessage => Some("a text message is no frame"),
        _ => None,
    }
}

fn cancelled() -> Failure {
    Failure::new(ErrorCode::CANCELED, "the requester cancelled")
}

const MALFORMED: Violation = Violation {
    code: ErrorCode::CONNECTION_ERROR,
    text: "a frame is malformed",
};

/// Below this a part of a frame is copied out of its buffer.
const SLICE_MIN: usize = 1024;
