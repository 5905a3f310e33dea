//! HTTP in: `/api/{service}/{method}` becomes an RSocket request, its answer an HTTP response.
//!
//! ```text
//! Authorization ──► identity: who is it ──► Callers: one link in memory for each of them ──► relay ──► application
//! path, query, headers, body ──► Question: one message          ▲
//!   one reply · event stream · NDJSON  ◄── Answer ──────────────┘    a refusal is a Fault: status, RST code, text
//! ```
//!
//! Invariants
//! - to the relay a caller is an ordinary application with the principal of its credentials: rules, plugins, limits
//!   and drain hold as they do for every other, and who is refused over RSocket is refused here
//! - bodies are held within `http.memory`, calls within `http.concurrency`; beyond either the newest is refused
//! - whoever goes away cancels the call; whoever reads slowly is asked for less
//! - payloads are not parsed
//!
//! Looks down at: relay, identity, directory, telemetry. Looked at by: admin, config, server.

mod answer;
mod archived;
mod callers;
mod config;
mod fault;
mod metrics;
mod question;
mod routes;
mod stream;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use routes::{Gateway, Parts};
