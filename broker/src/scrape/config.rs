use std::time::Duration;

use super::exposition::Limits;

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether calls, frames and bytes are counted.
    pub calls: bool,
    /// What applications are asked, the first one whose service an application publishes:
    /// `[group!]service.method[:version]`.
    pub routes: Vec<String>,
    /// The longest that an application may take, whatever Prometheus allows.
    pub timeout: Duration,
    /// How long a page answers whoever asks next.
    pub cache: Duration,
    /// What all such pages may take.
    pub cache_bytes: usize,
    /// Applications asked at a time.
    pub concurrency: usize,
    pub limits: Limits,
    /// Whether times that an application wrote are kept.
    pub timestamps: bool,
    /// Whether there is one page for all applications.
    pub merged: bool,
    /// What that page may take.
    pub merged_bytes: usize,
    /// How long the last metrics of an application that has gone wait for whoever scrapes it.
    pub last: Duration,
    /// What all of them may take.
    pub last_bytes: usize,
    /// Where Prometheus finds the HTTP face; none: where it asked.
    pub advertise: Option<String>,
}

/// Ours, and the one of the archived broker's clients.
pub const ROUTES: [&str; 2] = [
    "jackfield.Metrics.scrape",
    "com.alibaba.rsocket.observability.MetricsService.scrape",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            calls: true,
            routes: ROUTES.map(str::to_owned).to_vec(),
            timeout: Duration::from_secs(10),
            cache: Duration::from_secs(1),
            cache_bytes: 64 << 20,
            concurrency: 1024,
            limits: Limits::default(),
            timestamps: false,
            merged: false,
            merged_bytes: 64 << 20,
            last: Duration::from_secs(120),
            last_bytes: 16 << 20,
            advertise: None,
        }
    }
}
