//! A token bucket: so many per second, and as many at once.

use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    since: Instant,
}

impl Bucket {
    /// Begins full.
    pub(super) fn new(per_second: usize, now: Instant) -> Self {
        let per_second = per_second as f64;
        Self {
            per_second,
            tokens: per_second,
            since: now,
        }
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.since).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + earned).min(self.per_second);
        self.since = now;
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_come_back_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, start);
        assert_eq!(
            [bucket.take(start), bucket.take(start), bucket.take(start)],
            [true, true, false]
        );
        let later = start + Duration::from_millis(500);
        assert_eq!([bucket.take(later), bucket.take(later)], [true, false]);
        let much_later = start + Duration::from_secs(100);
        let taken = (0..10).filter(|_| bucket.take(much_later)).count();
        assert_eq!(taken, 2);
    }
}
