//! The two HTTP faces: one for applications and Prometheus, one for operators.
//!
//! ```text
//! http    GET /metrics · /health/live · /health/ready        reasons only with a token
//!         GET /metrics/{sd,apps} · /metrics/app/{id}
//!         what the gateway serves: /api/{service}/{method} and the archived broker's paths
//! admin   /api/v1/...: `routes` of `api`, `plugins`, `push`, `events`, `scrapes`; /api/v1/openapi.json is written from them
//! ```
//!
//! Invariants
//! - each runs on a thread of its own: neither holds up the other, or the data plane
//! - the admin face answers nothing without a token that has the route's role, a Host it knows, and its own Origin
//! - every action, done or refused, is in the audit log; tokens are nowhere
//! - connections, header time, body size and answer time are bounded
//!
//! Looks down at: gateway (its routes), cluster (what may be pushed), scrape, chain (the journal), directory (views),
//! telemetry. Looked at by: server, which hands in [`Handles`].

mod accept;
mod api;
mod audit;
mod calls;
mod events;
mod faces;
mod guard;
mod handles;
mod health;
mod hosts;
mod openapi;
mod operators;
mod plugins;
mod push;
mod reply;
mod route;
mod scrapes;
mod serve;
mod token;

#[cfg(test)]
mod tests;

pub use audit::Audit;
pub use faces::{Admin, Faces};
pub use handles::{Handles, Readiness};
pub use operators::{Operators, Role, SameToken};
pub use plugins::{DEED_TIMEOUT, PluginDeed, PluginLoad};
pub use push::{Audience, Pushed};
pub(crate) use token::write_private;
pub use token::{Token, TokenError};
