//! What frames mean for one connection: which streams are open, who may still send what, when the
//! peer counts as gone.
//!
//! [`Connection`] is a value without sockets and without a clock. Its owner drives it:
//!
//! 1. [`judge_first`] judges the first frame of an accepted connection, before there is a
//!    `Connection`: a SETUP, a RESUME, or a refusal.
//! 2. [`Connection::handle`] takes each later frame and returns one [`Event`] to act on.
//! 3. Commands (`accept`, `open`, `sent`, `forget`) tell it what the owner sends.
//! 4. [`Connection::next_timeout`] and [`Connection::handle_timeout`] drive keepalive.
//!
//! Beside it stand values for what not every connection has: [`resume::Session`] for streams that
//! outlive their transport, [`lease::Permits`] and [`lease::Grant`] for leases. They are the
//! owner's to ask: a `Connection` says what a frame means, and only they say whether it may be.
//!
//! `S` is what the owner hangs on each stream: the relay a splice, an endpoint a call.
//!
//! What a peer may not do (spec "Handling the Unexpected"; the numbers are of the conformance
//! list):
//!
//! | frame | answer |
//! |---|---|
//! | on an unknown or finished stream | ignored (68, 125) |
//! | request on stream 0 / with an id in use | ignored (56, 54) |
//! | request with an id of the wrong side | CONNECTION_ERROR (55) |
//! | initial n = 0 | ERROR\[INVALID\] on the stream (65) |
//! | REQUEST_N 0 | ignored (66) |
//! | PAYLOAD after its direction ended, or with neither N nor C | ignored (82, 84) |
//! | second SETUP, LEASE without lease, RESUME_OK | ignored (33, 105) |
//! | request without a lease | ERROR\[REJECTED\], a fire-and-forget is dropped (99) |
//! | KEEPALIVE that acknowledges more than was sent | CONNECTION_ERROR (48) |
//! | RESUME after SETUP | CONNECTION_ERROR (34) |
//! | KEEPALIVE, LEASE, METADATA_PUSH on a stream | ignored (46, 105, 122) |
//! | unknown type or EXT with / without I | ignored / CONNECTION_ERROR (123, 124) |

mod connection;
mod fragment;
mod handshake;
mod keepalive;
pub mod lease;
pub mod resume;
mod stream;

pub use connection::{Connection, Event, Exhausted, Owner, Terms, Violation};
pub use fragment::{Assembler, Message, TooLarge, fragments};
pub use handshake::{First, Offer, judge_first};
pub use keepalive::{KeepaliveTimer, Timeout};
pub use stream::{Opener, Part, Sent};

#[cfg(test)]
mod tests;
