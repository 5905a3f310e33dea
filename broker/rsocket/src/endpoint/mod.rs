//! Programs at the ends of a connection: call with a [`Requester`], be called through a [`Handler`].
//!
//! ```text
//! connect ─┐                       ┌─ Requester: calls out, from any task
//!          ├─ one driver task ─────┤
//! serve   ─┘   per connection      └─ Handler:   is called, on the driver's task
//! ```
//!
//! Either end of either kind of connection does both: a program that dialled a broker serves
//! through the very connection it calls through.
//!
//! Invariants
//! - Every queue is bounded: requests wait for room, items are asked for before they are sent,
//!   and a peer that outruns its credit stops being read.
//! - Dropping a call cancels it; dropping the stream of a channel's items half-closes it.
//! - Every call ends: with what the peer said, or with why the connection ended.
//!
//! ```no_run
//! use jackfield_rsocket::endpoint::{ConnectOptions, Message, Responder, connect};
//! use jackfield_rsocket::metadata::CompositeBuilder;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ConnectOptions::app("greeter")
//!     .publish("com.example.Greeter")?
//!     .serve(Responder::new().response(async |_| Ok(Message::new("hello"))));
//! let broker = connect(&"tcp://127.0.0.1:9999".parse()?, options).await?;
//!
//! let route = CompositeBuilder::new().route("com.example.Greeter.greet").finish()?;
//! let reply = broker.request_response(Message::new("").with_metadata(route)).await?;
//! # let _ = reply;
//! # Ok(())
//! # }
//! ```
//!
//! Looks down at: net, engine, metadata, wire. Looked at by: the broker's own services, the command
//! line, tests, and programs of others.

mod call;
mod client;
mod driver;
mod failure;
mod handler;
mod incoming;
mod options;
mod requester;
mod responder;
mod sender;
mod server;
mod shared;

pub use client::{attach, connect};
pub use failure::{CallError, Closed, ConnectError, Failure};
pub use handler::{Handler, Items, Reply};
pub use incoming::{Credit, Incoming};
pub use options::{ConnectOptions, Limits};
pub use requester::Requester;
pub use responder::Responder;
pub use server::{Introduced, accept, serve};

pub use crate::engine::Message;

#[cfg(test)]
mod tests;
