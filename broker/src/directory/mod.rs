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
//! - Registering touches only the slots of the services registered, and a slot that gains is
//!   swapped at most once per [`COALESCE`] however many instances come and go.
//! - An instance that has gone, or is out of service, is never picked, whether or not its slots have
//!   been swapped yet; a service that it hides loses it at once.
//! - A holder of a slot may keep it until it is retired. Who else might have been found under the same
//!   name changes with [`Directory::generation`] only.
//! - Looking a service up waits for nobody who registers.
//!
//! What a call is delivered to is the `H` of an instance: this room stores it and knows no more of
//! it. Synchronous, never awaits; the lock never leaves `table.rs`.

mod instance;
mod names;
mod pick;
mod slot;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod views;

pub use instance::{App, Client, Instance, Load};
pub use jackfield_rsocket::metadata::ServicePattern;
pub use pick::{Balance, Endpoint, Pick, pick};
pub use slot::Slot;
pub use status::{Ports, Status};
pub use table::{COALESCE, Directory, RegisterError, Registered, SERVICES_MAX};
pub use views::{AppView, ServiceView};
