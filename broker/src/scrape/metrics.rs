use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::{Scraped, Unscraped, Why};

/// A millisecond to the longest time that is sensible between two scrapes.
const SECONDS: [f64; 14] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    ok: IntCounter,
    failed: [IntCounter; Why::ALL.len()],
    seconds: Histogram,
    kept: IntCounter,
    not_kept: IntCounter,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let scrapes = IntCounterVec::new(
            Opts::new(
                "jackfield_app_scrapes_total",
                "Requests for the metrics of an application, by what came of them.",
            ),
            &["outcome"],
        )?;
        let seconds = Histogram::with_opts(
            HistogramOpts::new(
                "jackfield_app_scrape_duration_seconds",
                "From asking an application for its metrics to a page that was checked.",
            )
            .buckets(SECONDS.to_vec()),
        )?;
        let pushes = IntCounterVec::new(
            Opts::new(
                "jackfield_app_last_metrics_total",
                "Last metrics that applications sent before they went, by what came of them.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(pushes.clone()))?;
        registry.register(Box::new(scrapes.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            ok: scrapes.with_label_values(&["ok"]),
            failed: Why::ALL.map(|why| scrapes.with_label_values(&[why.as_str()])),
            seconds,
            kept: pushes.with_label_values(&["kept"]),
            not_kept: pushes.with_label_values(&["refused"]),
        })
    }

    /// Somebody was answered.
    pub(super) fn answered<T>(&self, result: &Result<T, Unscraped>) {
        match result {
            Ok(_) => self.ok.inc(),
            Err(error) => self.failed[error.why as usize].inc(),
        }
    }

    /// An application has said something before it went.
    pub(super) fn pushed<T>(&self, kept: &Result<T, Unscraped>) {
        match kept {
            Ok(_) => self.kept.inc(),
            Err(_) => self.not_kept.inc(),
        }
    }

    /// An application was asked, and answered with a page.
    pub(super) fn asked(&self, scraped: &Scraped) {
        self.seconds.observe(scraped.took.as_secs_f64());
    }
}
