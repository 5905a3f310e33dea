//! The time. Needs `allow = ["clock"]`.
//!
//! In a test it stands still, at what [`crate::testing::set_clock`] said last.

use crate::{bindings::clock::jackfield::plugin::clock as host, names::IN_A_TEST, testing};

/// Nanoseconds since some moment; never goes back.
pub fn monotonic_ns() -> u64 {
    match IN_A_TEST {
        true => testing::clock_ms() * 1_000_000,
        false => host::monotonic_ns(),
    }
}

/// Milliseconds since 1970, UTC. May go back.
pub fn unix_ms() -> u64 {
    match IN_A_TEST {
        true => testing::clock_ms(),
        false => host::unix_ms(),
    }
}
