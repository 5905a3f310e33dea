//! The two HTTP faces: one for applications and Prometheus, one for operators.
//!
//! ```text
//! http    GET /metrics · /health/live · /health/ready        reasons only with the token
//!         GET /metrics/{sd,apps} · /metrics/app/{id}
//! admin   GET /api/v1/{apps,services,plugins,connections,config,log}
//!         GET /api/v1/metrics/targets · /api/v1/metrics/scrape/{id}
//!         POST /api/v1/{log,drain}                            always with the token
//! ```
//!
//! Invariants
//! - both run on one thread of their own: a slow scrape never holds up the data plane
//! - the admin face answers nothing without the token, a Host it knows, and its own Origin
//! - every action, done or refused, is in the audit log; the token is nowhere
//! - connections, header time, body size and answer time are bounded
//!
//! Looks down at: scrape, directory (views), telemetry. Looked at by: server, which hands in [`Handles`].

mod api;
mod faces;
mod guard;
mod handles;
mod health;
mod plugins;
mod reply;
mod scrapes;
mod serve;
mod token;

#[cfg(test)]
mod tests;

pub use faces::{Admin, Faces};
pub use handles::{Handles, Readiness};
pub use plugins::{PluginDeed, PluginLoad};
pub use token::{Token, TokenError};
