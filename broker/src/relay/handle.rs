//! What the rest of the broker holds of a link.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    item::Item,
    limits::Limits,
    outbox::{Outbox, Unplaced},
};

/// Names a connection for as long as the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

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
    pub(super) outbox: Outbox,
    /// Bytes that have left the outbox and wait for the socket, as of the owner's last turn.
    queued: AtomicUsize,
    /// No new requests are to be sent to it.
    closing: AtomicBool,
    /// The owner is to announce CONNECTION_CLOSE, or to end.
    order: AtomicU64,
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
    /// Close now, because memory is short and most of it waits for this peer.
    Shed,
}

impl Handle {
    pub(super) fn new(
        id: u64,
        remote: Option<IpAddr>,
        transport: &'static str,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: LinkId(id),
            remote,
            transport,
            outbox: Outbox::new(limits.outbox, limits.outbox_hard),
            queued: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            order: AtomicU64::new(0),
        })
    }

    /// Puts an item of `from` into the outbox, or gives it back.
    pub(super) fn push(&self, from: &Self, item: Item) -> Result<(), Unplaced> {
        self.outbox.push(from.id, item)
    }

    /// Whether new requests may be sent to the link.
    pub(super) fn usable(&self) -> bool {
        !self.closing.load(Ordering::Relaxed) && !self.outbox.above_high()
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

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            2 => Order::Close,
            3 => Order::GiveWay,
            _ => Order::Shed,
        }
    }

    pub(super) fn give_order(&self, order: Order) {
        if order != Order::Serve {
            self.stop_requests();
        }
        self.order.fetch_max(order as u64, Ordering::AcqRel);
        self.outbox.wake_owner();
    }
}
