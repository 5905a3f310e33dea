//! Requests that the broker holds on purpose: delayed, swallowed by a black hole, paced, or waiting to be told who
//! asks. All of them together are bounded in number and bytes, and each in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Limits, errand::Errand, handle::Handle, item::Item, refusal::Refusal, ticket::Ticket};

/// What all links hold together.
#[derive(Debug)]
pub(super) struct Holding {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    requests_max: usize,
    bytes_max: usize,
    time_max: Duration,
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    holding: Arc<Holding>,
    bytes: usize,
}

impl Holding {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            requests_max: limits.held_requests,
            bytes_max: limits.held_bytes,
            time_max: limits.held_time,
        }
    }

    /// Room for one request more.
    pub(super) fn admit(self: &Arc<Self>, bytes: usize) -> Result<Share, Refusal> {
        // The share is made first: a refusal gives back what was counted.
        let mut share = Share {
            holding: self.clone(),
            bytes: 0,
        };
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        if before >= self.requests_max {
            return Err(Refusal::TooManyHeld);
        }
        share.take(bytes)?;
        Ok(share)
    }

    /// Whether a request may be held for so long.
    pub(super) fn admits_time(&self, time: Duration) -> Result<(), Refusal> {
        match time <= self.time_max {
            true => Ok(()),
            false => Err(Refusal::HeldTooLong),
        }
    }

    /// How long anything may be held.
    pub(super) const fn time_max(&self) -> Duration {
        self.time_max
    }

    /// Requests and bytes held now.
    pub(super) fn held(&self) -> (usize, usize) {
        (
            self.requests.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

impl Share {
    /// Room for so many bytes more.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.holding.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        match before + bytes <= self.holding.bytes_max {
            true => Ok(()),
            false => Err(Refusal::TooManyHeld),
        }
    }

    /// So many bytes are held no more.
    pub(super) fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.holding.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.bytes);
        self.holding.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reminds a link of a stream: its owner finds [`Item::Due`] in its outbox then. A link that cannot write, or has no
/// transport, is reminded when it can.
pub(super) fn remind(when: Instant, me: &Arc<Handle>, ticket: &Arc<Ticket>) -> Errand {
    let (me, ticket) = (me.clone(), ticket.clone());
    Errand::new(async move {
        tokio::time::sleep_until(when.into()).await;
        let _ = me.push(&me, Item::Due { ticket });
    })
}
