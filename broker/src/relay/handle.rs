//! What the rest of the broker holds of a link.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    item::Item,
    limits::Limits,
    outbox::{Outbox, Unplaced},
    ticket::Ticket,
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
            closing: AtomicBool::new(false),
            order: AtomicU64::new(0),
        })
    }

    /// Puts an item of `from` into the outbox, or gives it back.
    pub(super) fn push(&self, from: &Self, item: Item) -> Result<(), Unplaced> {
        self.outbox.push(from.id, item)
    }

    /// Takes back what waits here of a request that was withdrawn.
    pub(super) fn retract(&self, ticket: &Arc<Ticket>) {
        drop(self.outbox.retract(ticket.near.id, ticket));
    }

    /// Whether new requests may be sent to the link.
    pub(super) fn usable(&self) -> bool {
        !self.closing.load(Ordering::Relaxed) && !self.outbox.above_high()
    }

    pub(super) fn stop_requests(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            2 => Order::Close,
            _ => Order::GiveWay,
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
