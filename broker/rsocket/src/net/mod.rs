//! Bytes to frames and back: TCP, WebSocket, and memory for parties in one process.
//!
//! ```text
//! uri ─ connect, listener ─> FrameIo ─┬─ stream:     framed (in), outgoing (out), over a socket
//!                                     └─ websocket:  one binary message is one frame
//! ```
//!
//! Invariants
//! - A frame is whole and has at least its six-byte header; the length limit holds before the
//!   body is buffered.
//! - Frames are slices of the buffer they were read into, never copies; an idle connection owns no
//!   buffer.
//! - Writing never waits and never drops: what the socket does not take yet is counted by
//!   [`FrameIo::queued`], and the caller decides how much of that it allows.
//!
//! Looks down at nothing: frames are bytes here. Looked at by: endpoint, and the broker's relay.

mod connect;
mod error;
mod frame_io;
mod framed;
mod listener;
mod outgoing;
mod pool;
mod socket;
mod uri;
mod websocket;

pub use connect::{connect, memory};
pub use error::NetError;
pub use frame_io::{Body, FrameIo, Peer, TransportKind};
pub use listener::{Accepted, Listener};
pub use uri::{Uri, UriError};

/// The largest frame the protocol allows, on any transport.
pub const FRAME_MAX: usize = 0x00FF_FFFF;

/// The smallest: a header and nothing else.
const FRAME_MIN: usize = 6;
