//! Requests that the broker holds on purpose: delayed, swallowed by a black hole, paced, or waiting to be told who
//! asks. All of them together are bounded in number and bytes, and each in time. One link may hold an eighth of that, as
//! of an outbox, or one request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Limits, errand::Errand, handle::Handle, item::Item, refusal::Refusal, ticket::Ticket};

/// One link may hold so much of what all may.
const PART: usize = 8;

/// What all links hold together, and the bounds.
#[derive(Debug)]
pub(super) struct Holding {
    all: Tally,
    requests_max: usize,
    bytes_max: usize,
    time_max: Duration,
}

/// What is held of the requests of one link, or of all.
#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    holding: Arc<Holding>,
    /// Of the link whose request it is.
    link: Arc<Tally>,
    bytes: usize,
}

impl Holding {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: Tally::default(),
            requests_max: limits.held_requests,
            bytes_max: limits.held_bytes,
            time_max: limits.held_time,
        }
    }

    /// Room for one request more of a link.
    pub(super) fn admit(self: &Arc<Self>, of: &Handle, bytes: usize) -> Result<Share, Refusal> {
        // The share is made first: a refusal gives back what was counted.
        let mut share = Share {
            holding: self.clone(),
            link: of.held.clone(),
            bytes: 0,
        };
        let all = self.all.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let link = share.link.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if all > self.requests_max || (link > 1 && link > self.requests_max / PART) {
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
            self.all.requests.load(Ordering::Relaxed),
            self.all.bytes.load(Ordering::Relaxed),
        )
    }
}

impl Share {
    /// Room for so many bytes more.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = self.holding.all.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let link = self.link.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        let alone = self.link.requests.load(Ordering::Relaxed) == 1;
        let most = self.holding.bytes_max;
        match all <= most && (alone || link <= most / PART) {
            true => Ok(()),
            false => Err(Refusal::TooManyHeld),
        }
    }

    /// So many bytes are held no more.
    pub(super) fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.holding.all.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.link.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.bytes);
        self.holding.all.requests.fetch_sub(1, Ordering::Relaxed);
        self.link.requests.fetch_sub(1, Ordering::Relaxed);
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
