//! What guests reach in the broker: its log and its metrics.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jackfield_plugin_host::{Counter, Gauge, HostCalls, Level};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, Opts, Registry};

/// The broker's side of the imports `log` and `metrics`.
pub struct GuestCalls {
    counters: IntCounterVec,
    gauges: GaugeVec,
    known: Mutex<HashMap<Box<str>, Plugin>>,
}

/// What one plugin has used, across its instances and generations.
struct Plugin {
    metrics: HashSet<Box<str>>,
    lines: Lines,
}

/// Counters and gauges of one plugin together.
const METRICS_MAX: usize = 128;
const LINES_PER_SECOND: u32 = 100;

impl GuestCalls {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let labels = &["plugin", "name"];
        let counters = IntCounterVec::new(
            Opts::new(
                "jackfield_plugin_counter_total",
                "Counters that plugins keep themselves",
            ),
            labels,
        )?;
        let gauges = GaugeVec::new(
            Opts::new(
                "jackfield_plugin_gauge",
                "Gauges that plugins keep themselves",
            ),
            labels,
        )?;
        registry.register(Box::new(counters.clone()))?;
        registry.register(Box::new(gauges.clone()))?;
        Ok(Self {
            counters,
            gauges,
            known: Mutex::default(),
        })
    }

    fn plugin<R>(&self, name: &str, with: impl FnOnce(&mut Plugin) -> R) -> R {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(name) {
            let plugin = Plugin {
                metrics: HashSet::new(),
                lines: Lines::new(Instant::now()),
            };
            known.insert(name.into(), plugin);
        }
        with(known.get_mut(name).expect("it was just put there"))
    }

    fn may_register(&self, plugin: &str, metric: &str) -> bool {
        self.plugin(plugin, |plugin| {
            plugin.metrics.contains(metric)
                || plugin.metrics.len() < METRICS_MAX && plugin.metrics.insert(metric.into())
        })
    }
}

impl HostCalls for GuestCalls {
    fn log(&self, plugin: &str, level: Level, message: &str) {
        let Some(dropped) = self.plugin(plugin, |plugin| plugin.lines.take(Instant::now())) else {
            return;
        };
        if dropped > 0 {
            tracing::warn!(
                plugin,
                dropped,
                "a plugin logged too much; lines were dropped"
            );
        }
        match level {
            Level::Trace => tracing::trace!(plugin, "{message}"),
            Level::Debug => tracing::debug!(plugin, "{message}"),
            Level::Info => tracing::info!(plugin, "{message}"),
            Level::Warn => tracing::warn!(plugin, "{message}"),
            Level::Error => tracing::error!(plugin, "{message}"),
        }
    }

    fn counter(&self, plugin: &str, name: &str) -> Option<Arc<dyn Counter>> {
        let counter = || Own(self.counters.with_label_values(&[plugin, name]));
        self.may_register(plugin, name)
            .then(|| Arc::new(counter()) as Arc<dyn Counter>)
    }

    fn gauge(&self, plugin: &str, name: &str) -> Option<Arc<dyn Gauge>> {
        let gauge = || Own(self.gauges.with_label_values(&[plugin, name]));
        self.may_register(plugin, name)
            .then(|| Arc::new(gauge()) as Arc<dyn Gauge>)
    }
}

struct Own<T>(T);

impl Counter for Own<IntCounter> {
    fn add(&self, delta: u64) {
        self.0.inc_by(delta);
    }
}

impl Gauge for Own<prometheus::Gauge> {
    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

/// So many lines a second; the rest is counted.
struct Lines {
    since: Instant,
    taken: u32,
    dropped: u64,
}

impl Lines {
    const fn new(now: Instant) -> Self {
        Self {
            since: now,
            taken: 0,
            dropped: 0,
        }
    }

    /// None: drop this line. Otherwise how many were dropped before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            let dropped = self.dropped;
            *self = Self::new(now);
            self.taken = 1;
            return Some(dropped);
        }
        if self.taken == LINES_PER_SECOND {
            self.dropped += 1;
            return None;
        }
        self.taken += 1;
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_dropped_and_counted() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        assert_eq!(
            (0..250).filter(|_| lines.take(start).is_some()).count(),
            100
        );
        assert_eq!(lines.take(start + Duration::from_secs(1)), Some(150));
        assert_eq!(lines.take(start + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn metrics_carry_the_plugins_name_and_are_bounded() {
        let registry = Registry::new();
        let calls = GuestCalls::new(&registry).unwrap();
        calls.counter("canary", "diverted").unwrap().add(2);
        calls.counter("canary", "diverted").unwrap().add(3);
        calls.gauge("canary", "share").unwrap().set(0.3);
        let families = registry.gather();
        let metric = &families[0].get_metric()[0];
        assert_eq!(families[0].name(), "jackfield_plugin_counter_total");
        assert_eq!(metric.get_counter().get_value(), 5.0);
        let labels: Vec<_> = metric
            .get_label()
            .iter()
            .map(|label| label.value())
            .collect();
        assert_eq!(labels, ["diverted", "canary"]);
        let registered = (0..500)
            .filter_map(|n| calls.counter("canary", &format!("c{n}")))
            .count();
        assert_eq!(registered, METRICS_MAX - 2);
        assert!(calls.counter("other", "c0").is_some());
    }
}
