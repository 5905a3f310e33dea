//! What the configuration says about plugins, checked.

use std::{path::PathBuf, time::Duration};

use jackfield_plugin_host::{Capability, Hook};
use serde::Serialize;

use super::Outbound;
use crate::directory::ServicePattern;

/// The checked form of `[plugins]` and every `[[plugin]]`.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// The guest CPU time one request may spend in all plugins together.
    pub deadline: Duration,
    /// Whether plugins may break things on purpose: the operator's switch, whatever they are set to.
    pub chaos: bool,
    /// Where compiled components are kept. Only the broker may write there.
    pub cache_dir: PathBuf,
    /// Where components that were live, and what operators changed, are kept; none: nowhere.
    pub kept_dir: Option<PathBuf>,
    /// In configuration order; the chain sorts by `order`, then by name.
    pub plugins: Vec<PluginConfig>,
}

/// The checked form of one `[[plugin]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    pub name: String,
    pub source: Source,
    pub order: i32,
    /// Empty: every service.
    pub matches: Vec<ServicePattern>,
    /// None: what each hook has by itself.
    pub on_failure: Option<FailurePolicy>,
    /// The guest's own CPU time, per call.
    pub deadline: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    pub allow: Vec<Capability>,
    /// For hooks that may wait.
    pub slow: SlowConfig,
    /// Where the import `http` may go.
    pub outbound: Outbound,
    pub mode: Mode,
    /// Pins the component: anything else is refused.
    pub sha256: Option<[u8; 32]>,
    /// The minisign key that must have signed the component, in Base64.
    pub signed_by: Option<String>,
    /// Handed to the plugin as JSON, as it is.
    pub settings: serde_json::Value,
}

/// How hooks that may wait are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowConfig {
    /// For a whole call, the wait in the queue included.
    pub timeout: Duration,
    /// Calls that may wait, for each instance.
    pub queue: usize,
    pub instances: usize,
}

impl Default for SlowConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            queue: 64,
            instances: 1,
        }
    }
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// `builtin:NAME`: embedded in the binary.
    Builtin(String),
}

impl PluginConfig {
    /// What happens when this hook of the plugin cannot answer: what may protect something fails closed, what only
    /// advises fails open.
    pub fn on_failure(&self, hook: Hook) -> FailurePolicy {
        self.on_failure.unwrap_or(match hook {
            Hook::RoutingFilter | Hook::Authenticator | Hook::MetricsCollector => {
                FailurePolicy::Closed
            }
            Hook::EndpointSelector | Hook::Chaos | Hook::Events => FailurePolicy::Open,
        })
    }
}

/// What happens to a request when the plugin cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// Go on without the plugin.
    Open,
    /// Refuse the request.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Live,
    /// Asked, and without effect.
    Shadow,
    Off,
}
