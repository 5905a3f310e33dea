//! `kv`: the guest's side of [`crate::Kv`].

use std::time::{Duration, Instant};

use crate::{Expected, KvTrouble, bindings::kv::jackfield::plugin::kv, state::State};

impl kv::Host for State {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.read_outside();
        self.kv.get(&key, Instant::now())
    }

    fn set(&mut self, key: String, value: Vec<u8>, expires_ms: u64) -> Result<(), kv::Trouble> {
        self.read_outside();
        let now = Instant::now();
        let set = self.kv.set(&key, value, end(now, expires_ms), now);
        set.map_err(Into::into)
    }

    fn remove(&mut self, key: String) -> bool {
        self.read_outside();
        self.kv.remove(&key, Instant::now())
    }

    fn increment(&mut self, key: String, delta: i64, expires_ms: u64) -> Result<i64, kv::Trouble> {
        self.read_outside();
        let now = Instant::now();
        let sum = self.kv.increment(&key, delta, end(now, expires_ms), now);
        sum.map_err(Into::into)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
        expires_ms: u64,
    ) -> Result<bool, kv::Trouble> {
        self.read_outside();
        let now = Instant::now();
        let expected = match &expected {
            Some(value) => Expected::Value(value),
            None => Expected::Nothing,
        };
        let done = self
            .kv
            .compare_and_set(&key, expected, new, end(now, expires_ms), now);
        done.map_err(Into::into)
    }
}

/// A time that no clock reaches is never.
fn end(now: Instant, expires_ms: u64) -> Option<Instant> {
    match expires_ms {
        0 => None,
        ms => now.checked_add(Duration::from_millis(ms)),
    }
}

impl From<KvTrouble> for kv::Trouble {
    fn from(trouble: KvTrouble) -> Self {
        match trouble {
            KvTrouble::Full => Self::Full,
            KvTrouble::TooLong => Self::TooLong,
            KvTrouble::NotANumber => Self::NotANumber,
        }
    }
}
