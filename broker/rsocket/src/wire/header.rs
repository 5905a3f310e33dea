//! The six bytes that begin every frame (spec "Frame Header Format").
//!
//! ```text
//!  0                   1                   2                   3
//! |R|                       Stream ID (31)                        |
//! |  Type (6) |    Flags (10)     |
//!             |I|M|F|C|N|0 0 0 0 0|      F: R in SETUP and KEEPALIVE, C: L in SETUP
//! ```

use super::{
    reader::{DecodeError, Reader},
    stream_id::StreamId,
};

/// Bytes in a frame header.
pub const HEADER_LEN: usize = 6;

/// Stream, type and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub stream_id: StreamId,
    pub frame_type: FrameType,
    pub flags: Flags,
}

impl Header {
    pub const fn new(stream_id: StreamId, frame_type: FrameType, flags: Flags) -> Self {
        Self {
            stream_id,
            frame_type,
            flags,
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let stream_id = StreamId::from_wire(reader.u32()?);
        let word = reader.u16()?;
        let frame_type = FrameType((word >> 10) as u8);
        Ok(Self {
            stream_id,
            frame_type,
            flags: Flags(word & 0x3FF),
        })
    }

    /// The header as it goes on the wire.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let id = self.stream_id.get().to_be_bytes();
        let word = (u16::from(self.frame_type.0) << 10 | self.flags.0).to_be_bytes();
        [id[0], id[1], id[2], id[3], word[0], word[1]]
    }
}

/// The six-bit frame type. A number, not an enum: unknown types are met and must be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameType(pub u8);

impl FrameType {
    pub const SETUP: Self = Self(0x01);
    pub const LEASE: Self = Self(0x02);
    pub const KEEPALIVE: Self = Self(0x03);
    pub const REQUEST_RESPONSE: Self = Self(0x04);
    pub const REQUEST_FNF: Self = Self(0x05);
    pub const REQUEST_STREAM: Self = Self(0x06);
    pub const REQUEST_CHANNEL: Self = Self(0x07);
    pub const REQUEST_N: Self = Self(0x08);
    pub const CANCEL: Self = Self(0x09);
    pub const PAYLOAD: Self = Self(0x0A);
    pub const ERROR: Self = Self(0x0B);
    pub const METADATA_PUSH: Self = Self(0x0C);
    pub const RESUME: Self = Self(0x0D);
    pub const RESUME_OK: Self = Self(0x0E);
    pub const EXT: Self = Self(0x3F);
}

/// The ten flag bits. Their meaning depends on the frame type, so some share a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    pub const NONE: Self = Self(0);
    /// Drop the frame if you do not understand it.
    pub const IGNORE: Self = Self(0x200);
    pub const METADATA: Self = Self(0x100);
    /// REQUEST_*, PAYLOAD: more fragments follow.
    pub const FOLLOWS: Self = Self(0x080);
    /// SETUP: a resume token is present.
    pub const RESUME: Self = Self(0x080);
    /// KEEPALIVE: answer me.
    pub const RESPOND: Self = Self(0x080);
    /// REQUEST_CHANNEL, PAYLOAD: this direction is complete.
    pub const COMPLETE: Self = Self(0x040);
    /// SETUP: leases will be honoured.
    pub const LEASE: Self = Self(0x040);
    /// PAYLOAD: there is an item.
    pub const NEXT: Self = Self(0x020);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// `other` when `on`, else nothing: for building flags from conditions.
    #[must_use]
    pub const fn with_if(self, other: Self, on: bool) -> Self {
        if on { self.with(other) } else { self }
    }
}
