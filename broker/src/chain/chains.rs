//! The current chain, for everyone who asks or looks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use arc_swap::{ArcSwap, Guard};
use jackfield_plugin_host::{Event, Happening};
use prometheus::Registry;

use super::{Chain, Journal, PluginView, metrics::Metrics};

/// A cheap read of the chain of the moment. A [`super::Loader`] swaps it.
pub struct Chains {
    current: Arc<ArcSwap<Chain>>,
    pub(super) metrics: Metrics,
    /// Of the next event.
    sequence: AtomicU64,
    journal: Arc<Journal>,
}

impl Chains {
    /// Begins empty, at generation 0.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let current = Arc::new(ArcSwap::from_pointee(Chain::empty()));
        let metrics = Metrics::register(registry, &current)?;
        let sequence = AtomicU64::new(1);
        Ok(Self {
            current,
            metrics,
            sequence,
            journal: Arc::default(),
        })
    }

    /// The chain of the moment. Hold it for one decision, not longer.
    pub fn load(&self) -> Guard<Arc<Chain>> {
        self.current.load()
    }

    /// The chain of the moment, to be held while a slow hook is waited for.
    pub fn current(&self) -> Arc<Chain> {
        self.current.load_full()
    }

    /// Notes it, and tells every observer without waiting for any.
    pub fn tell(&self, what: Happening) {
        let chain = self.current.load();
        let event = Arc::new(Event {
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            at: SystemTime::now(),
            what,
        });
        for observer in &chain.observers {
            observer.tell(&event);
        }
        self.journal.note(event);
    }

    /// What was told last.
    pub fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.journal)
    }

    /// What was remembered under another generation no longer counts.
    pub fn generation(&self) -> u64 {
        self.current.load().generation()
    }

    pub fn views(&self) -> Vec<PluginView> {
        self.current.load().views()
    }

    pub(super) fn swap(&self, chain: Chain) {
        self.current.store(Arc::new(chain));
    }
}
