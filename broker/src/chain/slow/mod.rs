//! Hooks that may wait: who runs them, how many wait for them, and what they reach outside.
//!
//! ```text
//! relay, admin ── Pool::run ──> queue (bounded) ──> instance ──> answer, or a reason why there is none
//!                                                     │ http, call
//!                                                     └──> Outside: what the operator allowed, and no more
//! ```
//!
//! Invariants
//! - Nothing here runs on a data-plane thread.
//! - A call ends within the plugin's `timeout`, its wait in the queue included; one that is given up costs its instance.
//! - A full queue is an answer, not a wait.

pub(super) mod hooks;
mod http;
mod outside;
mod pool;
mod teller;
mod threads;

pub use outside::Outbound;
pub(super) use outside::Outside;
pub(super) use pool::{Missed, Pool};
pub(super) use teller::Teller;
pub(super) use threads::Threads;
