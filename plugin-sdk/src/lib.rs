//! Write a Jackfield plugin in Rust: settings by serde, one trait per hook, one macro.
//!
//! ```
//! use jackfield_plugin_sdk::{Decision, Plugin, Request, RoutingFilter, plugin};
//!
//! /// Refuses one app.
//! struct Bouncer {
//!     app: String,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Settings {
//!     app: String,
//! }
//!
//! impl Plugin for Bouncer {
//!     type Settings = Settings;
//!
//!     fn configure(settings: Settings) -> Result<Self, String> {
//!         Ok(Self { app: settings.app })
//!     }
//! }
//!
//! impl RoutingFilter for Bouncer {
//!     fn on_request(&self, request: &Request<'_>) -> Decision {
//!         if request.app() == self.app {
//!             return Decision::refuse(0x202, "not tonight").remember();
//!         }
//!         Decision::pass().remember()
//!     }
//! }
//!
//! plugin!(Bouncer: RoutingFilter);
//!
//! // Tests need no broker and no Wasm:
//! use jackfield_plugin_sdk::testing::{TestRequest, configured};
//! let bouncer = configured::<Bouncer>(r#"{"app": "spammer"}"#).unwrap();
//! let request = TestRequest::new("com.example.User", "find");
//! assert!(request.clone().app("spammer").ask(&bouncer).is_refusal());
//! assert_eq!(request.app("shop").ask(&bouncer), Decision::pass().remember());
//! ```
//!
//! Build it with `jackfield plugin build`. What a plugin imports follows from what it calls: one
//! that never logs needs no grant for `log`.

mod bindings;
mod candidates;
mod decision;
mod hooks;
mod macros;
mod plan;
mod request;
pub mod testing;

pub mod auth;
pub mod call;
pub mod clock;
pub mod directory;
pub mod events;
pub mod http;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod names;
pub mod random;
pub mod scrape;

pub use bindings::shared::jackfield::plugin::apps::{App, Service};
pub use candidates::{Candidates, Selection};
pub use decision::{Decision, Payload, Refusal, Rewrite, Share, Verdict};
pub use hooks::{
    Authenticator, Chaos, EndpointSelector, Events, MetricsCollector, Plugin, RoutingFilter,
};
pub use plan::{Cutting, Fault, Odds, Plan};
pub use request::{Interaction, Key, Request};

/// What `plugin!` expands to. Not for plugins.
#[doc(hidden)]
pub mod expansion {
    pub use crate::{
        bindings::{
            authenticator, chaos, endpoint_selector, events, lifecycle, metrics_collector,
            routing_filter,
        },
        candidates::guest_candidates,
        request::guest_request,
    };

    /// The settings, or a message that names what is wrong with them.
    pub fn settings<T: super::Plugin>(json: &str) -> Result<T, String> {
        serde_json::from_str(json)
            .map_err(|error| error.to_string())
            .and_then(T::configure)
    }
}
