//! Hosts Jackfield's WebAssembly components. The only package that knows the Wasm runtime.
//!
//! ```text
//! the life of a plugin      bytes -> Outline (what is in it, before anything is compiled)
//!                                 -> compiled in a child process, or taken from the authenticated cache
//!                                 -> Plugin: compiled, linked, its types checked
//!                                 -> Generation: one configured instance per data-plane thread
//! the life of an instance   made, configured, called many times; dropped after a trap, a kill or a refusal,
//!                           and made anew before the next call
//! the life of a call        take the instance out of its cell, arm the deadline, call, put it back
//! ```
//!
//! Floors: plugin -> instance -> engine -> bindings -> `wit/`.
//!
//! Invariants
//! - A guest gets no import that the host did not offer and the operator did not grant; both are refused by name before
//!   anything is compiled.
//! - No guest code runs without a deadline, counted in its own CPU time, and a memory limit.
//! - After any failure inside a guest its instance is gone: nothing half-changed is ever called again.
//! - Compiled code is loaded only when this host can prove that it wrote it.
//! - What a guest returns is checked before anyone acts on it.

mod bindings;
mod cache;
mod call;
mod compiler;
mod digest;
mod engine;
mod error;
mod generation;
mod imports;
mod instance;
mod limits;
mod names;
mod outline;
mod plugin;
mod verdict;

pub use cache::Cache;
pub use call::{Call, Interaction, Tags};
pub use compiler::{CompileLimits, Compiler, compile_as_child};
pub use digest::Digest;
pub use engine::Engine;
pub use error::PluginError;
pub use generation::{Generation, Outcome, Settings};
pub use imports::{Counter, Gauge, HostCalls, Level};
pub use instance::Limits;
pub use outline::{Capability, Hook, Outline, PACKAGE, VERSION};
pub use plugin::Plugin;
pub use verdict::{Decision, Payload, Refusal, Rewrite, SHARES_WHOLE, Share, Verdict};
