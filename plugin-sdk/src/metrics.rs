//! A plugin's own numbers, exported by the broker. Needs `allow = ["metrics"]`.
//!
//! Register in `configure`, keep what you get, use it in hooks. Names are `[a-z][a-z0-9_]*`.

use crate::{bindings::metrics::jackfield::plugin::metrics as host, names::IN_A_TEST};

/// Only goes up: `jackfield_plugin_counter_total{plugin,name}`.
#[derive(Clone, Copy, Debug)]
pub struct Counter(u32);

/// Goes up and down: `jackfield_plugin_gauge{plugin,name}`.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(u32);

impl Counter {
    pub fn register(name: &str) -> Self {
        Self(if IN_A_TEST { 0 } else { host::counter(name) })
    }

    pub fn add(self, delta: u64) {
        if !IN_A_TEST {
            host::add(self.0, delta);
        }
    }
}

impl Gauge {
    pub fn register(name: &str) -> Self {
        Self(if IN_A_TEST { 0 } else { host::gauge(name) })
    }

    pub fn set(self, value: f64) {
        if !IN_A_TEST {
            host::set(self.0, value);
        }
    }
}
