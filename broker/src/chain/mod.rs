//! Which plugin, in what order, with what verdict.
//!
//! ```text
//! ChainConfig ── Loader ── builds a whole Chain, or changes nothing and says why
//!                  │ swap
//! relay ── Chains::load ── Chain::on_request ── stage after stage ── Decision
//! ```
//!
//! How several plugins make one decision
//! - They are asked in their order (`order`, then name), each only when its `match` fits the route
//!   as it stands then.
//! - The first refusal or answer ends the chain. Rewrites add up: the next plugin sees the
//!   rewritten route.
//! - A split is left to the caller to dice, so that it can be remembered, unless a later plugin
//!   concerns one of its outcomes: then the dice are thrown here, and nothing is remembered.
//! - A plugin that fails (trap, deadline, memory, nonsense) or whose circuit is open is answered
//!   for by its failure policy: `closed` ends the chain with [`Verdict::Failed`], `open` goes on
//!   without it. Neither is remembered.
//!
//! Invariants
//! - A chain never changes; a reload swaps it as a whole. Whoever holds one sees one generation.
//! - Nothing on the request path locks, waits or allocates for plugins that are not asked.
//! - Only a probe, off the data plane, closes an open circuit.
//!
//! Looks down at: `directory` (service patterns, candidates), `identity` (principals), `telemetry` (counters of each
//! thread), `jackfield-plugin-host`. Looked at by: `relay`,
//! `admin`, `server`.

mod builtin;
mod case;
mod chains;
mod circuit;
mod config;
mod decide;
mod disturb;
mod facts;
mod guest_calls;
mod instances;
mod journal;
mod life;
mod loader;
mod metrics;
mod outcome;
mod probe;
mod question;
mod request;
mod signature;
mod slow;
mod slow_hooks;
mod stage;
mod tags;
mod verdict;
mod view;
mod watch;

pub use builtin::{component as builtin_component, names as builtin_names};
pub use chains::Chains;
pub use config::{ChainConfig, FailurePolicy, Mode, PluginConfig, SlowConfig, Source};
pub use decide::{Chain, Failed};
pub use disturb::{Disturbance, Fault, Plans};
pub use facts::CallerFacts;
pub use guest_calls::GuestCalls;
pub use instances::{Instances, shown_app, shown_service};
pub use jackfield_plugin_host::{
    App, Applicant, Asking, AsksFor, COMPILE_TIME_MAX, CallFailure, Caller, Capability, Counter,
    Credential, Digest, Event, Facts, Family, FamilyKind, Format, Gauge, Happening, Header, Hook,
    HostCalls, Interaction, LISTED_MAX, Level, NoFacts, OutgoingCall, Part, Payload, PluginError,
    Principal, Question, Refusal, Rights, Scrape, Selection, ServiceName, Treatment, Waiting,
};
pub use journal::{Journal, Read, shown};
pub use life::{Beside, NewVersion, OperationError, Operations, Override, Trial};
pub use loader::{CompileWith, LoadError, LoadErrors, Loader};
pub use request::Request;
pub use signature::{Component, is_public_key};
pub use slow::Outbound;
pub use slow_hooks::{Admitted, Collector};
pub use verdict::{Decision, Rewrite, Split, Verdict};
pub use view::{PluginState, PluginView, TrialView};
pub use watch::Watcher;
