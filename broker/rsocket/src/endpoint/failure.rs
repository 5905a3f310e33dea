use std::sync::Arc;

use thiserror::Error;

use crate::metadata::MetadataError;
use crate::net::NetError;
use crate::wire::ErrorCode;

/// An ERROR on one stream: what a handler answers with, and what a caller is told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {text}")]
pub struct Failure {
    pub code: ErrorCode,
    pub text: String,
}

impl Failure {
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// The application itself failed.
    pub fn application(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::APPLICATION_ERROR, text)
    }

    /// The request was not processed and may be sent again.
    pub fn rejected(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::REJECTED, text)
    }

    /// The request makes no sense here.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID, text)
    }

    pub(super) fn from_wire(code: ErrorCode, data: &[u8]) -> Self {
        Self::new(code, String::from_utf8_lossy(data))
    }
}

/// Why a call did not succeed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The peer said so, or a source of ours failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The request was not sent: the connection takes no more for now, or ever.
    #[error("the request was not sent: {0}")]
    Unavailable(&'static str),
    #[error("the peer sent a message over the limit of {limit} bytes")]
    TooLarge { limit: usize },
    /// The message would not fit into [`ConnectOptions::memory`](super::ConnectOptions::memory).
    #[error("there is no room for the message")]
    Full,
    #[error("the peer began a message and did not finish it in time")]
    Unfinished,
    /// The request was not sent: the peer's lease does not cover it.
    #[error("the peer's lease covers no request")]
    NoLease,
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why a connection ended.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Closed {
    #[error("the connection was closed on this side")]
    Local,
    #[error("the peer closed the connection")]
    Peer,
    /// The peer gave a reason, such as a refused SETUP.
    #[error("the peer ended the connection: {0}")]
    Error(Failure),
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    #[error("nothing was heard from the peer for its lifetime")]
    Silent,
    #[error("the peer takes nothing off its socket")]
    Stalled,
    /// It was a client's way back to a session, which goes on over it.
    #[error("the connection was handed over to its session")]
    Resumed,
    /// A session was not resumed within its window.
    #[error("the connection was lost and did not come back in time")]
    Expired,
    #[error("the connection failed")]
    Net(#[source] Arc<NetError>),
}

impl Closed {
    /// Whether only the transport ended, so that a session may go on over another.
    pub(super) const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Peer | Self::Silent | Self::Stalled | Self::Net(_)
        )
    }

    /// Whether dialling again may help.
    pub(super) const fn may_redial(&self) -> bool {
        match self {
            Self::Error(failure) => !matches!(
                failure.code,
                ErrorCode::INVALID_SETUP | ErrorCode::UNSUPPORTED_SETUP | ErrorCode::REJECTED_SETUP
            ),
            Self::Expired => true,
            Self::Local | Self::Resumed | Self::Violation(_) => false,
            _ => self.is_loss(),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the metadata of SETUP cannot be written")]
    Metadata(#[from] MetadataError),
    #[error("no address was given")]
    Nowhere,
    #[error("the system gives no random bytes for a resume token")]
    Random,
}
