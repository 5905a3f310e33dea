//! Unmodified real clients against the real broker: every requester against every responder.
//!
//! The clients are the test peers of `tests/interop` (their command language is in its README) and
//! the apps of `examples`. Each test starts the `jackfield` binary on free ports in a folder of its
//! own, starts responders as processes, waits for their ready line, and asserts what the requesters
//! report.
//!
//! Invariants
//! - nothing is skipped in silence: what is not installed is named with the command that installs
//!   it, and fails the test when `CI` or `JACKFIELD_TEST_ALL` is set
//! - a cell that a client's own bug spoils is in `known`, with the reason, and must go on failing
//! - every process ends with the value that started it

mod alibaba;
mod client;
mod docs;
mod drain;
mod examples;
mod features;
mod known;
mod matrix;
mod memory;
mod wire;

pub(crate) use client::{installed, root, say};
