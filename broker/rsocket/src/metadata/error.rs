use thiserror::Error;

/// Why a metadata block could not be read or built.
///
/// A fault in a request's metadata fails that request, never the connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// The bytes end inside the named field.
    #[error("metadata ends inside the {0}")]
    Truncated(&'static str),
    #[error("bytes left over after the {0}")]
    Trailing(&'static str),
    #[error("the {0} is not UTF-8 text")]
    NotUtf8(&'static str),
    #[error("a MIME type is not ASCII text")]
    NotAscii,
    #[error("the {what} is {len} bytes long, at most {max} fit")]
    TooLong {
        what: &'static str,
        len: usize,
        max: usize,
    },
    #[error("more than {max} entries stand before the routing entries are complete")]
    TooManyEntries { max: usize },
    #[error("the {0} is empty")]
    Empty(&'static str),
    #[error("the {what} is not the expected JSON: {reason}")]
    Json { what: &'static str, reason: String },
    /// A name that, written as `[group!]service[:version]`, would not read back as itself.
    #[error("{0:?} is not a service name: it must read as [group!]service[:version]")]
    ServiceName(String),
    #[error("the metadata has no routing entry to rewrite")]
    NoRouting,
}

impl MetadataError {
    /// Wraps a JSON fault; the text may quote the peer's bytes, so it is kept short.
    pub(super) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        let reason = error.to_string().chars().take(160).collect();
        Self::Json { what, reason }
    }
}
