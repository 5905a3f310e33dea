use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Holds back log lines that peers cause: a token bucket for each code.
///
/// Codes come from the broker's own table, so the map is bounded by it.
#[derive(Debug)]
pub struct RateLimit {
    burst: u32,
    /// Time in which one more line is earned.
    refill: Duration,
    buckets: Mutex<HashMap<&'static str, Bucket>>,
}

/// Leave to write one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Lines with this code that were held back since the last one written.
    pub suppressed: u64,
}

#[derive(Debug)]
struct Bucket {
    tokens: u32,
    since: Instant,
    suppressed: u64,
}

impl RateLimit {
    pub fn new(burst: u32, refill: Duration) -> Self {
        Self {
            burst,
            refill,
            buckets: Mutex::default(),
        }
    }

    /// Whether a line with this code may be written now.
    pub fn pass(&self, code: &'static str, now: Instant) -> Option<Passed> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            tokens: self.burst,
            since: now,
            suppressed: 0,
        };
        let bucket = buckets.entry(code).or_insert(full);
        bucket.refill(self.burst, self.refill, now);
        if bucket.tokens == 0 {
            bucket.suppressed += 1;
            return None;
        }
        bucket.tokens -= 1;
        Some(Passed {
            suppressed: std::mem::take(&mut bucket.suppressed),
        })
    }
}

impl Default for RateLimit {
    /// Ten lines at once, then one a second, for each code.
    fn default() -> Self {
        Self::new(10, Duration::from_secs(1))
    }
}

impl Bucket {
    fn refill(&mut self, burst: u32, refill: Duration, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let earned = passed.as_nanos() / refill.as_nanos().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(burst);
        if self.tokens == burst {
            self.since = now;
        } else {
            self.since += refill.saturating_mul(earned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_and_the_gap_is_told() {
        let limit = RateLimit::new(2, Duration::from_secs(1));
        let start = Instant::now();
        let at = |millis| limit.pass("RST-1", start + Duration::from_millis(millis));
        assert_eq!(at(0), Some(Passed { suppressed: 0 }));
        assert_eq!(at(0), Some(Passed { suppressed: 0 }));
        assert_eq!(at(0), None);
        assert_eq!(at(999), None);
        assert_eq!(at(1000), Some(Passed { suppressed: 2 }));
        assert_eq!(at(1500), None);
        assert_eq!(at(2000), Some(Passed { suppressed: 1 }));
    }

    #[test]
    fn codes_do_not_share_a_bucket() {
        let limit = RateLimit::new(1, Duration::from_secs(1));
        let now = Instant::now();
        assert!(limit.pass("a", now).is_some());
        assert!(limit.pass("a", now).is_none());
        assert!(limit.pass("b", now).is_some());
    }

    #[test]
    fn a_long_silence_earns_no_more_than_a_burst() {
        let limit = RateLimit::new(2, Duration::from_secs(1));
        let start = Instant::now();
        assert!(limit.pass("a", start).is_some());
        let later = start + Duration::from_secs(1000);
        let passed = (0..5).filter(|_| limit.pass("a", later).is_some()).count();
        assert_eq!(passed, 2);
    }
}
