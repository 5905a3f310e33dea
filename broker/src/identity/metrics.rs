use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::denied::Denied;

/// What this room counts.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) ok: IntCounter,
    /// Tokens that never end: fine with the alibaba profile, and worth knowing.
    pub(super) ok_without_expiry: IntCounter,
    pub(super) anonymous: IntCounter,
    outcomes: IntCounterVec,
    refreshes: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let outcomes = counters(
            "jackfield_auth_total",
            "Credentials looked at, by what was found.",
        )?;
        // All of them from the start, so that a first refusal shows as an increase.
        for denied in Denied::ALL {
            outcomes.with_label_values(&[denied.as_str()]);
        }
        Ok(Self {
            ok: outcomes.with_label_values(&["ok"]),
            ok_without_expiry: outcomes.with_label_values(&["ok_without_expiry"]),
            anonymous: outcomes.with_label_values(&["anonymous"]),
            refreshes: counters(
                "jackfield_auth_key_refreshes_total",
                "Times the JSON Web Key Set was fetched or read.",
            )?,
            outcomes,
        })
    }

    pub(super) fn denied(&self, denied: Denied) {
        self.outcomes.with_label_values(&[denied.as_str()]).inc();
    }

    #[cfg(test)]
    pub(super) fn count_of(&self, denied: Denied) -> u64 {
        self.outcomes.with_label_values(&[denied.as_str()]).get()
    }

    pub(super) fn refreshed(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.refreshes.with_label_values(&[outcome]).inc();
    }
}
