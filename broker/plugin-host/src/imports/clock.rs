//! `clock` and `random`.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime},
};

use crate::{
    bindings::{clock::jackfield::plugin::clock, random::jackfield::plugin::random},
    state::State,
};

const BYTES_MAX: u32 = 1024;

/// A plugin learns nothing about how long the machine runs.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

impl clock::Host for State {
    fn monotonic_ns(&mut self) -> u64 {
        self.read_outside();
        u64::try_from(BEGINNING.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&mut self) -> u64 {
        self.read_outside();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

impl random::Host for State {
    fn number(&mut self) -> u64 {
        self.read_outside();
        self.dice.throw()
    }

    fn bytes(&mut self, len: u32) -> Vec<u8> {
        self.read_outside();
        let mut bytes = vec![0; len.min(BYTES_MAX) as usize];
        match getrandom::fill(&mut bytes) {
            Ok(()) => bytes,
            // Fewer bytes are an answer; predictable ones would be a trap for the guest.
            Err(_) => Vec::new(),
        }
    }
}
