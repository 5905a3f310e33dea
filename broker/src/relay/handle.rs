//! What the rest of the broker holds of a link.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::SystemTime,
};

use bytes::Bytes;
use jackfield_rsocket::net::FrameIo;

use super::{
    accept::address,
    holding::Tally,
    item::Item,
    limits::Limits,
    outbox::{Outbox, Unplaced},
    resume::Returning,
    ticket::Ticket,
};
use crate::identity::Principal;

/// Names a connection for as long as the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

impl LinkId {
    /// What the broker itself sends is from no link: they are counted from 1.
    pub(super) const BROKER: Self = Self(0);
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One link, seen from outside: where to put what is for it.
#[derive(Debug)]
pub struct Handle {
    pub id: LinkId,
    pub remote: Option<IpAddr>,
    pub transport: &'static str,
    /// Who is there, for as long as the session lasts.
    pub principal: Arc<Principal>,
    /// When its principal ends by now, until the owner looks.
    renewed: Mutex<Option<Option<SystemTime>>>,
    /// Of the certificate it showed in SETUP's TLS handshake.
    certificate: Option<[u8; 32]>,
    pub(super) outbox: Outbox,
    /// What the broker holds of its requests.
    pub(super) held: Arc<Tally>,
    /// Bytes that have left the outbox and wait for the socket, as of the owner's last turn.
    queued: AtomicUsize,
    /// No new requests are to be sent to it.
    closing: AtomicBool,
    /// The same, while it has no transport.
    parked: AtomicBool,
    /// The same, while its peer has granted no lease.
    barred: AtomicBool,
    /// The owner's task. The outbox wakes it for items; this is for orders and for the door, at any time.
    task: Mutex<Option<Waker>>,
    door: Mutex<Door>,
    knocked: AtomicBool,
    /// The owner is to announce CONNECTION_CLOSE, or to end.
    order: AtomicU64,
}

/// Where a new transport for the session is left.
#[derive(Debug)]
enum Door {
    Open(Option<Box<Returning>>),
    /// The session has ended.
    Shut,
}

/// What the broker asks of a link's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Take no new requests, and close when the last stream has ended.
    Drain,
    /// Close now.
    Close,
    /// Close now, because a newer connection of the same application takes over.
    GiveWay,
    /// End a session that has no transport, because there are too many of them.
    Forget,
    /// Close now, because memory is short and most of it waits for this peer.
    Shed,
    /// Close now, because the peer is not who it was when it was let in.
    Changed,
    /// Close now, because what the peer was let in by has been taken back.
    TakeBack,
}

impl Handle {
    pub(super) fn new(
        id: u64,
        io: &FrameIo,
        principal: Arc<Principal>,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: LinkId(id),
            remote: address(io.peer()),
            transport: io.kind().as_str(),
            principal,
            renewed: Mutex::default(),
            certificate: certificate(io),
            outbox: Outbox::new(limits.outbox, limits.outbox_hard),
            held: Arc::default(),
            queued: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            barred: AtomicBool::new(false),
            task: Mutex::default(),
            door: Mutex::new(Door::Open(None)),
            knocked: AtomicBool::new(false),
            order: AtomicU64::new(0),
        })
    }

    /// Where the peer is seen, as text; empty inside the process.
    pub(super) fn address(&self) -> String {
        self.remote.map_or_else(String::new, |ip| ip.to_string())
    }

    /// When its principal ends by now, if that has changed since this was last asked.
    pub(super) fn take_renewed(&self) -> Option<Option<SystemTime>> {
        { self.renewed.lock() }
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Its principal ends then; none: with the connection.
    pub(super) fn renew(&self, expires: Option<SystemTime>) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(expires);
    }

    /// Puts an item of `from` into the outbox, or gives it back.
    pub(super) fn push(&self, from: &Self, item: Item) -> Result<(), Unplaced> {
        self.outbox.push(from.id, item)
    }

    /// Pushes metadata to the peer, unless more waits for it than it reads.
    pub(super) fn push_metadata(&self, metadata: Bytes) -> bool {
        !self.outbox.above_high()
            && self
                .outbox
                .push(LinkId::BROKER, Item::Push(metadata))
                .is_ok()
    }

    /// Takes back what waits here of a request that was withdrawn.
    pub(super) fn retract(&self, ticket: &Arc<Ticket>) {
        drop(self.outbox.retract(ticket.near.id, ticket));
    }

    /// Whether new requests may be sent to the link.
    pub(super) fn usable(&self) -> bool {
        let away = [&self.closing, &self.parked, &self.barred];
        !away.iter().any(|why| why.load(Ordering::Relaxed)) && !self.outbox.above_high()
    }

    pub(super) fn set_queued(&self, bytes: usize) {
        self.queued.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that wait for the peer to read.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.bytes() + self.queued.load(Ordering::Relaxed)
    }

    /// Whether the link has not been told to close at once.
    pub(super) fn stays(&self) -> bool {
        matches!(self.order(), Order::Serve | Order::Drain)
    }

    pub(super) fn stop_requests(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the session has no transport now.
    pub(super) fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    /// Whether the peer's lease lets nothing start now.
    pub(super) fn set_barred(&self, barred: bool) {
        self.barred.store(barred, Ordering::Relaxed);
    }

    /// For the owner, once: where it is to be woken.
    pub(super) fn owned_by(&self, task: &Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
    }

    fn wake(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `io` shows the same certificate, or none as before: a token alone is no identity.
    pub(super) fn is_same_peer(&self, io: &FrameIo) -> bool {
        self.certificate == certificate(io)
    }

    /// Leaves a new transport for the session; the latest counts. Gives it back when the session has
    /// ended.
    pub(super) fn knock(&self, returning: Returning) -> Result<(), Box<Returning>> {
        let returning = Box::new(returning);
        match &mut *self.door() {
            Door::Open(place) => *place = Some(returning),
            Door::Shut => return Err(returning),
        }
        self.knocked.store(true, Ordering::Release);
        self.wake();
        Ok(())
    }

    /// For the owner: the transport that was left, if any.
    pub(super) fn answer_door(&self) -> Option<Box<Returning>> {
        if !self.knocked.load(Ordering::Relaxed) || !self.knocked.swap(false, Ordering::Acquire) {
            return None;
        }
        match &mut *self.door() {
            Door::Open(place) => place.take(),
            Door::Shut => None,
        }
    }

    /// For the owner: the session has ended.
    pub(super) fn shut_door(&self) -> Option<Box<Returning>> {
        match std::mem::replace(&mut *self.door(), Door::Shut) {
            Door::Open(left) => left,
            Door::Shut => None,
        }
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            2 => Order::Close,
            3 => Order::GiveWay,
            4 => Order::Forget,
            5 => Order::Shed,
            6 => Order::Changed,
            _ => Order::TakeBack,
        }
    }

    pub(super) fn give_order(&self, order: Order) {
        if order != Order::Serve {
            self.stop_requests();
        }
        self.order.fetch_max(order as u64, Ordering::AcqRel);
        self.wake();
    }
}

fn certificate(io: &FrameIo) -> Option<[u8; 32]> {
    io.tls_identity().map(|identity| identity.fingerprint)
}
