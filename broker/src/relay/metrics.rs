//! What the data plane counts. Handles are resolved when a route is, never at the call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jackfield_rsocket::wire::{ErrorCode, Interaction};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::refusal::{Outcome, Refusal};

/// Services with a label of their own; later ones share `other`. A label never moves.
const SERVICES_MAX: usize = 500;
/// 100 microseconds to 30 seconds.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Every metric of the relay, registered once.
#[derive(Debug)]
pub struct Metrics {
    pub(super) connections: IntGaugeVec,
    pub(super) frames_in: IntCounter,
    pub(super) frames_out: IntCounter,
    pub(super) bytes_in: IntCounter,
    pub(super) bytes_out: IntCounter,
    pub(super) slow_peers: IntCounterVec,
    /// Top-ups that were one item only, because memory was short.
    pub(super) credit_held: IntCounter,
    pub(super) memory_stage: IntGauge,
    pub(super) parked: IntGauge,
    sessions: IntCounterVec,
    refused: IntCounterVec,
    requests: IntCounterVec,
    duration: HistogramVec,
    first_item: HistogramVec,
    pub(super) outbox_bytes: IntGauge,
    calls: Mutex<HashMap<(String, Interaction), Arc<CallMetrics>>>,
}

/// The metrics of one service and interaction.
#[derive(Debug)]
pub(super) struct CallMetrics {
    outcomes: [IntCounter; Outcome::ALL.len()],
    seconds: Histogram,
    single: bool,
}

impl CallMetrics {
    /// A call ended after so long.
    pub(super) fn ended(&self, outcome: Outcome, after: Duration) {
        self.outcomes[outcome as usize].inc();
        if self.single {
            self.seconds.observe(after.as_secs_f64());
        }
    }

    /// Whether the interaction has many items, of which the first one is timed.
    pub(super) const fn is_stream(&self) -> bool {
        !self.single
    }

    /// A stream's first item came after so long.
    pub(super) fn first_item(&self, after: Duration) {
        if !self.single {
            self.seconds.observe(after.as_secs_f64());
        }
    }
}

impl Metrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let histograms = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let histograms = HistogramVec::new(opts, &["rsocket_service", "interaction"])?;
            registry.register(Box::new(histograms.clone()))?;
            prometheus::Result::Ok(histograms)
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
        let frames = counters("jackfield_frames_total", "Frames moved.", &["direction"])?;
        let bytes = counters(
            "jackfield_bytes_total",
            "Bytes of frames moved.",
            &["direction"],
        )?;
        Ok(Self {
            connections,
            frames_in: frames.with_label_values(&["in"]),
            frames_out: frames.with_label_values(&["out"]),
            bytes_in: bytes.with_label_values(&["in"]),
            bytes_out: bytes.with_label_values(&["out"]),
            credit_held: slow_peers.with_label_values(&["credit_held"]),
            slow_peers,
            memory_stage,
            parked,
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
            requests: counters(
                "jackfield_requests_total",
                "Requests by how they ended.",
                &["rsocket_service", "interaction", "outcome"],
            )?,
            duration: histograms(
                "jackfield_request_duration_seconds",
                "From a request to the end of its reply; request/response and fire-and-forget.",
            )?,
            first_item: histograms(
                "jackfield_first_item_duration_seconds",
                "From a request to its first item; streams and channels.",
            )?,
            outbox_bytes,
            calls: Mutex::default(),
        })
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refused.with_label_values(&[refusal.reason()]).inc();
    }

    /// Something was done about a peer that reads too slowly.
    pub(super) fn slow_peer(&self, action: &str) {
        self.slow_peers.with_label_values(&[action]).inc();
    }

    /// What became of a session whose transport was lost: resumed, expired, dropped, refused.
    pub(super) fn session(&self, outcome: &str) {
        self.sessions.with_label_values(&[outcome]).inc();
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
        let labels = ["other", interaction.as_str(), Outcome::Refused.as_str()];
        self.requests.with_label_values(&labels).inc();
    }

    /// The handles of one service and interaction; beyond [`SERVICES_MAX`] services those of `other`.
    pub(super) fn call(&self, service: &str, interaction: Interaction) -> Arc<CallMetrics> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let known = calls.contains_key(&(service.to_owned(), interaction));
        let full = calls.len() >= SERVICES_MAX * Interaction::ALL.len();
        let label = if known || !full { service } else { "other" };
        calls
            .entry((label.to_owned(), interaction))
            .or_insert_with(|| Arc::new(self.resolve(label, interaction)))
            .clone()
    }

    fn resolve(&self, service: &str, interaction: Interaction) -> CallMetrics {
        let single = !interaction.has_credit();
        let seconds = if single {
            &self.duration
        } else {
            &self.first_item
        };
        let labels = [service, interaction.as_str()];
        CallMetrics {
            outcomes: Outcome::ALL.map(|outcome| {
                self.requests
                    .with_label_values(&[labels[0], labels[1], outcome.as_str()])
            }),
            seconds: seconds.with_label_values(&labels),
            single,
        }
    }
}
