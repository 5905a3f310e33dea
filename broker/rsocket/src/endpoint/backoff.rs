use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long to wait before dialling again: twice as long each time, up to a bound, and each time a
/// random part of it, so that a thousand clients of one server do not come back in one instant.
///
/// ```
/// use std::time::Duration;
/// use jackfield_rsocket::endpoint::Backoff;
///
/// let backoff = Backoff {
///     first: Duration::from_millis(100),
///     most: Duration::from_secs(5),
///     attempts: None,
/// };
/// let third = backoff.delay(2);
/// assert!(third >= Duration::from_millis(200) && third <= Duration::from_millis(400));
/// assert!(backoff.delay(1000) <= Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first attempt.
    pub first: Duration,
    /// Before any.
    pub most: Duration,
    /// After so many in a row that failed the connection is given up; without end if none.
    pub attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(30),
            attempts: None,
        }
    }
}

impl Backoff {
    /// The wait after `failed` attempts, between half and the whole of what doubling makes of it.
    pub fn delay(&self, failed: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failed.min(20));
        let whole = doubled.min(self.most);
        // Chance, not secrecy: the seed of a hash map will do.
        let part = RandomState::new().hash_one(failed) as u32;
        whole / 2 + (whole / 2).mul_f64(f64::from(part) / f64::from(u32::MAX))
    }

    pub(super) fn is_spent(&self, failed: u32) -> bool {
        self.attempts.is_some_and(|attempts| failed >= attempts)
    }
}
