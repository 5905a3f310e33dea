//! What callers ask of the connection, and what our side has to say on its streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::abortable;

use super::super::call::{Call, Done, Inbound, Outbound, StopOnDrop, Work};
use super::super::shared::{Open, Signal, Ticket};
use super::super::{CallError, Closed, Failure, Message, WithoutLease};
use super::{Driver, FRAMES, OPENS};
use crate::engine::{Exhausted, Sent};
use crate::wire::{ErrorCode, Payload, Request, Side, StreamId};

impl Driver {
    // ---- what callers ask

    pub(super) fn take_inbox(&mut self) -> Result<bool, Closed> {
        let mut progress = false;
        for signal in self.shared.take_signals() {
            progress = true;
            self.take_signal(signal)?;
        }
        for _ in 0..OPENS {
            if self.is_full() || self.moves_on() {
                break;
            }
            let Some(mut open) = self.shared.take_open() else {
                break;
            };
            // What nobody waits for any more needs no lease.
            if !open.ticket.cancelled() {
                match self.leases.take() {
                    Ok(()) => self.open(open),
                    Err(WithoutLease::Fail) => open.inbound.fail(CallError::NoLease),
                    Err(WithoutLease::Wait) => {
                        self.shared.put_back(open);
                        break;
                    }
                }
            }
            progress = true;
        }
        Ok(progress)
    }

    fn take_signal(&mut self, signal: Signal) -> Result<(), Closed> {
        match signal {
            Signal::Cancel(ticket) => self.cancel(&ticket),
            Signal::RequestN(ticket, n) if ticket.stream().is_none() => ticket.grant_early(n),
            Signal::RequestN(ticket, n) => {
                let call = self.call_of(&ticket);
                if let Some((id, Inbound::Items(_))) = call.map(|(id, call)| (id, &call.inbound)) {
                    self.out.request_n(id, n);
                }
            }
            Signal::MetadataPush(metadata, _permit) => self.out.metadata_push(&metadata),
            Signal::Unattended => self.closing = self.side == Side::Client,
            Signal::Attach(io, resume) => return self.take_over(*io, &resume),
            Signal::Close => return Err(Closed::Local),
        }
        Ok(())
    }

    /// The stream of a ticket, unless it ended and its number went to another.
    fn call_of(&mut self, ticket: &Arc<Ticket>) -> Option<(StreamId, &mut Call)> {
        let id = ticket.stream()?;
        let call = self.connection.get_mut(id)?;
        Arc::ptr_eq(&call.ticket, ticket).then_some((id, call))
    }

    fn cancel(&mut self, ticket: &Arc<Ticket>) {
        let Some((id, call)) = self.call_of(ticket) else {
            return;
        };
        call.inbound = Inbound::Nothing;
        if self.side.owns(id) {
            self.connection.forget(id);
            self.out.cancel(id);
        } else if !matches!(self.connection.sent_half_cancel(id), Sent::Refused) {
            self.out.cancel(id);
        }
    }

    fn open(&mut self, open: Open) {
        let Open {
            interaction,
            message,
            initial_n,
            inbound,
            source,
            ticket,
            load,
            ..
        } = open;
        let mut pieces = self.out.pieces(&message);
        let Some((first, follows)) = pieces.next() else {
            return;
        };
        let request = Request {
            interaction,
            initial_n: ticket.initial(initial_n),
            follows,
            complete: false,
            metadata: first.metadata.as_deref(),
            data: &first.data,
        };
        let mut call = Call::new(Arc::clone(&ticket), inbound, 0);
        call.load = Some(load);
        let id = match self.connection.open(&request, call) {
            Ok((id, _)) => id,
            Err((exhausted, mut call)) => {
                call.inbound.fail(CallError::Unavailable(why(exhausted)));
                return;
            }
        };
        ticket.stamp(id);
        self.out.request(id, &request, &first.data);
        self.send_pieces(id, pieces, false);
        if let Some(source) = source {
            self.run_work(id, Work::Item(id, Some(source)));
        }
    }

    // ---- what our side has to say

    pub(super) fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        for _ in 0..FRAMES {
            if self.is_full() {
                break;
            }
            match Pin::new(&mut self.work).poll_next(cx) {
                Poll::Ready(Some(Ok(done))) => self.take_done(done),
                // Stopped, and of no concern any more.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => break,
            }
            progress = true;
        }
        progress
    }

    fn take_done(&mut self, done: Done) {
        match done {
            Done::Quiet => self.quiet -= 1,
            Done::Failed(id, failure) => self.fail(id, failure),
            Done::Reply(id, Ok(message)) => self.send(id, &message, true),
            Done::Reply(id, Err(failure)) | Done::Item(id, Some(Err(failure)), _) => {
                self.fail(id, failure);
            }
            Done::Item(id, Some(Ok(item)), items) => {
                if let Some(call) = self.connection.get_mut(id) {
                    call.outbound = Outbound::Held(item, items);
                    self.release_held(id);
                }
            }
            Done::Item(id, None, _) => {
                let end = Payload {
                    follows: false,
                    complete: true,
                    next: false,
                    metadata: None,
                    data: &[],
                };
                if !matches!(self.connection.sent(id, &end), Sent::Refused) {
                    self.out.payload(id, &end, &Bytes::new());
                }
            }
        }
    }

    /// Sends the item that waits, if there is credit for it, and asks for the next.
    pub(super) fn release_held(&mut self, id: StreamId) {
        let Some(call) = self.connection.get_mut(id) else {
            return;
        };
        if call.credit == 0 || !matches!(call.outbound, Outbound::Held(..)) {
            return;
        }
        let held = std::mem::replace(&mut call.outbound, Outbound::Nothing);
        if let Outbound::Held(item, items) = held {
            call.credit -= 1;
            self.send(id, &item, false);
            self.run_work(id, Work::Item(id, Some(items)));
        }
    }

    fn send(&mut self, id: StreamId, message: &Message, complete: bool) {
        let pieces = self.out.pieces(message);
        self.send_pieces(id, pieces, complete);
    }

    fn send_pieces(
        &mut self,
        id: StreamId,
        pieces: impl Iterator<Item = (Message, bool)>,
        complete: bool,
    ) {
        for (piece, follows) in pieces {
            let payload = Payload {
                follows,
                complete: complete && !follows,
                next: true,
                metadata: piece.metadata.as_deref(),
                data: &piece.data,
            };
            if matches!(self.connection.sent(id, &payload), Sent::Refused) {
                return;
            }
            self.out.payload(id, &payload, &piece.data);
        }
    }

    pub(super) fn fail(&mut self, id: StreamId, failure: Failure) {
        if let Some(mut call) = self.connection.forget(id) {
            self.out.error(id, stream_code(failure.code), &failure.text);
            call.inbound.fail(failure.into());
        }
    }

    /// Runs a future or stream of the user for as long as its stream lives.
    pub(super) fn run_work(&mut self, id: StreamId, work: Work) {
        if let Some(call) = self.connection.get_mut(id) {
            let (work, stop) = abortable(work);
            call.outbound = Outbound::Running(StopOnDrop(stop));
            self.work.push(work);
        }
    }
}

/// A code that may stand on a stream.
const fn stream_code(code: ErrorCode) -> ErrorCode {
    if code.is_for_streams() {
        code
    } else {
        ErrorCode::APPLICATION_ERROR
    }
}

const fn why(exhausted: Exhausted) -> &'static str {
    match exhausted {
        Exhausted::TooMany => "too many streams are open on this connection",
        Exhausted::Draining => "the peer is closing the connection",
    }
}
