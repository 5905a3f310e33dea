//! RSocket 1.0 for Rust: codec, protocol engine, transports, client and server.
//!
//! ```text
//! endpoint   a program at the end of a connection: connect, serve, the four interactions
//! net        bytes <-> frames over TCP, WebSocket, memory
//! engine     what frames mean: streams, credit, keepalive; no sockets, time is an argument
//! metadata   composite metadata and the extensions in it
//! wire       frames as typed views over bytes
//! ```
//!
//! Arrows point down only. `wire`, `metadata` and `engine` do no I/O and hold no clock; `net` and
//! `endpoint` sit behind the feature `net`.

#[cfg(feature = "net")]
pub mod endpoint;
pub mod engine;
pub mod metadata;
#[cfg(feature = "net")]
pub mod net;
pub mod wire;

/// The example of the README is compiled and run.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
