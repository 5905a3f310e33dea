//! Programs at the ends of a connection: call with a [`Requester`], be called through a
//! [`Handler`].
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
//! | for | is |
//! |---|---|
//! | calling | [`connect`], [`Requester`], [`Credit`], [`Incoming`] |
//! | many connections as one | [`Pool`] |
//! | being called | [`Responder`] or a [`Handler`], given to [`ConnectOptions::serve`] or [`Server`] |
//! | a lost connection, for new calls | [`ConnectOptions::reconnect`] |
//! | a lost connection, for open calls | [`ConnectOptions::resume`] |
//! | not more than the peer can bear | [`Credit`] for items, [`LeaseOptions`] for requests |
//! | routes, services, tags | [`Message::to`], [`Message::to_service`], [`Message::to_tagged`] |
//! | credentials | [`Message::bearer`], [`Message::simple_auth`], [`ConnectOptions::bearer`] |
//! | who an application is | [`ConnectOptions::app`], [`ConnectOptions::publish`] |
//! | bounds | [`Limits`], [`ServeOptions`], a [`Budget`] that connections share |
//!
//! Invariants
//! - Every queue is bounded: requests wait for room, items are asked for before they are sent,
//!   and a peer that outruns its credit stops being read.
//! - Dropping a call cancels it; dropping the stream of a channel's items half-closes it.
//! - Every call ends: with what the peer said, or with why the connection ended. With
//!   [`ResumeOptions`] that may take as long as their window.
//! - What the user's code panics at fails its own stream with APPLICATION_ERROR.
//! - Nothing the peer sends panics, waits without a bound, or grows without one.
//!
//! # The four interactions
//!
//! Both ends in one process, over memory; [`connect`] and [`Server::listen`] do the same over
//! sockets.
//!
//! ```
//! use futures_util::{StreamExt, TryStreamExt, stream};
//! use jackfield_rsocket::endpoint::{
//!     ConnectOptions, Credit, Failure, Message, Responder, Server, attach,
//! };
//! use jackfield_rsocket::net;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::answering(
//!     Responder::new()
//!         .response(async |request: Message| match request.route() {
//!             Some("greet") => Ok(Message::new(request.data)),
//!             _ => Err(Failure::rejected("no such route")),
//!         })
//!         .stream(|_| stream::iter(["a", "b", "c"]).map(|item| Ok(Message::new(item))))
//!         .channel(|first, rest| {
//!             let rest = rest.map_err(|error| Failure::application(error.to_string()));
//!             stream::iter([Ok(first)]).chain(rest)
//!         })
//!         .fire_and_forget(async |event| println!("{event:?}")),
//! );
//! let (near, far) = net::memory(1 << 20);
//! tokio::spawn(async move { server.accept(far).await });
//! let requester = attach(near, ConnectOptions::new())?;
//!
//! // One there, one back. Dropping the future cancels the call.
//! let reply = requester.request_response(Message::new("Ada").to("greet")?).await?;
//! assert_eq!(reply.data, "Ada");
//!
//! // One there, many back: a `Stream`; two items at a time are asked for. Dropping it cancels.
//! let items = requester.request_stream(Message::new(""), Credit::window(2)).await?;
//! assert_eq!(items.map_ok(|item| item.data).try_collect::<Vec<_>>().await?, ["a", "b", "c"]);
//!
//! // Many there, many back.
//! let rest = stream::iter([Ok(Message::new("2")), Ok(Message::new("3"))]);
//! let echoed = requester.request_channel(Message::new("1"), rest, Credit::default()).await?;
//! assert_eq!(echoed.map_ok(|item| item.data).try_collect::<Vec<_>>().await?, ["1", "2", "3"]);
//!
//! // One there.
//! requester.fire_and_forget(Message::new("event")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # At a broker
//!
//! A program that dials a broker serves through the connection it calls through.
//!
//! ```no_run
//! use jackfield_rsocket::endpoint::{
//!     Backoff, ConnectOptions, Message, Responder, ResumeOptions, connect,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ConnectOptions::app("greeter")
//!     .publish("com.example.Greeter")?
//!     .bearer("eyJhbGc")
//!     .reconnect(Backoff::default())
//!     .resume(ResumeOptions::default())
//!     .serve(Responder::new().response(async |_| Ok(Message::new("hello"))));
//! let broker = connect(&"tcp://127.0.0.1:9999".parse()?, options).await?;
//! let request = Message::new("").to("com.example.Greeter.greet")?;
//! let reply = broker.request_response(request).await?;
//! # let _ = reply;
//! # Ok(())
//! # }
//! ```
//!
//! # Leases
//!
//! Each end says how many requests the other may start, and a caller waits for that or fails.
//!
//! ```
//! use std::time::Duration;
//! use jackfield_rsocket::endpoint::{
//!     ConnectOptions, LeaseOptions, LeasePolicy, Message, Responder, ServeOptions, Server,
//!     WithoutLease, attach,
//! };
//! use jackfield_rsocket::net;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lease = LeaseOptions {
//!     grant: LeasePolicy { requests: 1, ttl: Duration::from_secs(60) },
//!     without: WithoutLease::Fail,
//! };
//! let server = Server::answering(Responder::new().response(async |request| Ok(request)))
//!     .with(ServeOptions { lease: Some(lease), ..Default::default() });
//! let (near, far) = net::memory(1 << 20);
//! tokio::spawn(async move { server.accept(far).await });
//!
//! // A caller that waits, because the first lease is on its way.
//! let waiting = LeaseOptions { without: WithoutLease::Wait, ..lease };
//! let requester = attach(near, ConnectOptions::new().lease(waiting))?;
//! assert_eq!(requester.request_response(Message::new("1")).await?.data, "1");
//! # Ok(())
//! # }
//! ```
//!
//! Looks down at: net, engine, metadata, wire. Looked at by: the broker's own services, the command
//! line, tests, and programs of others.

mod address;
mod backoff;
mod budget;
mod call;
mod client;
mod driver;
mod failure;
mod handler;
mod incoming;
mod opening;
mod options;
mod pool;
mod requester;
mod responder;
mod sender;
mod server;
mod sessions;
mod shared;

pub use backoff::Backoff;
pub use budget::{Budget, Share};
pub use client::{attach, connect, connect_lazily, connect_with};
pub use failure::{CallError, Closed, ConnectError, Failure};
pub use handler::{Handler, Items, Reply};
pub use incoming::{Credit, Incoming};
pub use options::{ConnectOptions, LeaseOptions, Limits, ResumeOptions, WithoutLease};
pub use pool::Pool;
pub use requester::Requester;
pub use responder::Responder;
pub use server::{Introduced, ServeOptions, Server, Verdict, accept, serve};

pub use crate::engine::Message;
pub use crate::engine::lease::LeasePolicy;

#[cfg(test)]
mod tests;
