//! What the chain counts. Resolved per plugin when it is loaded; a call only adds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jackfield_plugin_host::Hook;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::{MetricFamily, MetricType},
};

use super::{Chain, PluginState, outcome::CallOutcome};
use crate::telemetry::{Sharded, Tally, counter_metric, family};

/// Registered once per process.
pub(super) struct Metrics {
    calls: Calls,
    duration: HistogramVec,
    events_dropped: IntCounterVec,
    shadow: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(
        registry: &Registry,
        current: &Arc<ArcSwap<Chain>>,
    ) -> prometheus::Result<Self> {
        let calls = Calls::new()?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "jackfield_plugin_call_duration_seconds",
                "Time in a plugin hook, as the request saw it; of hot hooks one call in 16 is timed",
            )
            .buckets(BUCKETS.to_vec()),
            &["plugin", "hook"],
        )?;
        let events_dropped = IntCounterVec::new(
            Opts::new(
                "jackfield_plugin_events_dropped_total",
                "Events that a plugin was not told of, since its queue was full",
            ),
            &["plugin"],
        )?;
        let shadow = IntCounterVec::new(
            Opts::new(
                "jackfield_plugin_shadow_total",
                "Answers of a version in the shadow, beside those of the live one",
            ),
            &["plugin", "result"],
        )?;
        registry.register(Box::new(shadow.clone()))?;
        registry.register(Box::new(events_dropped.clone()))?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(Snapshot::new(Arc::clone(current))?))?;
        Ok(Self {
            calls,
            duration,
            events_dropped,
            shadow,
        })
    }

    pub(super) fn shadow(&self, plugin: &str) -> ShadowMetrics {
        ShadowMetrics(
            Compared::ALL.map(|(_, result)| self.shadow.with_label_values(&[plugin, result])),
        )
    }

    pub(super) fn events_dropped(&self, plugin: &str) -> IntCounter {
        self.events_dropped.with_label_values(&[plugin])
    }

    pub(super) fn of(&self, plugin: &str, hook: Hook) -> HookMetrics {
        let hook = hook.name();
        HookMetrics {
            calls: self.calls.of(plugin, hook),
            duration: self.duration.with_label_values(&[plugin, hook]),
        }
    }
}

/// From a small Rust guest to a deadline.
const BUCKETS: [f64; 14] = [
    0.25e-6, 0.5e-6, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3,
    10e-3,
];

/// How often a version in the shadow says what the live one says.
pub(super) struct ShadowMetrics([IntCounter; 3]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Different,
    Failed,
}

impl Compared {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Same, "same"),
        (Self::Different, "different"),
        (Self::Failed, "failed"),
    ];
}

impl ShadowMetrics {
    pub(super) fn count(&self, compared: Compared) {
        self.0[compared as usize].inc();
    }
}

/// Calls of every plugin and hook, each thread's own: two that count into one cache line take it from each other.
#[derive(Clone)]
struct Calls {
    desc: Desc,
    known: Arc<Mutex<Known>>,
}

/// By plugin and hook.
type Known = BTreeMap<(String, &'static str), Counts>;

/// By outcome.
type Counts = Sharded<[Tally; CallOutcome::ALL.len()]>;

impl Calls {
    fn new() -> prometheus::Result<Self> {
        let labels = ["plugin", "hook", "outcome"].map(str::to_owned).to_vec();
        let name = "jackfield_plugin_calls_total".to_owned();
        let help = "Calls of plugin hooks, by what came of them".to_owned();
        Ok(Self {
            desc: Desc::new(name, help, labels, HashMap::new())?,
            known: Arc::default(),
        })
    }

    fn of(&self, plugin: &str, hook: &'static str) -> Counts {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = known.entry((plugin.to_owned(), hook)).or_default();
        counts.clone()
    }
}

impl Collector for Calls {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metrics = Vec::new();
        for ((plugin, hook), counts) in known.iter() {
            for outcome in CallOutcome::ALL {
                let (plugin, outcome_name) = (plugin.as_str(), outcome.name());
                let labels = [
                    ("plugin", plugin),
                    ("hook", *hook),
                    ("outcome", outcome_name),
                ];
                metrics.push(counter_metric(&labels, sum(counts, outcome)));
            }
        }
        // The registry takes a family without a metric for a mistake.
        match metrics.is_empty() {
            true => Vec::new(),
            false => vec![family(&self.desc, MetricType::COUNTER, metrics)],
        }
    }
}

fn sum(counts: &Counts, outcome: CallOutcome) -> u64 {
    counts.sum(|counts| counts[outcome as usize].get())
}

/// The numbers of one plugin and hook.
pub(super) struct HookMetrics {
    calls: Counts,
    duration: Histogram,
}

impl HookMetrics {
    /// `took` is none when the call was not timed.
    pub(super) fn called(&self, outcome: CallOutcome, took: Option<Duration>) {
        if let Some(took) = took {
            self.duration.observe(took.as_secs_f64());
        }
        self.skipped(outcome);
    }

    /// Answered by the failure policy, without a call.
    pub(super) fn skipped(&self, outcome: CallOutcome) {
        let (counts, writer) = self.calls.mine();
        counts[outcome as usize].add(1, writer);
    }

    /// Calls and, among them, failures, since the process began.
    pub(super) fn totals(&self) -> (u64, u64) {
        let count = |outcomes: &[CallOutcome]| {
            outcomes
                .iter()
                .map(|&outcome| sum(&self.calls, outcome))
                .sum()
        };
        (count(&CallOutcome::ALL), count(&CallOutcome::FAILURES))
    }
}

/// Reads the current chain when it is scraped, so that a plugin that is gone leaves no series.
struct Snapshot {
    current: Arc<ArcSwap<Chain>>,
    /// Two scrapes at once would fill each other's gauges.
    scrape: Mutex<()>,
    memory: IntGaugeVec,
    generation: IntGaugeVec,
    state: IntGaugeVec,
}

impl Snapshot {
    fn new(current: Arc<ArcSwap<Chain>>) -> prometheus::Result<Self> {
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            current,
            scrape: Mutex::default(),
            memory: gauges(
                "jackfield_plugin_memory_bytes",
                "Linear memory of all instances of a plugin",
                &["plugin"],
            )?,
            generation: gauges(
                "jackfield_plugin_generation",
                "Generation of the chain that a plugin runs in",
                &["plugin"],
            )?,
            state: gauges(
                "jackfield_plugin_state",
                "1 for the state that a plugin is in",
                &["plugin", "state"],
            )?,
        })
    }
}

impl Collector for Snapshot {
    fn desc(&self) -> Vec<&Desc> {
        [&self.memory, &self.generation, &self.state]
            .into_iter()
            .flat_map(Collector::desc)
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        for gauges in [&self.memory, &self.generation, &self.state] {
            gauges.reset();
        }
        for view in self.current.load().views() {
            let name = &*view.name;
            self.memory
                .with_label_values(&[name])
                .set(view.memory as i64);
            self.generation
                .with_label_values(&[name])
                .set(view.generation as i64);
            for state in PluginState::ALL {
                let is = i64::from(state == view.state);
                self.state.with_label_values(&[name, state.name()]).set(is);
            }
        }
        [&self.memory, &self.generation, &self.state]
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
