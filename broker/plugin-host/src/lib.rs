//! Hosts Jackfield's WebAssembly components. The only package that knows the Wasm runtime.
//!
//! ```text
//! the life of a plugin      bytes -> Outline (what is in it, before anything is compiled)
//!                                 -> compiled in a child process, or taken from the authenticated cache
//!                                 -> Plugin: compiled, linked, its types checked
//!                                 -> Generation: one configured instance per data-plane thread, for hot hooks
//!                                    SlowInstance: one that may wait, for slow hooks
//! the life of an instance   made, configured, called many times; dropped after a trap, a kill or a refusal,
//!                           and made anew before the next call
//! the life of a call        take the thread's instance, arm the deadline, call, put it back
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

mod app;
mod auth;
mod bindings;
mod cache;
mod call;
mod compiler;
mod dice;
mod digest;
mod engine;
mod error;
mod event;
mod fault;
mod generation;
mod imports;
mod instance;
mod kv;
mod lifted;
mod limits;
mod names;
mod outline;
mod plugin;
mod schema;
mod scrape;
mod selection;
mod slow;
mod state;
mod verdict;

pub use app::App;
pub use auth::{Admission, Applicant, Credential, Principal, Rights};
pub use cache::Cache;
pub use call::{Call, Caller, Candidates, Entries, Facts, Interaction, NoFacts};
pub use compiler::{COMPILE_TIME_MAX, CompileLimits, Compiler, compile_as_child};
pub use digest::Digest;
pub use engine::Engine;
pub use error::PluginError;
pub use event::{Event, Happening};
pub use fault::{Fault, Odds, Plan};
pub use generation::{Generation, Outcome};
pub use imports::{
    AsksFor, CallFailure, Counter, Gauge, HostCalls, HttpFailure, HttpRequest, HttpResponse,
    LISTED_MAX, Level, OutgoingCall, ServiceName, Waiting,
};
pub use kv::{Expected, Kv, KvTrouble};
pub use limits::Limits;
pub use outline::{Capability, Hook, Outline, PACKAGE, VERSION};
pub use plugin::Plugin;
pub use scrape::{Asking, Family, FamilyKind, Format, Header, Part, Question, Scrape, Treatment};
pub use selection::{CANDIDATES_MAX, Selection};
pub use slow::SlowInstance;
pub use state::Settings;
pub use verdict::{Decision, Payload, Refusal, Rewrite, SHARES_WHOLE, Share, Verdict};
