use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use super::shared::{Shared, Signal, Ticket};
use super::{CallError, Message};

/// How many items a stream is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Granted with the request; at least 1.
    pub initial: u32,
    /// Granted again each time so many were taken; zero leaves it to [`Incoming::request_n`].
    pub refill: u32,
}

impl Credit {
    /// At most `items` on their way or waiting, topped up at half.
    pub fn window(items: u32) -> Self {
        let initial = items.clamp(1, Self::ENDLESS);
        Self {
            initial,
            refill: initial.div_ceil(2),
        }
    }

    /// `items` now, and more only by [`Incoming::request_n`].
    pub fn exactly(items: u32) -> Self {
        Self {
            initial: items.clamp(1, Self::ENDLESS),
            refill: 0,
        }
    }

    /// Everything at once. Whoever then stops taking items holds up its whole connection.
    pub const fn endless() -> Self {
        Self {
            initial: Self::ENDLESS,
            refill: 0,
        }
    }

    pub(super) const ENDLESS: u32 = 0x7FFF_FFFF;
}

impl Default for Credit {
    fn default() -> Self {
        Self::window(128)
    }
}

/// Items from the peer. Dropping it before its end cancels: the whole stream for its requester, the
/// requester's half of a channel for its responder.
pub struct Incoming {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    ticket: Arc<Ticket>,
    refill: u32,
    taken: u32,
    done: bool,
}

impl Incoming {
    pub(super) fn new(
        queue: Arc<Queue>,
        shared: Arc<Shared>,
        ticket: Arc<Ticket>,
        credit: Credit,
    ) -> Self {
        Self {
            queue,
            shared,
            ticket,
            refill: credit.refill,
            taken: 0,
            done: false,
        }
    }

    /// Asks for `n` more items.
    pub fn request_n(&self, n: u32) {
        if n > 0 && !self.done {
            let n = n.min(Credit::ENDLESS);
            self.shared
                .signal(Signal::RequestN(Arc::clone(&self.ticket), n));
        }
    }

    fn took_one(&mut self) {
        self.taken += 1;
        if self.refill > 0 && self.taken >= self.refill {
            let n = std::mem::take(&mut self.taken);
            self.request_n(n);
        }
    }
}

impl Stream for Incoming {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.queue.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Taken::Item { message, resume }) => {
                if resume {
                    self.shared.wake_driver();
                }
                self.took_one();
                Poll::Ready(Some(Ok(message)))
            }
            Poll::Ready(Taken::End(end)) => {
                self.done = true;
                Poll::Ready(match end {
                    End::Complete => None,
                    End::Failed(error) => Some(Err(error)),
                    End::Abandoned => Some(Err(self.shared.reason().into())),
                })
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.done && !self.queue.has_ended() {
            self.shared.cancel(&self.ticket);
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// Items between the driver and whoever takes them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Message>,
    bytes: usize,
    end: Option<End>,
    reader: Option<Waker>,
    /// The driver has stopped reading until there is room again.
    held: bool,
}

#[derive(Debug)]
pub(super) enum End {
    Complete,
    Failed(CallError),
    /// The connection ended.
    Abandoned,
}

enum Taken {
    Item { message: Message, resume: bool },
    End(End),
}

impl Queue {
    /// Appends an item; false when the reader is so far behind that the driver must wait for it.
    #[must_use]
    pub(super) fn push(&self, message: Message) -> bool {
        let mut state = self.lock();
        state.bytes += size(&message);
        state.items.push_back(message);
        state.held |= state.items.len() > ITEMS_MAX || state.bytes > BYTES_MAX;
        let (room, reader) = (!state.held, state.reader.take());
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        room
    }

    /// The first end stays.
    pub(super) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.lock().held
    }

    fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Taken> {
        let mut state = self.lock();
        if let Some(message) = state.items.pop_front() {
            state.bytes -= size(&message);
            let low = state.items.len() <= ITEMS_MAX / 2 && state.bytes <= BYTES_MAX / 2;
            let resume = state.held && low;
            state.held &= !low;
            return Poll::Ready(Taken::Item { message, resume });
        }
        if state.end.is_some() {
            // Something that ended stays ended, whoever asks again.
            let end = state.end.replace(End::Complete).unwrap_or(End::Complete);
            return Poll::Ready(Taken::End(end));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(message: &Message) -> usize {
    message.metadata.as_ref().map_or(0, bytes::Bytes::len) + message.data.len()
}

/// Beyond either of these a connection is not read until its slow reader has caught up by half.
/// Ordinary windows never come near.
const ITEMS_MAX: usize = 4096;
const BYTES_MAX: usize = 64 << 20;
