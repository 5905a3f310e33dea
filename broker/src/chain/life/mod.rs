//! What operators do to plugins while the broker runs, and what is kept of it.
//!
//! ```text
//! configuration ──┐
//! Overrides ──────┴─> Loader builds a chain, or nothing changes ─> kept on disk ─> swapped in
//! ```
//!
//! Invariants
//! - An operation is a change of the overrides, tried as a whole: when the chain that follows from it cannot be built,
//!   neither disk nor chain have changed.
//! - Every component that was ever live is kept by digest, up to [`KEPT_MAX`] for each plugin, so that going back needs
//!   no file that an operator may have replaced.
//! - `reset` leaves nothing of an override: the configuration holds again.

mod components;
mod operations;
mod overrides;

pub(super) use components::Components;
pub use operations::{Beside, NewVersion, OperationError, Operations};
pub use overrides::{Override, Trial};
pub(super) use overrides::{Overrides, OverridesError};

/// Components kept for each plugin.
const KEPT_MAX: usize = 8;
