//! What became of the calls.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use hdrhistogram::Histogram;

/// Responders answer with a handful of labels; more than this are a mistake, and counted as one.
const LABELS_MAX: usize = 16;
const LATENCY_MAX: Duration = Duration::from_secs(120);

/// Calls that ended within one slice of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    pub answered: u64,
    pub failed: u64,
    /// Answers by label, in the order of [`Tally::labels`].
    pub labels: Vec<u64>,
}

/// Everything counted over the life of a load; latencies only from its measured part.
#[derive(Debug, Clone)]
pub struct Tally {
    pub issued: u64,
    pub answered: u64,
    /// Answered with an ERROR, by code in `codes`.
    pub failed: u64,
    /// Under way on a connection that ended.
    pub lost: u64,
    /// Answered with something that is not the reply to this request, or to none that is open.
    pub wrong: u64,
    /// Answered by another label than the only one allowed during the whole call.
    pub stray: u64,
    /// Connections that ended before they were told to.
    pub closed: u64,
    pub codes: BTreeMap<u32, u64>,
    /// The first thing that went wrong, in words.
    pub first_failure: Option<String>,
    pub labels: Vec<String>,
    pub windows: Vec<Window>,
    /// Calls that ended in the measured part, and how long that was.
    pub measured: u64,
    pub elapsed: Duration,
    /// User and system time of the generating thread in the measured part.
    pub cpu: Duration,
    /// The same of each process that was to be watched.
    pub watched: Vec<Duration>,
    /// In nanoseconds, from the moment a call was meant to be sent.
    pub latency: Histogram<u64>,
    /// In nanoseconds, how late the generator itself sent in an open loop.
    pub lateness: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let histogram = || {
            let max = LATENCY_MAX.as_nanos() as u64;
            Histogram::new_with_max(max, 3).expect("the bounds are constants and valid")
        };
        Self {
            issued: 0,
            answered: 0,
            failed: 0,
            lost: 0,
            wrong: 0,
            stray: 0,
            closed: 0,
            codes: BTreeMap::new(),
            first_failure: None,
            labels: Vec::new(),
            windows: Vec::new(),
            measured: 0,
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            watched: Vec::new(),
            latency: histogram(),
            lateness: histogram(),
        }
    }

    /// Calls per second over the measured part.
    pub fn rate(&self) -> f64 {
        self.measured as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Latency in microseconds below which `share` of the measured calls stayed.
    pub fn latency_us(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1000.0
    }

    /// Calls that never ended, though they were given time to.
    pub fn unanswered(&self) -> u64 {
        self.issued
            .saturating_sub(self.answered + self.failed + self.lost)
    }

    /// Whether every call was answered, rightly, by a responder that was allowed to.
    pub fn clean(&self) -> bool {
        self.failed + self.lost + self.wrong + self.stray + self.closed + self.unanswered() == 0
    }

    /// One flat JSON object without its braces, so that a caller can put more in front.
    pub fn json_fields(&self) -> String {
        let mut json = format!(
            "\"calls\":{},\"seconds\":{:.3},\"rate\":{:.1},\"p50_us\":{:.2},\"p99_us\":{:.2},\
             \"max_us\":{:.2},\"failed\":{},\"lost\":{},\"wrong\":{},\"stray\":{},\"closed\":{},\
             \"unanswered\":{},\"caller_cpu_us\":{:.3}",
            self.measured,
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.latency_us(0.50),
            self.latency_us(0.99),
            self.latency_us(1.0),
            self.failed,
            self.lost,
            self.wrong,
            self.stray,
            self.closed,
            self.unanswered(),
            self.per_call(self.cpu),
        );
        if !self.lateness.is_empty() {
            let late = self.lateness.value_at_quantile(0.99) as f64 / 1000.0;
            let _ = write!(json, ",\"late_p99_us\":{late:.2}");
        }
        if let Some(failure) = &self.first_failure {
            let _ = write!(json, ",\"first_failure\":{}", json_string(failure));
        }
        json
    }

    /// Microseconds of `cpu` for each measured call.
    pub fn per_call(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.measured.max(1) as f64
    }

    pub(crate) fn window(&mut self, index: usize) -> &mut Window {
        if self.windows.len() <= index {
            self.windows.resize(index + 1, Window::default());
        }
        &mut self.windows[index]
    }

    /// The index of `label`, or `None` when there are too many.
    pub(crate) fn label(&mut self, label: &[u8]) -> Option<usize> {
        if let Some(index) = self
            .labels
            .iter()
            .position(|known| known.as_bytes() == label)
        {
            return Some(index);
        }
        (self.labels.len() < LABELS_MAX).then(|| {
            self.labels
                .push(String::from_utf8_lossy(label).into_owned());
            self.labels.len() - 1
        })
    }

    pub(crate) fn fault(&mut self, text: impl FnOnce() -> String) {
        self.first_failure.get_or_insert_with(text);
    }
}

/// `text` as a JSON string.
pub(crate) fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_ended_is_not_clean() {
        let mut tally = Tally::new();
        (tally.issued, tally.answered) = (3, 3);
        assert!(tally.clean());
        tally.issued += 1;
        assert_eq!((tally.unanswered(), tally.clean()), (1, false));
    }

    #[test]
    fn json_is_flat_and_escaped() {
        let mut tally = Tally::new();
        tally.fault(|| "said \"no\"\n".into());
        tally.fault(|| "second".into());
        let json = tally.json_fields();
        assert!(json.starts_with("\"calls\":0,"));
        assert!(json.ends_with(r#""first_failure":"said \"no\"\u000a""#));
    }
}
