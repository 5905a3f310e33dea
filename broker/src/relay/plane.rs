//! What all links of the data plane share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use super::{
    Directory, Limits, Metrics,
    handle::Handle,
    holding::Holding,
    links::Links,
    pressure::{MemoryStage, Pressure},
    refusal::Refusal,
    routing::Routing,
    sessions::Sessions,
};
use crate::{
    chain::{Chain, Chains},
    identity::Identity,
};

pub(super) struct Plane {
    pub(super) directory: Arc<Directory>,
    pub(super) chains: Arc<Chains>,
    pub(super) identity: Arc<Identity>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    pub(super) routing: ArcSwap<Versioned>,
    pub(super) links: Arc<Links>,
    pub(super) pressure: Arc<Pressure>,
    pub(super) sessions: Sessions,
    pub(super) holding: Arc<Holding>,
    routing_generation: AtomicU64,
}

/// One generation of `[routing]`.
pub(super) struct Versioned {
    pub(super) value: Routing,
    generation: u64,
}

/// What a remembered route depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generations {
    directory: u64,
    chain: u64,
    rules: u64,
    routing: u64,
}

impl Plane {
    pub(super) fn new(
        directory: Arc<Directory>,
        chains: Arc<Chains>,
        identity: Arc<Identity>,
        metrics: Arc<Metrics>,
        limits: Limits,
        routing: Routing,
    ) -> Self {
        let pressure = Arc::<Pressure>::default();
        Self {
            directory,
            chains,
            identity,
            metrics,
            links: Arc::new(Links::new(&limits, pressure.clone())),
            pressure,
            sessions: Sessions::new(&limits),
            holding: Arc::new(Holding::new(&limits)),
            limits,
            routing: ArcSwap::from_pointee(Versioned {
                value: routing,
                generation: 0,
            }),
            routing_generation: AtomicU64::new(0),
        }
    }

    /// As they are now, and the chain of the decision at hand.
    pub(super) fn generations(&self, chain: &Chain) -> Generations {
        Generations {
            directory: self.directory.generation(),
            chain: chain.generation(),
            rules: self.identity.generation(),
            routing: self.routing_generation.load(Ordering::Acquire),
        }
    }

    pub(super) fn set_routing(&self, value: Routing) {
        let generation = self.routing.load().generation + 1;
        self.routing
            .store(Arc::new(Versioned { value, generation }));
        self.routing_generation.store(generation, Ordering::Release);
    }

    /// Whether readers get one item at a time because memory is short.
    pub(super) fn holds_credit(&self) -> bool {
        let held = self.pressure.at_least(MemoryStage::HoldCredit);
        if held {
            self.metrics.credit_held.inc();
        }
        held
    }

    /// Whether new requests are refused because memory is short.
    pub(super) fn refuses_requests(&self) -> bool {
        self.pressure.at_least(MemoryStage::RefuseRequests)
    }

    /// Counts a refusal and says so in the log.
    pub(super) fn refused(&self, refusal: &Refusal, link: &Handle) {
        self.metrics.refused(refusal);
        if self.links.may_log(refusal.reason()) {
            let code = refusal.rst().map(|rst| format!("RST-{rst}"));
            tracing::info!(code, link = %link.id, reason = refusal.reason(), "request refused: {}", refusal.text());
        }
    }

    /// Counts a stream that is ended in the middle because of what one side sends or does not read.
    pub(super) fn cut(&self, refusal: &Refusal) {
        self.metrics.refused(refusal);
        if *refusal == Refusal::SlowReader {
            self.metrics
                .slow_peers
                .with_label_values(&["stream_cancelled"])
                .inc();
        }
    }
}
