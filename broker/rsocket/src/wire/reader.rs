//! A cursor over borrowed bytes whose every step can fail, and what failing is called.

use thiserror::Error;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A field starts or ends behind the frame's last byte.
    #[error("frame ends {missing} bytes early")]
    Truncated { missing: usize },
    /// The 24-bit metadata length is larger than the rest of the frame.
    #[error("metadata length {length} is larger than the {rest} bytes left in the frame")]
    MetadataLength { length: usize, rest: usize },
    /// A field that must be below 2^31 or 2^63 has its top bit set.
    #[error("reserved top bit is set in {field}")]
    ReservedBit { field: &'static str },
    /// The same as above in a frame that asks to be ignored when it is not understood.
    #[error("ignorable frame is malformed")]
    Ignorable,
}

impl DecodeError {
    /// Whether the frame carried the Ignore flag, so that it is dropped and nothing else happens.
    pub const fn ignorable(self) -> bool {
        matches!(self, Self::Ignorable)
    }

    pub(super) const fn ignored(self) -> Self {
        Self::Ignorable
    }
}

/// Reads from the front of borrowed bytes; never past the end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Everything not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated {
                missing: len - self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated {
                missing: N - self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn u24(&mut self) -> Result<usize, DecodeError> {
        let [a, b, c] = self.array()?;
        Ok(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A 31-bit number; its reserved bit is masked, as in a stream id.
    pub fn u31(&mut self) -> Result<u32, DecodeError> {
        Ok(self.u32()? & 0x7FFF_FFFF)
    }

    /// A 31-bit number in a frame where a set top bit means a broken peer (SETUP's times).
    pub fn u31_strict(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let value = self.u32()?;
        if value >> 31 == 1 {
            Err(DecodeError::ReservedBit { field })
        } else {
            Ok(value)
        }
    }

    /// A 63-bit position.
    pub fn u63(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?) & (u64::MAX >> 1))
    }

    /// The metadata block of a frame that can hold metadata and data: a 24-bit length and the bytes,
    /// only when the M flag says so. M with length zero is metadata that is present and empty.
    pub fn metadata(&mut self, present: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        if !present {
            return Ok(None);
        }
        let length = self.u24()?;
        let rest = self.rest.len();
        if length > rest {
            return Err(DecodeError::MetadataLength { length, rest });
        }
        self.take(length).map(Some)
    }
}
