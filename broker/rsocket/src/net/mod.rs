//! Bytes to frames and back: TCP, Unix sockets, WebSocket, TLS under the first and the last, and
//! memory for parties in one process.
//!
//! ```text
//! uri ─ connect, listener ─> FrameIo ─┬─ stream:     framed (in), outgoing (out) ─┬─ channel: socket,
//!                                     └─ websocket:  one message is one frame ────┘  or TLS over one
//! ```
//!
//! Invariants
//! - A frame is whole and has at least its six-byte header; the length limit holds before the
//!   body is buffered.
//! - Frames are slices of the buffer they were read into, never copies; an idle connection owns no
//!   buffer.
//! - Writing never waits and never drops: what the socket does not take yet is counted by
//!   [`FrameIo::queued`], and the caller decides how much of that it allows.
//! - Accepting waits for nobody: every handshake belongs to whoever opens the connection.
//!
//! Looks down at nothing: frames are bytes here. Looked at by: endpoint, and the broker's relay.

mod channel;
mod connect;
mod error;
mod frame_io;
mod framed;
mod listener;
mod options;
mod outgoing;
mod pool;
mod read_buffer;
mod socket;
mod tls;
mod turn;
mod unix;
mod uri;
mod websocket;

pub use connect::{connect, connect_with, memory, memory_bytes};
pub use error::NetError;
pub use frame_io::{Body, FrameIo, Peer, TransportKind};
pub use listener::{Accepted, Listener};
pub use options::{DialOptions, ListenOptions, SocketOptions, TcpProbes};
pub use tls::{
    AltName, ClientAuth, TlsClient, TlsClientOptions, TlsError, TlsFault, TlsIdentity, TlsMaterial,
    TlsPart, TlsServer,
};
pub use turn::wake_behind_others;
pub use uri::{Uri, UriError};

/// The largest frame the protocol allows, on any transport.
pub const FRAME_MAX: usize = 0x00FF_FFFF;

/// The smallest: a header and nothing else.
const FRAME_MIN: usize = 6;
