//! What guests may call in the host, and how the host reaches the broker for it: [`HostCalls`], the
//! only door from a guest upwards.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::{
    bindings::{
        CallHandle, log::jackfield::plugin::log, metrics::jackfield::plugin::metrics,
        names::jackfield::plugin::names, routing_filter::jackfield::plugin::request,
    },
    call::{Lent, lent, stable_hash},
    instance::State,
};

/// What the broker does for guests. Nothing here may wait.
pub trait HostCalls: Send + Sync {
    fn log(&self, plugin: &str, level: Level, message: &str);
    /// None when there are too many. The name is already checked.
    fn counter(&self, plugin: &str, name: &str) -> Option<Arc<dyn Counter>>;
    /// None when there are too many. The name is already checked.
    fn gauge(&self, plugin: &str, name: &str) -> Option<Arc<dyn Gauge>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

pub trait Counter: Send + Sync {
    fn add(&self, delta: u64);
}

pub trait Gauge: Send + Sync {
    fn set(&self, value: f64);
}

/// Bytes of one log line.
const MESSAGE_BYTES_MAX: usize = 2048;
/// Counters of one plugin, and as many gauges.
const METRICS_MAX: usize = 64;
const METRIC_NAME_BYTES_MAX: usize = 64;

impl names::Host for State {
    fn service(&mut self, name: String) -> u32 {
        self.names.intern_service(&name)
    }

    fn handler(&mut self, service: String, method: String) -> u32 {
        self.names.intern_handler(&service, &method)
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, mut message: String) {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.host.log(&self.plugin, level, &message);
    }
}

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

impl request::Host for State {}

type Handle = Resource<CallHandle>;

impl request::HostCall for State {
    fn service(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.service.to_owned())
    }

    fn method(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.method.to_owned())
    }

    fn group(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.group.to_owned())
    }

    fn version(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.version.to_owned())
    }

    fn endpoint(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.endpoint.to_owned())
    }

    fn version_is(&mut self, _: Handle, value: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.version == value)
    }

    fn tag_is(&mut self, _: Handle, key: String, value: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.tags.value(&key) == Some(&value))
    }

    fn tag(&mut self, _: Handle, key: String) -> wasmtime::Result<Option<String>> {
        ask(|lent| lent.call.tags.value(&key).map(str::to_owned))
    }

    fn app(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.app.to_owned())
    }

    fn principal(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.principal.to_owned())
    }

    fn principal_is(&mut self, _: Handle, name: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.principal == name)
    }

    fn stable_hash(&mut self, _: Handle, by: request::HashKey) -> wasmtime::Result<Option<u64>> {
        ask(|Lent { call, .. }| {
            let key = match &by {
                request::HashKey::App => Some(call.app),
                request::HashKey::Principal => Some(call.principal),
                request::HashKey::Tag(key) => call.tags.value(key),
            };
            key.filter(|key| !key.is_empty()).map(stable_hash)
        })
    }

    fn metadata(&mut self, _: Handle) -> wasmtime::Result<Vec<u8>> {
        ask(|lent| {
            lent.reads.outside();
            lent.call.metadata.to_vec()
        })
    }

    fn drop(&mut self, _: Handle) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn ask<R>(read: impl FnOnce(Lent<'_>) -> R) -> wasmtime::Result<R> {
    lent(read).ok_or_else(|| wasmtime::format_err!("no request is at hand"))
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
