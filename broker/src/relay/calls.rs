//! What is counted of calls: how they ended, how long they took, and which trace shows one that took so long.
//! Handles are resolved when a route is, never at the call; each thread has numbers of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jackfield_rsocket::wire::Interaction;
use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, Histogram, Metric, MetricFamily, MetricType},
};

use super::{
    refusal::Outcome,
    traced::{TraceId, Traced},
};
use crate::telemetry::{Exemplars, Sharded, Tally, counter_metric, family, label_pairs};

/// Services with a label of their own; later ones share `other`. A label never moves.
const SERVICES_MAX: usize = 500;
pub(super) const OTHER: &str = "other";
/// 100 microseconds to 30 seconds.
const SECONDS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// With what is above all bounds.
const BUCKETS: usize = SECONDS.len() + 1;

/// The metrics of one service and interaction.
#[derive(Debug)]
pub(super) struct CallMetrics {
    counts: Sharded<Counts>,
    single: bool,
    /// Whether anything is counted at all.
    counting: bool,
    traced: Traced<BUCKETS>,
}

/// What one thread counted.
#[derive(Debug, Default)]
struct Counts {
    outcomes: [Tally; Outcome::ALL.len()],
    /// The last is for what took longer than any bound. How many there were is their sum, so that the two cannot
    /// differ.
    buckets: [Tally; BUCKETS],
    nanoseconds: Tally,
}

impl CallMetrics {
    fn new(interaction: Interaction, counting: bool) -> Self {
        Self {
            counts: Sharded::default(),
            single: !interaction.has_credit(),
            counting,
            traced: Traced::default(),
        }
    }

    /// A call ended after so long; the trace is that of a call that is sampled.
    pub(super) fn ended(&self, outcome: Outcome, after: Duration, trace: Option<TraceId>) {
        if !self.counting {
            return;
        }
        self.counted(outcome);
        if self.single {
            self.observe(after, trace);
        }
    }

    pub(super) fn counted(&self, outcome: Outcome) {
        let (counts, writer) = self.counts.mine();
        counts.outcomes[outcome as usize].add(1, writer);
    }

    /// Whether the interaction has many items, of which the first one is timed.
    pub(super) const fn is_stream(&self) -> bool {
        !self.single
    }

    /// A stream's first item came after so long.
    pub(super) fn first_item(&self, after: Duration, trace: Option<TraceId>) {
        if !self.single && self.counting {
            self.observe(after, trace);
        }
    }

    fn observe(&self, after: Duration, trace: Option<TraceId>) {
        let seconds = after.as_secs_f64();
        let (counts, writer) = self.counts.mine();
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        counts.buckets[bucket].add(1, writer);
        let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        counts.nanoseconds.add(nanoseconds, writer);
        if let Some(trace) = trace {
            self.traced.note(bucket, trace, after);
        }
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
pub(super) struct Calls {
    known: Mutex<HashMap<(String, Interaction), Arc<CallMetrics>>>,
    requests: Desc,
    duration: Desc,
    first_item: Desc,
    counting: bool,
}

impl Calls {
    pub(super) fn new(counting: bool) -> prometheus::Result<Self> {
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
    pub(super) fn of(&self, service: &str, interaction: Interaction) -> Arc<CallMetrics> {
        let mut known = self.lock();
        let has = known.contains_key(&(service.to_owned(), interaction));
        let full = known.len() >= SERVICES_MAX * Interaction::ALL.len();
        let label = if has || !full { service } else { OTHER };
        known
            .entry((label.to_owned(), interaction))
            .or_insert_with(|| Arc::new(CallMetrics::new(interaction, self.counting)))
            .clone()
    }

    pub(super) fn exemplars(&self) -> Exemplars {
        let mut all = Exemplars::default();
        for ((service, interaction), call) in self.lock().iter() {
            if let Some(kept) = call.traced.kept() {
                let family = if call.single {
                    &self.duration
                } else {
                    &self.first_item
                };
                all.insert(&family.fq_name, &labels(service, *interaction), kept);
            }
        }
        all
    }
}

fn labels(service: &str, interaction: Interaction) -> [(&str, &str); 2] {
    [
        ("rsocket_service", service),
        ("interaction", interaction.as_str()),
    ]
}

/// Lets the registry look at what the relay holds.
pub(super) struct Shown(Arc<Calls>);

impl Shown {
    pub(super) fn new(calls: &Arc<Calls>) -> Self {
        Self(Arc::clone(calls))
    }
}

impl Collector for Shown {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.requests, &self.0.duration, &self.0.first_item]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut requests, mut duration, mut first_item) = (Vec::new(), Vec::new(), Vec::new());
        for ((service, interaction), call) in self.0.lock().iter() {
            let labels = labels(service, *interaction);
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
