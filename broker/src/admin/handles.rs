use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{Audience, PluginDeed, Pushed};
use crate::{
    chain::Journal,
    directory::{AppView, ServiceView},
    scrape::Scraper,
    telemetry::{LogHandle, MetricsError, PageFormat},
};

type View<T> = Box<dyn Fn() -> T + Send + Sync>;
type Metrics = Box<dyn Fn(PageFormat) -> Result<String, MetricsError> + Send + Sync>;
type Act = Box<dyn Fn(&str, &str, PluginDeed) -> Result<u64, String> + Send + Sync>;
type Push = Box<dyn Fn(&str, &Audience, Bytes) -> Pushed + Send + Sync>;
type Drain = Box<dyn Fn(&str, Option<&str>) -> Result<(), String> + Send + Sync>;

/// All that the faces can see and do. Views are asked for on the admin thread and must not block.
pub struct Handles {
    /// The page for Prometheus.
    pub metrics: Metrics,
    /// The pages of applications.
    pub scraper: Arc<Scraper>,
    pub log: LogHandle,
    pub apps: View<Vec<AppView>>,
    pub services: View<Vec<ServiceView>>,
    pub plugins: View<serde_json::Value>,
    /// Has an operator do something to a plugin: who, which plugin, what. The new generation, or why nothing has
    /// changed. It may block.
    pub plugin: Act,
    /// Has an operator push an event: who, to whom, what. Nobody, when no application fits.
    pub push: Push,
    /// What happened last.
    pub journal: Arc<Journal>,
    pub connections: View<serde_json::Value>,
    pub config: View<serde_json::Value>,
    pub readiness: View<Readiness>,
    /// Has an operator start to drain, with a grace period as written; says what is wrong with it.
    pub drain: Drain,
}

/// Whether the broker takes new work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Why not; empty when it does.
    pub reasons: Vec<String>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}
