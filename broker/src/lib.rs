//! Jackfield: a programmable RSocket broker.
//!
//! The rooms, top to bottom. Arrows point down only; rooms on one floor do not know each other.
//! A test (`tests/it/floors.rs`) holds this.
//!
//! ```text
//! main
//! cli                   what the program can be asked to do
//! server                build, run, drain: the only room that knows every room
//! config                file + environment + flags -> each room's checked config
//! admin                 the two HTTP faces: operators; applications and Prometheus
//! builtin               RSocket services the broker itself answers
//! gateway | cluster | scrape
//!                       HTTP in: calls of services | the other brokers, and what clients are told of them |
//!                       what applications measure, read for Prometheus over the connection they hold
//! relay                 links, dispatch, splices: the data plane
//! chain                 which plugin, in what order, what verdict   --> jackfield-plugin-host
//! identity | directory  who is this | who serves what
//! telemetry             logs, metric registry
//! ```

pub mod admin;
pub mod builtin;
pub mod chain;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod directory;
pub mod gateway;
pub mod identity;
pub mod relay;
pub mod scrape;
pub mod server;
pub mod telemetry;
