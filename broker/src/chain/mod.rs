//! Which plugin, in what order, with what verdict.

mod config;

pub use config::{Capability, ChainConfig, FailurePolicy, Mode, PluginConfig, Source};
