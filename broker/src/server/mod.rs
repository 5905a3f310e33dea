//! Build, run, drain: the only room that knows every room.
//!
//! ```text
//! start   plugins loaded -> data plane -> listeners bound -> HTTP faces      any failure: nothing runs
//! run     signals, changed files, the admin API, memory
//! drain   no new connections and requests -> streams end, or are cut after the grace period -> faces last
//! ```
//!
//! Invariants
//! - a reload checks everything first; what fails changes nothing and says why
//! - loading plugins and reading files happen on threads of their own, never on the data plane
//! - the first signal drains, the second ends at once

mod certificates;
mod descriptors;
mod faces;
mod guests;
mod machine;
mod memory;
mod reload;
mod running;
mod signals;
mod start;
mod watch;

#[cfg(test)]
mod tests;

pub use descriptors::{Descriptors, look_at_descriptors, raise_descriptors};
pub use machine::{cgroup_limit, memory_available};
pub use running::Server;
pub use signals::Signals;
pub use start::{Options, StartError};
