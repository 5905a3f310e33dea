//! `metrics`: numbers of the plugin's own.

use std::sync::Arc;

use crate::{bindings::metrics::jackfield::plugin::metrics, state::State};

/// Counters of one plugin, and as many gauges.
const METRICS_MAX: usize = 64;
const METRIC_NAME_BYTES_MAX: usize = 64;

impl metrics::Host for State {
    fn counter(&mut self, name: String) -> u32 {
        let found = is_metric_name(&name)
            .then(|| self.host.counter(&self.plugin, &name))
            .flatten();
        register(&mut self.counters, found)
    }

    fn add(&mut self, counter: u32, delta: u64) {
        if let Some(counter) = nth(&self.counters, counter) {
            counter.add(delta);
        }
    }

    fn gauge(&mut self, name: String) -> u32 {
        let found = is_metric_name(&name)
            .then(|| self.host.gauge(&self.plugin, &name))
            .flatten();
        register(&mut self.gauges, found)
    }

    fn set(&mut self, gauge: u32, value: f64) {
        if let Some(gauge) = nth(&self.gauges, gauge) {
            gauge.set(value);
        }
    }
}

/// The number of a newly registered metric, from 1; 0 when there is none.
fn register<T: ?Sized>(known: &mut Vec<Arc<T>>, found: Option<Arc<T>>) -> u32 {
    match found {
        Some(metric) if known.len() < METRICS_MAX => {
            known.push(metric);
            known.len() as u32
        }
        _ => 0,
    }
}

fn nth<T: ?Sized>(known: &[Arc<T>], number: u32) -> Option<&Arc<T>> {
    known.get((number as usize).checked_sub(1)?)
}

fn is_metric_name(name: &str) -> bool {
    name.len() <= METRIC_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_plain() {
        for (name, fits) in [
            ("calls", true),
            ("a_1", true),
            ("", false),
            ("1a", false),
            ("A", false),
            ("a-b", false),
        ] {
            assert_eq!(is_metric_name(name), fits, "{name}");
        }
        assert!(!is_metric_name(&"a".repeat(65)));
    }
}
