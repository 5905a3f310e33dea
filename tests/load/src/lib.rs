//! Load for Jackfield and for what it is measured against.
//!
//! | module | what it is |
//! |---|---|
//! | `frame`, `nats` | the bytes of the two protocols, written by hand |
//! | `wire` | one socket with its two buffers; a turn is at most one write and one read |
//! | `dialect` | how a caller speaks RSocket, NATS or a bare echo |
//! | `load`, `session`, `tally` | calls in a closed or open loop, and what became of them |
//! | `respond`, `serve` | the other end: echo, labels, streams of items |
//! | `stall` | a reader that grants endless credit and then stops reading |
//! | `idle` | connections that say nothing, and what they cost a broker in memory |
//! | `harm` | what a disturbance does to the latency of others |
//! | `registry` | many services, and what they cost a broker |
//! | `gate` | the speed gate: rounds, ratios, verdict |
//!
//! Invariants
//! - Nothing here depends on a crate of ours: a fault in the codec cannot hide on both ends.
//! - Every generator is one thread, so that a measurement says how many cores it used.
//! - Every reply is checked against its request; a wrong reply is counted, never overlooked.
//! - Everything is bounded in time and stops by itself.

mod cpu;
mod dialect;
mod frame;
pub mod gate;
pub mod harm;
pub mod idle;
mod load;
mod nats;
mod pending;
mod registry;
mod respond;
mod serve;
mod session;
mod stall;
mod tally;
mod wire;

pub use cpu::{cpu_time, resident_bytes};
pub use load::{Load, Pace, Running, Target};
pub use registry::{Registered, Registering};
pub use respond::{Attach, Respond, Responding};
pub use stall::{Ending, Stall, StallReport};
pub use tally::{Tally, Window};
