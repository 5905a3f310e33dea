//! What the data plane counts. Handles are resolved when a route is, never at the call, and what is counted for
//! every call or turn has numbers of its own for each thread.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jackfield_rsocket::wire::{ErrorCode, Interaction};
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::{Bucket, Histogram, Metric, MetricFamily, MetricType},
};

use super::refusal::{Outcome, Refusal};
use crate::telemetry::{
    Sharded, Tally, ThreadCounter, ThreadCounters, counter_metric, family, label_pairs,
};

/// Services with a label of their own; later ones share `other`. A label never moves.
const SERVICES_MAX: usize = 500;
const OTHER: &str = "other";
/// What chaos may do to a call.
const FAULTS: [&str; 5] = ["delay", "error", "black_hole", "cut", "slow"];
/// 100 microseconds to 30 seconds.
const SECONDS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

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

/// The metrics of one service and interaction.
#[derive(Debug)]
pub(super) struct CallMetrics {
    counts: Sharded<Counts>,
    single: bool,
    /// Whether anything is counted at all.
    counting: bool,
}

/// What one thread counted.
#[derive(Debug, Default)]
struct Counts {
    outcomes: [Tally; Outcome::ALL.len()],
    /// The last is for what took longer than any bound. How many there were is their sum, so that the two cannot
    /// differ.
    buckets: [Tally; SECONDS.len() + 1],
    nanoseconds: Tally,
}

impl CallMetrics {
    fn new(interaction: Interaction, counting: bool) -> Self {
        Self {
            counts: Sharded::default(),
            single: !interaction.has_credit(),
            counting,
        }
    }

    /// A call ended after so long.
    pub(super) fn ended(&self, outcome: Outcome, after: Duration) {
        if !self.counting {
            return;
        }
        let (counts, writer) = self.counts.mine();
        counts.outcomes[outcome as usize].add(1, writer);
        if self.single {
            self.observe(after);
        }
    }

    /// Whether the interaction has many items, of which the first one is timed.
    pub(super) const fn is_stream(&self) -> bool {
        !self.single
    }

    /// A stream's first item came after so long.
    pub(super) fn first_item(&self, after: Duration) {
        if !self.single && self.counting {
            self.observe(after);
        }
    }

    fn observe(&self, after: Duration) {
        let seconds = after.as_secs_f64();
        let (counts, writer) = self.counts.mine();
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        counts.buckets[bucket].add(1, writer);
        let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        counts.nanoseconds.add(nanoseconds, writer);
    }

    fn outcome(&self, outcome: Outcome) -> u64 {
        self.counts
            .sum(|counts| counts.outcomes[outcome as usize].get())
    }

    fn histogram(&self) -> Histogram {
        let mut below = 0;
        let mut upto = |at: usize| {
            below += self.counts.sum(|counts| counts.buckets[at].get());
            below
        };
        let bucket = |(at, bound): (usize, &f64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(upto(at));
            bucket
        };
        let buckets = SECONDS.iter().enumerate().map(bucket).collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(upto(SECONDS.len()));
        let nanoseconds = self.counts.sum(|counts| counts.nanoseconds.get());
        histogram.set_sample_sum(nanoseconds as f64 / 1e9);
        histogram
    }
}

/// The metrics of all services, and the page's view of them.
#[derive(Debug)]
struct Calls {
    known: Mutex<HashMap<(String, Interaction), Arc<CallMetrics>>>,
    requests: Desc,
    duration: Desc,
    first_item: Desc,
    counting: bool,
}

impl Calls {
    fn new(counting: bool) -> prometheus::Result<Self> {
        let desc = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        Ok(Self {
            known: Mutex::default(),
            requests: desc(
                "jackfield_requests_total",
                "Requests by how they ended.",
                &["rsocket_service", "interaction", "outcome"],
            )?,
            duration: desc(
                "jackfield_request_duration_seconds",
                "From a request to the end of its reply; request/response and fire-and-forget.",
                &["rsocket_service", "interaction"],
            )?,
            first_item: desc(
                "jackfield_first_item_duration_seconds",
                "From a request to its first item; streams and channels.",
                &["rsocket_service", "interaction"],
            )?,
            counting,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Interaction), Arc<CallMetrics>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handles of one service and interaction; beyond [`SERVICES_MAX`] services those of `other`.
    fn of(&self, service: &str, interaction: Interaction) -> Arc<CallMetrics> {
        let mut known = self.lock();
        let has = known.contains_key(&(service.to_owned(), interaction));
        let full = known.len() >= SERVICES_MAX * Interaction::ALL.len();
        let label = if has || !full { service } else { OTHER };
        known
            .entry((label.to_owned(), interaction))
            .or_insert_with(|| Arc::new(CallMetrics::new(interaction, self.counting)))
            .clone()
    }
}

/// Lets the registry look at what the relay holds.
struct Shown(Arc<Calls>);

impl Collector for Shown {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.requests, &self.0.duration, &self.0.first_item]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut requests, mut duration, mut first_item) = (Vec::new(), Vec::new(), Vec::new());
        for ((service, interaction), call) in self.0.lock().iter() {
            let labels = [
                ("rsocket_service", service.as_str()),
                ("interaction", interaction.as_str()),
            ];
            for outcome in Outcome::ALL {
                let labels = [labels[0], labels[1], ("outcome", outcome.as_str())];
                requests.push(counter_metric(&labels, call.outcome(outcome)));
            }
            let mut metric = Metric::from_label(label_pairs(&labels));
            metric.set_histogram(call.histogram());
            match call.single {
                true => duration.push(metric),
                false => first_item.push(metric),
            }
        }
        let families = [
            (&self.0.requests, MetricType::COUNTER, requests),
            (&self.0.duration, MetricType::HISTOGRAM, duration),
            (&self.0.first_item, MetricType::HISTOGRAM, first_item),
        ];
        // The registry takes a family without a metric for a mistake.
        let families = families.into_iter().filter(|family| !family.2.is_empty());
        families
            .map(|(desc, kind, metrics)| family(desc, kind, metrics))
            .collect()
    }
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
            registry.register(Box::new(Shown(Arc::clone(&calls))))?;
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
        let other = self.calls.of(OTHER, interaction);
        let (counts, writer) = other.counts.mine();
        counts.outcomes[Outcome::Refused as usize].add(1, writer);
    }

    pub(super) fn call(&self, service: &str, interaction: Interaction) -> Arc<CallMetrics> {
        self.calls.of(service, interaction)
    }
}
