//! Chance. Needs `allow = ["random"]`.
//!
//! In a test the numbers are the same each time.

use crate::{bindings::random::jackfield::plugin::random as host, names::IN_A_TEST, testing};

/// Any number is as likely as any other. Not for secrets.
pub fn number() -> u64 {
    match IN_A_TEST {
        true => testing::next_random(),
        false => host::number(),
    }
}

/// Fit for secrets; at most 1024 bytes.
pub fn bytes(len: u32) -> Vec<u8> {
    match IN_A_TEST {
        true => (0..len.min(1024)).map(|_| number() as u8).collect(),
        false => host::bytes(len),
    }
}
