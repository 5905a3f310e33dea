//! The one task of a connection: reads frames, acts on what they mean, runs the handler, writes.
//!
//! A turn is: read, take what callers ask, run the user's futures and streams, flush once. What a
//! turn does is bounded, and it yields after a few. Nothing is started while more than
//! [`OUT_HIGH`] bytes wait for the socket, so a peer that does not read holds up its own answers
//! and nothing else.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::{Abortable, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::time::{Sleep, sleep_until, timeout};

use super::call::{Call, Done, Feed, Inbound, Outbound, StopOnDrop, Work};
use super::incoming::Queue;
use super::sender::Sender;
use super::shared::{Open, Shared, Signal, Ticket};
use super::{CallError, Closed, Credit, Failure, Handler, Incoming, Limits, Message};
use crate::engine::{
    Connection, Event, Exhausted, KeepaliveTimer, Owner, Part, Sent, Terms, Timeout, TooLarge,
    Violation,
};
use crate::net::FrameIo;
use crate::wire::{Body, ErrorCode, Flags, Frame, Interaction, Payload, Request, Side, StreamId};

/// One connection that is set up.
pub(super) struct Driver {
    out: Sender,
    connection: Connection<Call>,
    work: FuturesUnordered<Abortable<Work>>,
    /// Fire-and-forget futures among the work.
    quiet: usize,
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    side: Side,
    timer: Pin<Box<Sleep>>,
    /// The queue whose slow reader keeps us from reading.
    held: Option<Arc<Queue>>,
    /// Nobody calls any more: end with the last stream.
    closing: bool,
}

impl Driver {
    pub(super) fn new(
        out: Sender,
        side: Side,
        keepalive: KeepaliveTimer,
        shared: Arc<Shared>,
        handler: Arc<dyn Handler>,
        limits: Limits,
    ) -> Self {
        let terms = Terms {
            side,
            keepalive,
            streams_max: limits.streams,
        };
        let connection = Connection::new(terms);
        Self {
            out,
            timer: Box::pin(sleep_until(deadline(&connection))),
            connection,
            work: FuturesUnordered::new(),
            quiet: 0,
            shared,
            handler,
            limits,
            side,
            held: None,
            closing: false,
        }
    }

    /// Drives the connection to its end, tells everybody why it ended, and takes leave.
    pub(super) async fn run(mut self) -> Closed {
        let reason = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.shared.finish(reason.clone());
        self.connection.drain().for_each(drop);
        self.work.clear();
        // Without an end a dropped socket could reset and take our last words along.
        let _ = timeout(LINGER, take_leave(&mut self.out.io)).await;
        reason
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.shared.register(cx);
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn; false when there is nothing to do but wait.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut progress = self.poll_read(cx)?;
        progress |= self.take_inbox()?;
        progress |= self.poll_work(cx);
        let full = self.is_full();
        if let Poll::Ready(Err(error)) = self.out.poll_flush(cx) {
            return Err(Closed::Net(Arc::new(error.into())));
        }
        if self.out.queued() > OUT_HARD + self.limits.message {
            return Err(Closed::Stalled);
        }
        progress |= full && !self.is_full();
        if !progress {
            self.poll_timer(cx)?;
            if self.closing && self.is_idle() {
                return Err(Closed::Local);
            }
        }
        Ok(progress)
    }

    fn is_full(&self) -> bool {
        self.out.queued() >= OUT_HIGH
    }

    fn is_idle(&self) -> bool {
        self.connection.is_empty()
            && self.quiet == 0
            && self.out.queued() == 0
            && self.shared.is_idle()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = now();
            if self.held.is_some() {
                // It is we who do not listen.
                self.connection.heard(now);
            }
            match self.connection.handle_timeout(now) {
                Timeout::Nothing => {}
                Timeout::SendKeepalive => {
                    self.out.keepalive(true, &[]);
                    // The turn's flush is over.
                    cx.waker().wake_by_ref();
                }
                Timeout::PeerGone => return Err(Closed::Silent),
            }
            self.timer.as_mut().reset(deadline(&self.connection));
        }
        Ok(())
    }

    // ---- what the peer says

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut heard = false;
        for _ in 0..FRAMES {
            if self.held.as_ref().is_some_and(|queue| queue.is_held()) {
                break;
            }
            self.held = None;
            let frame = match self.out.io.poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Err(Closed::Peer),
                Poll::Ready(Some(Err(error))) => return Err(Closed::Net(Arc::new(error))),
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

    fn handle(&mut self, bytes: &Bytes) -> Result<(), Closed> {
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) if error.ignorable() => return Ok(()),
            Err(_) => return Err(self.violation(MALFORMED)),
        };
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
                let reaction = react(owner, fragment, flags, part, self.limits.message);
                self.follow(id, reaction);
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
            Event::Ping { data } => self.out.keepalive(false, data),
            Event::MetadataPush { metadata } => {
                self.handler.metadata_push(slice(bytes, metadata));
            }
            Event::Closed { code, data } => {
                return Err(Closed::Error(Failure::from_wire(code, data)));
            }
            Event::Violation(violation) => return Err(self.violation(violation)),
        }
        Ok(())
    }

    fn violation(&mut self, violation: Violation) -> Closed {
        self.out
            .error(StreamId::CONNECTION, violation.code, violation.text);
        Closed::Violation(violation.text)
    }

    fn take_request(&mut self, id: StreamId, request: &Request<'_>, bytes: &Bytes) {
        let mut call = Call::new(Ticket::of(id), Inbound::Nothing, request.initial_n);
        let fragment = message(bytes, request.metadata, request.data);
        let whole = match call.assemble(fragment, !request.follows, self.limits.message) {
            Ok(whole) => whole,
            Err(TooLarge { .. }) => {
                self.out.error(id, ErrorCode::INVALID, TOO_LARGE);
                return;
            }
        };
        if whole.is_none() {
            call.begun = Some(request.interaction);
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
            Reaction::TooLarge => {
                if self.side.owns(id) {
                    self.out.cancel(id);
                } else {
                    self.out.error(id, ErrorCode::INVALID, TOO_LARGE);
                }
                self.connection.forget(id);
            }
        }
    }

    fn dispatch(
        &mut self,
        id: StreamId,
        interaction: Interaction,
        complete: bool,
        message: Message,
    ) {
        let handler = Arc::clone(&self.handler);
        match interaction {
            Interaction::Response => {
                self.run_work(id, Work::Reply(id, handler.request_response(message)));
            }
            Interaction::Stream => {
                self.run_work(id, Work::Item(id, Some(handler.request_stream(message))));
            }
            Interaction::Channel => {
                let Some(rest) = self.incoming(id, complete) else {
                    return;
                };
                let items = handler.request_channel(message, rest);
                self.run_work(id, Work::Item(id, Some(items)));
            }
            Interaction::FireAndForget => {
                // There is no way to refuse one but to drop it.
                if self.quiet < self.limits.streams {
                    self.quiet += 1;
                    let (work, _) = abortable(Work::Quiet(handler.fire_and_forget(message)));
                    self.work.push(work);
                }
            }
        }
    }

    /// The items a channel's requester sends behind its first.
    fn incoming(&mut self, id: StreamId, complete: bool) -> Option<Incoming> {
        let call = self.connection.get_mut(id)?;
        let queue = Arc::new(Queue::default());
        let credit = Credit::window(self.limits.channel_window);
        call.inbound = Inbound::Items(Feed(Arc::clone(&queue)));
        if complete {
            call.inbound.complete();
        } else {
            self.out.request_n(id, credit.initial);
        }
        let ticket = Arc::clone(&call.ticket);
        Some(Incoming::new(
            queue,
            Arc::clone(&self.shared),
            ticket,
            credit,
        ))
    }

    // ---- what callers ask

    fn take_inbox(&mut self) -> Result<bool, Closed> {
        let mut progress = false;
        for signal in self.shared.take_signals() {
            progress = true;
            self.take_signal(signal)?;
        }
        for _ in 0..OPENS {
            if self.is_full() {
                break;
            }
            let Some(open) = self.shared.take_open() else {
                break;
            };
            progress = true;
            if !open.ticket.cancelled() {
                self.open(open);
            }
        }
        Ok(progress)
    }

    fn take_signal(&mut self, signal: Signal) -> Result<(), Closed> {
        match signal {
            Signal::Cancel(ticket) => self.cancel(&ticket),
            Signal::RequestN(ticket, n) => {
                let call = self.call_of(&ticket);
                if let Some((id, Inbound::Items(_))) = call.map(|(id, call)| (id, &call.inbound)) {
                    self.out.request_n(id, n);
                }
            }
            Signal::MetadataPush(metadata, _permit) => self.out.metadata_push(&metadata),
            Signal::Unattended => self.closing = self.side == Side::Client,
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
            ..
        } = open;
        let mut pieces = self.out.pieces(&message);
        let Some((first, follows)) = pieces.next() else {
            return;
        };
        let request = Request {
            interaction,
            initial_n,
            follows,
            complete: false,
            metadata: first.metadata.as_deref(),
            data: &first.data,
        };
        let call = Call::new(Arc::clone(&ticket), inbound, 0);
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

    fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
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
    fn release_held(&mut self, id: StreamId) {
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

    fn fail(&mut self, id: StreamId, failure: Failure) {
        if let Some(mut call) = self.connection.forget(id) {
            self.out.error(id, stream_code(failure.code), &failure.text);
            call.inbound.fail(failure.into());
        }
    }

    /// Runs a future or stream of the user for as long as its stream lives.
    fn run_work(&mut self, id: StreamId, work: Work) {
        if let Some(call) = self.connection.get_mut(id) {
            let (work, stop) = abortable(work);
            call.outbound = Outbound::Running(StopOnDrop(stop));
            self.work.push(work);
        }
    }
}

impl Drop for Driver {
    /// A driver that is stopped from outside leaves nobody waiting.
    fn drop(&mut self) {
        self.shared.finish(Closed::Local);
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
    TooLarge,
}

fn react(
    mut owner: Owner<'_, Call>,
    fragment: Message,
    flags: Flags,
    part: Part,
    limit: usize,
) -> Reaction {
    let complete = flags.contains(Flags::COMPLETE);
    let call = owner.get();
    let (Part::Request { last } | Part::Item { last }) = part else {
        call.inbound.complete();
        return Reaction::Nothing;
    };
    let message = match call.assemble(fragment, last, limit) {
        Ok(Some(message)) => message,
        Ok(None) => return Reaction::Nothing,
        Err(TooLarge { limit }) => {
            call.inbound.fail(CallError::TooLarge { limit });
            return Reaction::TooLarge;
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

async fn take_leave(io: &mut FrameIo) -> std::io::Result<()> {
    io.shutdown().await?;
    while let Some(Ok(_)) = io.next_frame().await {}
    Ok(())
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

fn deadline(connection: &Connection<Call>) -> tokio::time::Instant {
    let never = now() + Duration::from_secs(86_400);
    connection.next_timeout().unwrap_or(never).into()
}

/// The runtime's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
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

fn cancelled() -> Failure {
    Failure::new(ErrorCode::CANCELED, "the requester cancelled")
}

const MALFORMED: Violation = Violation {
    code: ErrorCode::CONNECTION_ERROR,
    text: "a frame is malformed",
};

const TOO_LARGE: &str = "the message is over the limit";

/// Below this a part of a frame is copied out of its buffer.
const SLICE_MIN: usize = 1024;

/// Frames read, and pieces of work done, before a turn goes on.
const FRAMES: usize = 64;

/// Requests taken from callers in one turn.
const OPENS: usize = 256;

/// Turns before other tasks get theirs.
const TURNS: usize = 8;

/// With so many bytes waiting for the socket nothing new is started.
const OUT_HIGH: usize = 1 << 20;

/// With so many more than one message the peer is given up: it asks and does not read.
const OUT_HARD: usize = 16 << 20;

/// How long to wait for the peer's end after ours.
const LINGER: Duration = Duration::from_secs(1);
