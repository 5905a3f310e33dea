//! Logs and the metric registry: what the broker says about itself.
//!
//! Invariants
//! - a line caused by a peer goes through the [`RateLimit`], so that no peer can fill a disk
//! - neither tokens nor payloads are logged
//! - what the data plane counts, each thread counts for itself ([`Sharded`])
//! - nothing here knows another room
//!
//! Looked at by every room.

mod exemplars;
mod level;
mod log;
mod metrics;
mod page;
mod process;
mod rate;
mod shard;

pub use exemplars::{Exemplar, Exemplars};
pub use level::{AUDIT, Level};
pub use log::{Format, LogConfig, LogHandle, start_logging};
pub use metrics::{MetricsError, Registry};
pub use page::PageFormat;
pub use rate::{Passed, RateLimit};
pub use shard::{
    Sharded, Tally, ThreadCounter, ThreadCounters, Writer, counter_metric, family, label_pairs,
};
