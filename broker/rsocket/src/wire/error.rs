//! ERROR and its codes (spec "ERROR Frame", "Error Codes").

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::{
    header::{Flags, FrameType, Header},
    reader::{DecodeError, Reader},
    stream_id::StreamId,
};

/// A 32-bit error code. A number, not an enum: application codes travel unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

/// Codes and their names in one place, so that they cannot drift.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The spec's name of the code, if it gives one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    INVALID_SETUP = 0x001,
    UNSUPPORTED_SETUP = 0x002,
    REJECTED_SETUP = 0x003,
    REJECTED_RESUME = 0x004,
    CONNECTION_ERROR = 0x101,
    /// The connection ends after its streams have.
    CONNECTION_CLOSE = 0x102,
    APPLICATION_ERROR = 0x201,
    /// Not processed: safe to send again.
    REJECTED = 0x202,
    /// Given up, and perhaps processed.
    CANCELED = 0x203,
    INVALID = 0x204,
}

impl ErrorCode {
    /// Whether the code may stand in an ERROR of a stream, as opposed to the connection's.
    pub const fn is_for_streams(self) -> bool {
        self.0 >= 0x201 && self.0 != u32::MAX
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:03x})", self.0),
            None => write!(f, "0x{:08x}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An error of a stream, or on stream zero of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    pub code: ErrorCode,
    /// Should be UTF-8; is passed on as it is.
    pub data: &'a [u8],
}

impl<'a> ErrorFrame<'a> {
    pub const fn new(code: ErrorCode, data: &'a [u8]) -> Self {
        Self { code, data }
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            code: ErrorCode(reader.u32()?),
            data: reader.rest(),
        })
    }

    pub fn encode(&self, stream_id: StreamId, out: &mut BytesMut) {
        out.put_slice(&Header::new(stream_id, FrameType::ERROR, Flags::NONE).encode());
        out.put_u32(self.code.0);
        out.put_slice(self.data);
    }
}
