//! What the driver keeps of one stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::AbortHandle;
use tokio::sync::oneshot;

use super::budget::{Budget, Share};
use super::driver::{guarded, now};
use super::incoming::{End, Queue};
use super::shared::{Load, Ticket};
use super::{CallError, Failure, Items, Limits, Message, Reply};
use crate::engine::{Assembler, TooLarge};
use crate::wire::{ErrorCode, Interaction, StreamId};

/// One stream, of either side.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) ticket: Arc<Ticket>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    /// Items the peer still wants.
    pub(super) credit: u64,
    /// The interaction of a request whose last fragment has not come.
    pub(super) begun: Option<Interaction>,
    /// Counts the call for as long as it is open; requests of the peer are not counted.
    pub(super) load: Option<Load>,
    assembler: Option<Assembly>,
}

impl Call {
    pub(super) const fn new(ticket: Arc<Ticket>, inbound: Inbound, credit: u32) -> Self {
        Self {
            ticket,
            inbound,
            outbound: Outbound::Nothing,
            credit: credit as u64,
            begun: None,
            load: None,
            assembler: None,
        }
    }

    /// When the message began of which fragments have come and not the last.
    pub(super) fn assembling_since(&self) -> Option<Instant> {
        self.assembler.as_ref().map(|assembly| assembly.since)
    }

    /// Adds a fragment; gives the message when it is the last.
    pub(super) fn assemble(
        &mut self,
        fragment: Message,
        last: bool,
        room: &Room<'_>,
    ) -> Result<Option<Message>, Unfit> {
        let len = fragment.metadata.as_ref().map_or(0, bytes::Bytes::len) + fragment.data.len();
        if last && self.assembler.is_none() {
            if len > room.limit {
                return Err(Unfit::TooLarge { limit: room.limit });
            }
            return Ok(Some(counted(fragment, room.take(len)?)));
        }
        let assembly = self.assembler.get_or_insert_with(|| Assembly {
            assembler: Assembler::new(room.limit),
            share: None,
            since: now(),
        });
        match (&mut assembly.share, room.take(len)?) {
            (Some(share), Some(more)) => share.add(more),
            (share, more) => *share = more,
        }
        let assembler = &mut assembly.assembler;
        assembler.push(fragment.metadata.as_deref(), &fragment.data)?;
        Ok(if last {
            let whole = self.assembler.take();
            whole.map(|whole| counted(whole.assembler.finish(), whole.share))
        } else {
            None
        })
    }
}

/// A message of which fragments have come.
#[derive(Debug)]
struct Assembly {
    assembler: Assembler,
    share: Option<Share>,
    since: Instant,
}

/// What a message may take.
pub(super) struct Room<'d> {
    /// By itself.
    pub(super) limit: usize,
    /// With others.
    pub(super) memory: Option<&'d Budget>,
}

impl<'d> Room<'d> {
    pub(super) const fn new(limits: &Limits, memory: Option<&'d Budget>) -> Self {
        Self {
            limit: limits.message,
            memory,
        }
    }

    fn take(&self, bytes: usize) -> Result<Option<Share>, Unfit> {
        let take = |memory: &Budget| memory.take(bytes).ok_or(Unfit::Full);
        self.memory.map(take).transpose()
    }
}

/// A message that finds no room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unfit {
    TooLarge { limit: usize },
    Full,
}

impl Unfit {
    /// What its reader is told.
    pub(super) const fn error(self) -> CallError {
        match self {
            Self::TooLarge { limit } => CallError::TooLarge { limit },
            Self::Full => CallError::Full,
        }
    }

    /// What its sender is told.
    pub(super) const fn refusal(self) -> (ErrorCode, &'static str) {
        match self {
            Self::TooLarge { .. } => (ErrorCode::INVALID, "the message is over the limit"),
            Self::Full => (ErrorCode::REJECTED, "there is no room for the message"),
        }
    }
}

impl From<TooLarge> for Unfit {
    fn from(TooLarge { limit }: TooLarge) -> Self {
        Self::TooLarge { limit }
    }
}

/// The message, which keeps its share for as long as anybody holds its data.
fn counted(mut message: Message, share: Option<Share>) -> Message {
    if let Some(share) = share {
        message.data = share.of(message.data);
    }
    message
}

/// Where what the peer sends goes.
#[derive(Debug)]
pub(super) enum Inbound {
    Nothing,
    Reply(oneshot::Sender<Result<Message, CallError>>),
    Items(Feed),
}

/// The driver's hold on a queue: a queue that is let go without an end was abandoned.
#[derive(Debug)]
pub(super) struct Feed(pub(super) Arc<Queue>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.end(End::Abandoned);
    }
}

impl Inbound {
    /// Hands an item over; false when the reader is too far behind.
    #[must_use]
    pub(super) fn item(&mut self, message: Message) -> bool {
        match self {
            Self::Items(feed) => feed.0.push(message),
            Self::Reply(_) | Self::Nothing => {
                self.finish(Ok(message), End::Complete);
                true
            }
        }
    }

    /// No more will come. A reply that never came was an empty one.
    pub(super) fn complete(&mut self) {
        self.finish(Ok(Message::default()), End::Complete);
    }

    pub(super) fn fail(&mut self, error: CallError) {
        self.finish(Err(error.clone()), End::Failed(error));
    }

    fn finish(&mut self, answer: Result<Message, CallError>, end: End) {
        match std::mem::replace(self, Self::Nothing) {
            // Nobody waits when the call was dropped a moment ago.
            Self::Reply(reply) => drop(reply.send(answer)),
            Self::Items(feed) => feed.0.end(end),
            Self::Nothing => {}
        }
    }
}

/// Where what we send comes from.
pub(super) enum Outbound {
    Nothing,
    /// A future or stream of the user runs; it stops when this is dropped.
    Running(#[expect(dead_code, reason = "held for its drop")] StopOnDrop),
    /// An item waits for credit.
    Held(Message, Items),
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Running(_) => "Running",
            Self::Held(..) => "Held",
        })
    }
}

#[derive(Debug)]
pub(super) struct StopOnDrop(pub(super) AbortHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Code of the user that the driver runs.
pub(super) enum Work {
    Reply(StreamId, Reply),
    /// The next item.
    Item(StreamId, Option<Items>),
    Quiet(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// What came of it.
pub(super) enum Done {
    Reply(StreamId, Result<Message, Failure>),
    Item(StreamId, Option<Result<Message, Failure>>, Items),
    /// It panicked.
    Failed(StreamId, Failure),
    Quiet,
}

impl Future for Work {
    type Output = Done;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let work = self.get_mut();
        match guarded(|| work.poll_guarded(cx)) {
            Ok(done) => done,
            Err(failure) => Poll::Ready(match work {
                Self::Reply(id, _) | Self::Item(id, _) => Done::Failed(*id, failure),
                Self::Quiet(_) => Done::Quiet,
            }),
        }
    }
}

impl Work {
    fn poll_guarded(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        match self {
            Self::Reply(id, reply) => reply.as_mut().poll(cx).map(|reply| Done::Reply(*id, reply)),
            Self::Item(id, items) => {
                let Some(stream) = items else {
                    return Poll::Pending;
                };
                let item = std::task::ready!(stream.as_mut().poll_next(cx));
                match items.take() {
                    Some(stream) => Poll::Ready(Done::Item(*id, item, stream)),
                    None => Poll::Pending,
                }
            }
            Self::Quiet(work) => work.as_mut().poll(cx).map(|()| Done::Quiet),
        }
    }
}
