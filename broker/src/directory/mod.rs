//! Who serves what.
//!
//! ```text
//! Directory ── by key ──► Slot (one per service) ──► candidates: Vec<Arc<Instance>>
//!                          its own version, swapped as a whole
//! ```
//!
//! Invariants
//! - Equality of service keys decides; the 32-bit hash only indexes. Ids from the wire that name two
//!   services at once find neither.
//! - Registering touches only the slots of the services registered, and a slot is swapped at most
//!   once per [`COALESCE`] however many instances come and go.
//! - An instance that has gone is never picked, whether or not its slots have been swapped yet.
//! - A holder of a slot may keep it for as long as [`Directory::generation`] stays the same.
//!
//! What a call is delivered to is the `H` of an instance: this room stores it and knows no more of
//! it. Synchronous, never awaits; the lock never leaves `table.rs`.

mod instance;
mod pick;
mod table;
mod views;

pub use instance::{App, Instance, Load, SCRAPE_ONLY};
pub use jackfield_rsocket::metadata::ServicePattern;
pub use pick::{Balance, Endpoint, Pick, pick};
pub use table::{COALESCE, Directory, RegisterError, Registered, Slot};
pub use views::{AppView, ServiceView};
