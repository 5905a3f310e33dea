use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use jackfield_rsocket::metadata::Service;

use super::{Instance, Pick, pick};

/// One service: its name and who offers it now.
#[derive(Debug)]
pub struct Slot<H> {
    service: Service,
    key: Box<str>,
    id: i32,
    candidates: ArcSwap<Vec<Arc<Instance<H>>>>,
    turn: AtomicUsize,
    retired: AtomicBool,
}

impl<H> Slot<H> {
    pub(super) fn new(service: &Service, first: &Arc<Instance<H>>) -> Self {
        Self {
            key: service.key().as_ref().into(),
            id: service.id(),
            service: service.clone(),
            candidates: ArcSwap::from_pointee(vec![first.clone()]),
            turn: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// For a call to one instance of what it answers without publishing it. Nobody finds this slot, and it is retired
    /// from the beginning.
    pub fn apart(service: &Service, instance: &Arc<Instance<H>>) -> Self {
        let slot = Self::new(service, instance);
        slot.retired.store(true, Ordering::Release);
        slot
    }

    pub fn service(&self) -> &Service {
        &self.service
    }

    /// `[group!]service[:version]`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Murmur3 of the key, as the archived broker computes it.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Whether nobody offers the service.
    pub fn is_empty(&self) -> bool {
        self.candidates.load().is_empty()
    }

    /// Whether the last instance has gone: whoever offers the service again has another slot.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub fn candidates(&self) -> Guard<Arc<Vec<Arc<Instance<H>>>>> {
        self.candidates.load()
    }

    /// One instance for one call; see [`pick`].
    pub fn pick(
        &self,
        by: Pick<'_>,
        usable: impl Fn(&Instance<H>) -> bool,
    ) -> Option<Arc<Instance<H>>> {
        pick(&self.candidates.load(), &self.turn, by, usable).cloned()
    }

    /// Whether an instance may be picked here now.
    pub fn has(&self, instance: &Arc<Instance<H>>) -> bool {
        let candidates = self.candidates.load();
        !instance.is_away() && candidates.iter().any(|held| Arc::ptr_eq(held, instance))
    }

    /// Whether a part of the broker offers the service, and nobody else may.
    pub fn is_builtin(&self) -> bool {
        let candidates = self.candidates.load();
        candidates.iter().any(|held| held.app.client.builtin)
    }

    pub(super) fn swap(&self, candidates: Vec<Arc<Instance<H>>>) {
        self.candidates.store(Arc::new(candidates));
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.swap(Vec::new());
    }
}
