use std::io;

use thiserror::Error;

use super::{TlsError, UriError};

/// Why a connection could not be opened, or ended badly.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetError {
    #[error("the peer sent a frame of {len} bytes, at most {max} are allowed")]
    FrameTooLong { len: usize, max: usize },
    #[error("the peer sent a frame of {len} bytes, a header alone has 6")]
    FrameTooShort { len: usize },
    /// The peer closed in the middle of a frame.
    #[error("the connection ended inside a frame")]
    Truncated,
    #[error("the peer sent a WebSocket text message, frames are binary")]
    TextMessage,
    #[error("WebSocket fault")]
    WebSocket(#[source] Box<tungstenite::Error>),
    #[error("TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The authorities or certificates that were given cannot be used.
    #[error(transparent)]
    TlsSettings(#[from] TlsError),
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Uri(#[from] UriError),
}
