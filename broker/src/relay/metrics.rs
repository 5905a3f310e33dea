//! What the data plane counts. What is counted for every turn has numbers of its own for each thread; calls are
//! counted in `calls.rs`.

use std::sync::Arc;

use jackfield_rsocket::wire::{ErrorCode, Interaction};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{
    calls::{CallMetrics, Calls, OTHER, Shown},
    refusal::{Outcome, Refusal},
};
use crate::telemetry::{Exemplars, ThreadCounter, ThreadCounters};

/// What chaos may do to a call.
const FAULTS: [&str; 5] = ["delay", "error", "black_hole", "cut", "slow"];
/// Every metric of the relay, registered once.
#[derive(Debug)]
pub struct Metrics {
    pub(super) connections: IntGaugeVec,
    pub(super) frames_in: ThreadCounter,
    pub(super) frames_out: ThreadCounter,
    pub(super) bytes_in: ThreadCounter,
    pub(super) bytes_out: ThreadCounter,
    pub(super) slow_peers: IntCounterVec,
    /// Top-ups that were one item only, because memory was short.
    pub(super) credit_held: IntCounter,
    pub(super) memory_stage: IntGauge,
    pub(super) parked: IntGauge,
    held_requests: IntGauge,
    held_bytes: IntGauge,
    faults: IntCounterVec,
    sessions: IntCounterVec,
    refused: IntCounterVec,
    pushes: IntCounterVec,
    pub(super) outbox_bytes: IntGauge,
    calls: Arc<Calls>,
}

impl Metrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Self::register_with(registry, true)
    }

    /// Without `counting`, calls, frames and bytes are not counted, and their metrics are not there.
    pub fn register_with(registry: &Registry, counting: bool) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let connections = IntGaugeVec::new(
            Opts::new("jackfield_connections", "Open connections."),
            &["transport"],
        )?;
        registry.register(Box::new(connections.clone()))?;
        let outbox_bytes = IntGauge::new(
            "jackfield_outbox_bytes",
            "Bytes waiting for sockets, all links.",
        )?;
        registry.register(Box::new(outbox_bytes.clone()))?;
        let memory_stage = IntGauge::new(
            "jackfield_memory_stage",
            "0 normal, 1 credit held, 2 requests refused, 3 connections refused, 4 links shed.",
        )?;
        registry.register(Box::new(memory_stage.clone()))?;
        let slow_peers = counters(
            "jackfield_slow_peers_total",
            "Actions against peers that read too slowly.",
            &["action"],
        )?;
        let parked = IntGauge::new(
            "jackfield_parked_sessions",
            "Sessions without a transport, which may be resumed.",
        )?;
        registry.register(Box::new(parked.clone()))?;
        let held_requests = IntGauge::new(
            "jackfield_held_requests",
            "Requests held on purpose: delayed, paced, or in a black hole.",
        )?;
        registry.register(Box::new(held_requests.clone()))?;
        let held_bytes = IntGauge::new(
            "jackfield_held_bytes",
            "What requests held on purpose hold.",
        )?;
        registry.register(Box::new(held_bytes.clone()))?;
        let ways = ["in", "out"];
        let (frames, [frames_in, frames_out]) =
            ThreadCounters::new("jackfield_frames_total", "Frames moved.", "direction", ways)?;
        let (bytes, [bytes_in, bytes_out]) = ThreadCounters::new(
            "jackfield_bytes_total",
            "Bytes of frames moved.",
            "direction",
            ways,
        )?;
        let calls = Arc::new(Calls::new(counting)?);
        if counting {
            registry.register(Box::new(frames))?;
            registry.register(Box::new(bytes))?;
            registry.register(Box::new(Shown::new(&calls)))?;
        }
        let faults = counters(
            "jackfield_faults_total",
            "Faults that plugins wanted and the broker carried out.",
            &["fault"],
        )?;
        // Those that have not happened show, too.
        for fault in FAULTS {
            faults.with_label_values(&[fault]);
        }
        Ok(Self {
            connections,
            frames_in,
            frames_out,
            bytes_in,
            bytes_out,
            credit_held: slow_peers.with_label_values(&["credit_held"]),
            slow_peers,
            memory_stage,
            parked,
            held_requests,
            held_bytes,
            faults,
            sessions: counters(
                "jackfield_sessions_total",
                "Sessions whose transport was lost, by what became of them.",
                &["outcome"],
            )?,
            refused: counters(
                "jackfield_refused_total",
                "Requests and connections refused.",
                &["reason"],
            )?,
            pushes: counters(
                "jackfield_pushes_total",
                "Events pushed to applications, and those that were dropped.",
                &["outcome"],
            )?,
            outbox_bytes,
            calls,
        })
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refused.with_label_values(&[refusal.reason()]).inc();
    }

    /// Something was done about a peer that reads too slowly.
    pub(super) fn slow_peer(&self, action: &str) {
        self.slow_peers.with_label_values(&[action]).inc();
    }

    /// Something went wrong with a call on purpose: one of [`FAULTS`].
    pub(super) fn fault(&self, fault: &str) {
        self.faults.with_label_values(&[fault]).inc();
    }

    #[cfg(test)]
    pub(super) fn faults(&self, fault: &str) -> u64 {
        self.faults.with_label_values(&[fault]).get()
    }

    pub(super) fn held(&self, requests: usize, bytes: usize) {
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.held_requests.set(gauge(requests));
        self.held_bytes.set(gauge(bytes));
    }

    /// What became of a session whose transport was lost: resumed, expired, dropped, refused.
    pub(super) fn session(&self, outcome: &str) {
        self.sessions.with_label_values(&[outcome]).inc();
    }

    /// An event for an application was sent on its way, or dropped.
    pub(super) fn pushed(&self, sent: bool) {
        let outcome = if sent { "sent" } else { "dropped" };
        self.pushes.with_label_values(&[outcome]).inc();
    }

    /// How often something was refused for this reason.
    #[cfg(test)]
    pub(super) fn refusals(&self, reason: &str) -> u64 {
        self.refused.with_label_values(&[reason]).get()
    }

    /// The engine refused to open a stream.
    pub(super) fn refused_stream(&self, code: ErrorCode) {
        let reason = match code {
            ErrorCode::REJECTED => "streams",
            _ => "malformed",
        };
        self.refused.with_label_values(&[reason]).inc();
    }

    /// A connection was closed before it was served.
    pub(super) fn refused_connection(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// A request was refused before it belonged to a service.
    pub(super) fn call_refused(&self, interaction: Interaction) {
        self.calls.of(OTHER, interaction).counted(Outcome::Refused);
    }

    pub(super) fn call(&self, service: &str, interaction: Interaction) -> Arc<CallMetrics> {
        self.calls.of(service, interaction)
    }

    /// Calls that somebody keeps the trace of.
    pub(super) fn exemplars(&self) -> Exemplars {
        self.calls.exemplars()
    }
}
