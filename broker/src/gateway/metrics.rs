use axum::http::StatusCode;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    requests: IntCounterVec,
    pub(super) open: IntGauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "jackfield_http_calls_total",
                "Calls of services over HTTP, by the status they were answered with.",
            ),
            &["status"],
        )?;
        let open = IntGauge::new(
            "jackfield_http_calls_open",
            "Calls of services over HTTP that are being answered.",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(open.clone()))?;
        Ok(Self { requests, open })
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.requests.with_label_values(&[status.as_str()]).inc();
    }
}
