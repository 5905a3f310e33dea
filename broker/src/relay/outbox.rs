//! What other links have for one link: its outbox.
//!
//! ```text
//!  source link 3 ──► [ items ]──┐
//!  source link 9 ──► [ items ]──┼── deficit round robin ──► the link's owner ──► its socket
//!  source link 12 ─► [ items ]──┘
//! ```
//!
//! | bound | when it is reached |
//! |---|---|
//! | `high` bytes in all, or an eighth of it from one source | nothing new is placed; see [`Outbox::has_room`] |
//! | `hard` bytes in all | the stream that produces is cancelled on both sides |
//! | control items | one terminal and one credit entry per stream and direction: they always fit |
//!
//! Items of one source stay in order, so frames of a stream do. One legal frame always fits an empty
//! outbox. Nobody waits while holding the lock, and nothing is dropped under it.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use foldhash::fast::RandomState;

use super::{
    handle::LinkId,
    item::{ITEM_OVERHEAD, Item, Opening},
    ticket::Ticket,
};

/// Bytes one source may send per turn of the round robin.
const QUANTUM: usize = 16 * 1024;
/// Emptied queues that are kept.
const SPARE_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Outbox {
    /// Bytes waiting, kept beside the lock so that others can look without it.
    bytes: AtomicUsize,
    high: usize,
    /// Falls to the high mark while memory is short.
    hard: AtomicUsize,
    hard_usual: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Those with items, and no others.
    sources: HashMap<LinkId, Source, RandomState>,
    /// The same, in the order of their turns.
    ring: VecDeque<LinkId>,
    /// Queues of sources that have nothing waiting, to be used again.
    spare: Vec<VecDeque<Item>>,
    owner: Option<Waker>,
    /// Links that wait for room here.
    waiting: Vec<Waker>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Source {
    items: VecDeque<Item>,
    bytes: usize,
    deficit: usize,
}

impl Inner {
    /// A source has nothing here any more, and no turn.
    fn forget(&mut self, source: LinkId) {
        self.sources.remove(&source);
        self.ring.retain(|waiting| *waiting != source);
    }
}

/// An item that could not be placed.
#[derive(Debug)]
pub(super) enum Unplaced {
    /// The link has ended.
    Gone(#[expect(dead_code, reason = "dropped by whoever is given it")] Item),
    /// The outbox is at its hard mark.
    Full(#[expect(dead_code, reason = "dropped by whoever is given it")] Item),
}

fn weight_of(item: &Item) -> usize {
    item.len() + ITEM_OVERHEAD
}

impl Outbox {
    pub(super) fn new(high: usize, hard: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            high,
            hard: AtomicUsize::new(hard),
            hard_usual: hard,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether candidates here should be passed over and credit held back.
    pub(super) fn above_high(&self) -> bool {
        self.bytes() > self.high
    }

    /// Whether `source` may go on placing what nobody granted credit for: the outbox is below its high
    /// mark, and the source below its share of it.
    pub(super) fn has_room(&self, source: LinkId) -> bool {
        let bytes = self.bytes();
        // Only a source that could hold its share has to be looked up.
        if bytes <= self.high / 8 {
            return true;
        }
        if bytes > self.high {
            return false;
        }
        let held = self
            .lock()
            .sources
            .get(&source)
            .map_or(0, |source| source.bytes);
        held <= self.high / 8
    }

    /// From now on the hard mark is where the high one is, or where it usually is.
    pub(super) fn tighten(&self, tight: bool) {
        let hard = if tight { self.high } else { self.hard_usual };
        self.hard.store(hard, Ordering::Relaxed);
    }

    /// Whether `len` more bytes stay below the hard mark.
    pub(super) fn below_hard(&self, len: usize) -> bool {
        let bytes = self.bytes();
        bytes == 0 || bytes + len <= self.hard.load(Ordering::Relaxed)
    }

    /// Places an item, or gives it back. Room is looked for and taken in one step, so that several
    /// threads together cannot go beyond the hard mark.
    pub(super) fn push(&self, source: LinkId, item: Item) -> Result<(), Unplaced> {
        let weight = weight_of(&item);
        let mut inner = self.lock();
        if inner.closed {
            return Err(Unplaced::Gone(item));
        }
        let bytes = self.bytes();
        if item.needs_room() && bytes > 0 && bytes + weight > self.hard.load(Ordering::Relaxed) {
            return Err(Unplaced::Full(item));
        }
        let Inner {
            sources,
            ring,
            spare,
            ..
        } = &mut *inner;
        let entry = match sources.entry(source) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                ring.push_back(source);
                entry.insert(Source {
                    items: spare.pop().unwrap_or_default(),
                    ..Source::default()
                })
            }
        };
        entry.items.push_back(item);
        entry.bytes += weight;
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        let owner = inner.owner.take();
        drop(inner);
        if let Some(owner) = owner {
            owner.wake();
        }
        Ok(())
    }

    /// Takes items of about `budget` bytes, at least one if there is any; else leaves `waker` to be
    /// woken by the next one.
    pub(super) fn take(&self, budget: usize, into: &mut Vec<Item>, waker: &Waker) {
        let mut inner = self.lock();
        let Inner {
            sources,
            ring,
            spare,
            ..
        } = &mut *inner;
        let mut taken = 0;
        while taken < budget
            && let Some(&source) = ring.front()
        {
            let Some(entry) = sources.get_mut(&source) else {
                ring.pop_front();
                continue;
            };
            entry.deficit += QUANTUM;
            while let Some(item) = entry.items.front() {
                let weight = weight_of(item);
                if weight > entry.deficit || taken >= budget {
                    break;
                }
                entry.deficit -= weight;
                entry.bytes -= weight;
                taken += weight;
                into.extend(entry.items.pop_front());
            }
            ring.pop_front();
            if !entry.items.is_empty() {
                ring.push_back(source);
            } else if let Some(Source { items, .. }) = sources.remove(&source)
                && spare.len() < SPARE_MAX
            {
                spare.push(items);
            }
        }
        let left = self.bytes.fetch_sub(taken, Ordering::Relaxed) - taken;
        if into.is_empty() {
            match &mut inner.owner {
                Some(owner) => owner.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
        self.wake_waiting(inner, left);
    }

    /// Tells the links that wait for room, if there is some again.
    fn wake_waiting(&self, mut inner: MutexGuard<'_, Inner>, bytes: usize) {
        if bytes <= self.high && !inner.waiting.is_empty() {
            let waiting = std::mem::take(&mut inner.waiting);
            drop(inner);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes out what waits of a request that `source` withdrew, for the caller to drop without the
    /// lock.
    #[must_use]
    pub(super) fn retract(&self, source: LinkId, ticket: &Arc<Ticket>) -> Vec<Item> {
        let mut inner = self.lock();
        let Some(entry) = inner.sources.get_mut(&source) else {
            return Vec::new();
        };
        let (taken, left) = std::mem::take(&mut entry.items)
            .into_iter()
            .partition::<VecDeque<_>, _>(|item| item.is_of(ticket));
        let nothing_left = left.is_empty();
        entry.items = left;
        let weight = taken.iter().map(weight_of).sum();
        entry.bytes -= weight;
        if nothing_left {
            inner.forget(source);
        }
        let left = self.bytes.fetch_sub(weight, Ordering::Relaxed) - weight;
        self.wake_waiting(inner, left);
        taken.into()
    }

    /// Wakes `waker` when there may be room again.
    pub(super) fn wait_for_room(&self, waker: &Waker) {
        let mut inner = self.lock();
        if inner.closed || self.bytes() == 0 {
            drop(inner);
            waker.wake_by_ref();
        } else if !inner.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            inner.waiting.push(waker.clone());
        }
    }

    /// Takes out every request that is not sent yet, for the owner to give back without the lock, and
    /// leaves `waker` to be woken by the next item.
    pub(super) fn take_openings(&self, waker: &Waker) -> Vec<Opening> {
        let mut openings = Vec::new();
        let mut inner = self.lock();
        for source in inner.sources.values_mut() {
            let mut weight = 0;
            let items = std::mem::take(&mut source.items);
            for item in items {
                weight += weight_of(&item);
                match item {
                    Item::Open(opening) => openings.push(*opening),
                    item => {
                        weight -= weight_of(&item);
                        source.items.push_back(item);
                    }
                }
            }
            source.bytes -= weight;
            self.bytes.fetch_sub(weight, Ordering::Relaxed);
        }
        let Inner { sources, ring, .. } = &mut *inner;
        sources.retain(|_, source| !source.items.is_empty());
        ring.retain(|source| sources.contains_key(source));
        inner.owner = Some(waker.clone());
        let left = self.bytes();
        self.wake_waiting(inner, left);
        openings
    }

    /// Sources that have a turn coming.
    #[cfg(test)]
    pub(super) fn turns(&self) -> usize {
        self.lock().ring.len()
    }

    /// Nothing can be placed any more. What was waiting is given to the caller, to be dropped
    /// without the lock: a dropped item may speak to another outbox.
    #[must_use]
    pub(super) fn close(&self) -> Vec<Item> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.ring.clear();
        let sources = std::mem::take(&mut inner.sources);
        let waiting = std::mem::take(&mut inner.waiting);
        self.bytes.store(0, Ordering::Relaxed);
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        sources
            .into_values()
            .flat_map(|source| source.items)
            .collect()
    }
}
