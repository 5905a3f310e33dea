//! What callers on any task share with the one driver of their connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::call::Inbound;
use super::{CallError, Closed, Items, Message};
use crate::net::FrameIo;
use crate::wire::{Interaction, StreamId};

/// The inbox of a driver.
///
/// Requests are bounded by permits. Signals are bounded by what they concern: each call is
/// cancelled once, and credit is only granted for items that were taken.
#[derive(Debug)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    driver: AtomicWaker,
    room: Arc<Semaphore>,
    closed: watch::Sender<Option<Closed>>,
    /// There is a transport.
    up: watch::Sender<bool>,
    /// Calls of ours that wait or run.
    open: Arc<AtomicUsize>,
}

/// One call that waits or runs.
#[derive(Debug)]
pub(super) struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Inbox {
    opens: VecDeque<Open>,
    signals: VecDeque<Signal>,
    closed: Option<Closed>,
}

/// A request on its way to the driver.
pub(super) struct Open {
    pub(super) interaction: Interaction,
    pub(super) message: Message,
    pub(super) initial_n: u32,
    pub(super) inbound: Inbound,
    /// The items behind the first, for a channel.
    pub(super) source: Option<Items>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) load: Load,
    /// Its place in the inbox.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("interaction", &self.interaction)
            .finish_non_exhaustive()
    }
}

/// What needs no room.
#[derive(Debug)]
pub(super) enum Signal {
    Cancel(Arc<Ticket>),
    RequestN(Arc<Ticket>, u32),
    MetadataPush(Bytes, OwnedSemaphorePermit),
    /// Nobody can call any more.
    Unattended,
    /// The peer came back with this RESUME.
    Attach(Box<FrameIo>, Bytes),
    Close,
}

/// Names a call before and after it has a stream id.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    /// Zero until the request is sent.
    id: AtomicU32,
    /// Credit that was granted before the request was sent.
    early: AtomicU32,
    cancelled: AtomicBool,
}

impl Ticket {
    pub(super) fn of(id: StreamId) -> Arc<Self> {
        let ticket = Self::default();
        ticket.stamp(id);
        Arc::new(ticket)
    }

    pub(super) fn stamp(&self, id: StreamId) {
        self.id.store(id.get(), Ordering::Relaxed);
    }

    /// The stream, once there is one.
    pub(super) fn stream(&self) -> Option<StreamId> {
        let id = StreamId::from_wire(self.id.load(Ordering::Relaxed));
        (!id.is_connection()).then_some(id)
    }

    /// Keeps credit for a request that is not sent yet.
    pub(super) fn grant_early(&self, n: u32) {
        let sum = self.early.load(Ordering::Relaxed).saturating_add(n);
        // Only the driver writes.
        self.early.store(sum, Ordering::Relaxed);
    }

    /// What the request is to begin with, of `initial` and what was granted meanwhile.
    pub(super) fn initial(&self, initial: u32) -> u32 {
        let sum = initial.saturating_add(self.early.swap(0, Ordering::Relaxed));
        sum.min(0x7FFF_FFFF)
    }

    pub(super) fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(super) fn new(queue: usize) -> Arc<Self> {
        Arc::new(Self {
            inbox: Mutex::default(),
            driver: AtomicWaker::new(),
            room: Arc::new(Semaphore::new(queue.clamp(1, Semaphore::MAX_PERMITS))),
            closed: watch::Sender::new(None),
            up: watch::Sender::new(false),
            open: Arc::default(),
        })
    }

    // ---- callers

    /// Waits for a place in the inbox.
    pub(super) async fn room(self: &Arc<Self>) -> Result<OwnedSemaphorePermit, CallError> {
        let room = Arc::clone(&self.room);
        room.acquire_owned().await.map_err(|_| self.reason().into())
    }

    pub(super) fn open(&self, open: Open) -> Result<(), CallError> {
        let mut inbox = self.lock();
        if let Some(closed) = &inbox.closed {
            return Err(closed.clone().into());
        }
        inbox.opens.push_back(open);
        drop(inbox);
        self.driver.wake();
        Ok(())
    }

    /// Counts a call.
    pub(super) fn load(&self) -> Load {
        self.open.fetch_add(1, Ordering::Relaxed);
        Load(Arc::clone(&self.open))
    }

    pub(super) fn calls_open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Waits for a transport, or for the end.
    pub(super) async fn up(&self) -> Result<(), Closed> {
        let mut up = self.up.subscribe();
        tokio::select! {
            biased;
            reason = self.closed() => Err(reason),
            _ = up.wait_for(|up| *up) => Ok(()),
        }
    }

    /// Hands the peer's new transport over; gives it back when the connection has ended.
    pub(super) fn come_back(&self, io: Box<FrameIo>, resume: Bytes) -> Result<(), Box<FrameIo>> {
        let mut inbox = self.lock();
        if inbox.closed.is_some() {
            return Err(io);
        }
        // Whoever storms with one token replaces only himself.
        inbox
            .signals
            .retain(|signal| !matches!(signal, Signal::Attach(..)));
        inbox.signals.push_back(Signal::Attach(io, resume));
        drop(inbox);
        self.driver.wake();
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) {
        let mut inbox = self.lock();
        if inbox.closed.is_none() {
            inbox.signals.push_back(signal);
            drop(inbox);
            self.driver.wake();
        }
    }

    pub(super) fn cancel(&self, ticket: &Arc<Ticket>) {
        ticket.cancelled.store(true, Ordering::Relaxed);
        self.signal(Signal::Cancel(Arc::clone(ticket)));
    }

    pub(super) fn wake_driver(&self) {
        self.driver.wake();
    }

    /// Why the connection ended; a driver that vanished was stopped on this side.
    pub(super) fn reason(&self) -> Closed {
        self.lock().closed.clone().unwrap_or(Closed::Local)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed.is_some()
    }

    pub(super) async fn closed(&self) -> Closed {
        let mut closed = self.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Closed::Local),
            Err(_) => Closed::Local,
        }
    }

    // ---- the driver

    pub(super) fn register(&self, cx: &std::task::Context<'_>) {
        self.driver.register(cx.waker());
    }

    /// Takes all signals, and requests as long as there is `room` for what they make.
    pub(super) fn take_signals(&self) -> VecDeque<Signal> {
        std::mem::take(&mut self.lock().signals)
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    pub(super) fn take_open(&self) -> Option<Open> {
        self.lock().opens.pop_front()
    }

    /// It was not its time.
    pub(super) fn put_back(&self, open: Open) {
        let mut inbox = self.lock();
        if inbox.closed.is_none() {
            inbox.opens.push_front(open);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let inbox = self.lock();
        inbox.opens.is_empty() && inbox.signals.is_empty()
    }

    /// Ends everything that waits. The first reason stays.
    pub(super) fn finish(&self, reason: Closed) {
        let left = {
            let mut inbox = self.lock();
            inbox.closed.get_or_insert(reason.clone());
            (
                std::mem::take(&mut inbox.opens),
                std::mem::take(&mut inbox.signals),
            )
        };
        // Outside the lock: dropping a request runs code of its caller.
        drop(left);
        self.room.close();
        self.set_up(false);
        self.closed
            .send_if_modified(|closed| closed.is_none() && closed.replace(reason).is_none());
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
