use std::fmt;

use thiserror::Error;

/// Why a certificate, a key or a list of authorities cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the {part} {fault}")]
pub struct TlsError {
    /// Which of the things that were given is to blame.
    pub part: TlsPart,
    pub fault: TlsFault,
}

/// One of the things TLS is set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    Certificate,
    Key,
    Authorities,
    ServerName,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsFault {
    #[error("cannot be read as PEM: {0}")]
    NotPem(String),
    #[error("holds no certificate in PEM")]
    NoCertificate,
    #[error("holds no private key in PEM, or an encrypted one")]
    NoKey,
    #[error("does not belong to the certificate")]
    Mismatch,
    #[error("cannot be used: {0}")]
    Unusable(String),
}

impl TlsError {
    pub(super) const fn new(part: TlsPart, fault: TlsFault) -> Self {
        Self { part, fault }
    }

    pub(super) fn unusable(part: TlsPart, error: impl fmt::Display) -> Self {
        Self::new(part, TlsFault::Unusable(error.to_string()))
    }
}

impl fmt::Display for TlsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Authorities => "list of authorities",
            Self::ServerName => "server name",
        })
    }
}
