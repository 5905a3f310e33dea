//! The current chain, for everyone who asks or looks.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use prometheus::Registry;

use super::{Chain, PluginView, metrics::Metrics};

/// A cheap read of the chain of the moment. A [`super::Loader`] swaps it.
pub struct Chains {
    current: Arc<ArcSwap<Chain>>,
    pub(super) metrics: Metrics,
}

impl Chains {
    /// Begins empty, at generation 0.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let current = Arc::new(ArcSwap::from_pointee(Chain::empty()));
        let metrics = Metrics::register(registry, &current)?;
        Ok(Self { current, metrics })
    }

    /// The chain of the moment. Hold it for one decision, not longer.
    pub fn load(&self) -> Guard<Arc<Chain>> {
        self.current.load()
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
