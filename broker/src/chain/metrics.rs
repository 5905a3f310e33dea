//! What the chain counts. Resolved per plugin when it is loaded; a call only adds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jackfield_plugin_host::{Hook, Plan, PluginError, Selection, Verdict};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{Chain, PluginState};

/// Registered once per process.
pub(super) struct Metrics {
    calls: IntCounterVec,
    duration: HistogramVec,
    events_dropped: IntCounterVec,
    shadow: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(
        registry: &Registry,
        current: &Arc<ArcSwap<Chain>>,
    ) -> prometheus::Result<Self> {
        let calls = IntCounterVec::new(
            Opts::new(
                "jackfield_plugin_calls_total",
                "Calls of plugin hooks, by what came of them",
            ),
            &["plugin", "hook", "outcome"],
        )?;
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
            calls: CallOutcome::ALL.map(|outcome| {
                self.calls
                    .with_label_values(&[plugin, hook, outcome.name()])
            }),
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

/// The numbers of one plugin and hook.
pub(super) struct HookMetrics {
    calls: [IntCounter; CallOutcome::ALL.len()],
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
        self.calls[outcome as usize].inc();
    }

    /// Calls and, among them, failures, since the process began.
    pub(super) fn totals(&self) -> (u64, u64) {
        let count = |outcomes: &[CallOutcome]| {
            outcomes
                .iter()
                .map(|&outcome| self.calls[outcome as usize].get())
                .sum()
        };
        (count(&CallOutcome::ALL), count(&CallOutcome::FAILURES))
    }
}

/// The label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Pass,
    Rewrite,
    Split,
    Refuse,
    Answer,
    /// A selector had an opinion.
    Select,
    /// Chaos may happen.
    Disturb,
    /// An authenticator let somebody in.
    Admit,
    /// A slow hook did what it was asked for.
    Done,
    Trap,
    Deadline,
    Memory,
    Invalid,
    /// Not called: its circuit is open.
    CircuitOpen,
    /// Not called, or cut short: the chain's deadline is used up.
    ChainDeadline,
    /// Not called: too many calls of this slow hook wait already.
    QueueFull,
    /// A slow hook took too long, its wait in the queue included.
    Timeout,
}

impl CallOutcome {
    const ALL: [Self; 17] = [
        Self::Pass,
        Self::Rewrite,
        Self::Split,
        Self::Refuse,
        Self::Answer,
        Self::Select,
        Self::Disturb,
        Self::Admit,
        Self::Done,
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Invalid,
        Self::CircuitOpen,
        Self::ChainDeadline,
        Self::QueueFull,
        Self::Timeout,
    ];
    const FAILURES: [Self; 8] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Invalid,
        Self::CircuitOpen,
        Self::ChainDeadline,
        Self::QueueFull,
        Self::Timeout,
    ];

    pub(super) const fn of_verdict(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Rewrite(_) => Self::Rewrite,
            Verdict::Split(_) => Self::Split,
            Verdict::Refuse(_) => Self::Refuse,
            Verdict::Answer(_) => Self::Answer,
        }
    }

    pub(super) const fn of_selection(selection: &Selection) -> Self {
        match selection {
            Selection::Any => Self::Pass,
            _ => Self::Select,
        }
    }

    pub(super) const fn of_plan(plan: &Plan) -> Self {
        match plan.faults.is_empty() {
            true => Self::Pass,
            false => Self::Disturb,
        }
    }

    pub(super) const fn of_error(error: &PluginError) -> Self {
        match error {
            PluginError::Deadline { .. } => Self::Deadline,
            PluginError::Memory { .. } => Self::Memory,
            PluginError::Answer(_) => Self::Invalid,
            _ => Self::Trap,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Rewrite => "rewrite",
            Self::Split => "split",
            Self::Refuse => "refuse",
            Self::Answer => "answer",
            Self::Select => "select",
            Self::Disturb => "disturb",
            Self::Admit => "admit",
            Self::Done => "done",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Invalid => "invalid",
            Self::CircuitOpen => "circuit_open",
            Self::ChainDeadline => "chain_deadline",
            Self::QueueFull => "queue_full",
            Self::Timeout => "timeout",
        }
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
