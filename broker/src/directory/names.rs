//! Finding a slot by its name or number, without waiting for whoever registers.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::RandomState;

use super::Slot;

/// Changing one leaves the others to their readers.
const SHARDS: usize = 64;

type ById<H> = HashMap<i32, Vec<Arc<Slot<H>>>, RandomState>;
type Shard<H> = RwLock<HashMap<Box<str>, Arc<Slot<H>>, RandomState>>;

/// Every slot, under its key and under its number. The table of the directory writes, one change
/// at a time; whoever looks something up reads one shard.
pub(super) struct Names<H> {
    shards: Box<[Shard<H>]>,
    /// More than one slot where hashes collide.
    by_id: RwLock<ById<H>>,
    hasher: RandomState,
}

impl<H> Default for Names<H> {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            by_id: RwLock::default(),
            hasher: RandomState::default(),
        }
    }
}

impl<H> Names<H> {
    fn shard(&self, key: &str) -> &Shard<H> {
        // The upper bits: a map uses the lower ones.
        &self.shards[(self.hasher.hash_one(key) >> 40) as usize % SHARDS]
    }

    pub(super) fn find(&self, key: &str) -> Option<Arc<Slot<H>>> {
        read(self.shard(key)).get(key).cloned()
    }

    /// The slot of a number, if exactly one service has it.
    pub(super) fn find_by_id(&self, id: i32) -> Option<Arc<Slot<H>>> {
        match read(&self.by_id).get(&id).map(Vec::as_slice) {
            Some([slot]) => Some(slot.clone()),
            _ => None,
        }
    }

    /// Whether another service has the same number.
    pub(super) fn collides(&self, id: i32) -> bool {
        read(&self.by_id)
            .get(&id)
            .is_some_and(|slots| slots.len() > 1)
    }

    pub(super) fn enter(&self, slot: &Arc<Slot<H>>) {
        let mut by_id = write(&self.by_id);
        by_id.entry(slot.id()).or_default().push(slot.clone());
        drop(by_id);
        write(self.shard(slot.key())).insert(slot.key().into(), slot.clone());
    }

    pub(super) fn leave(&self, slot: &Arc<Slot<H>>) {
        write(self.shard(slot.key())).remove(slot.key());
        let mut by_id = write(&self.by_id);
        if let Some(slots) = by_id.get_mut(&slot.id()) {
            slots.retain(|held| !Arc::ptr_eq(held, slot));
            if slots.is_empty() {
                by_id.remove(&slot.id());
            }
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
