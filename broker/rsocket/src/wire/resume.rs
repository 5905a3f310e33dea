//! RESUME and RESUME_OK (spec "Resuming Operation").

use bytes::{BufMut, BytesMut};

use super::{
    header::{Flags, FrameType, Header},
    reader::{DecodeError, Reader},
    setup::Version,
    stream_id::StreamId,
};

/// The first frame of a connection that continues an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    pub version: Version,
    pub token: &'a [u8],
    /// What the client has received from the server, in bytes.
    pub last_received: u64,
    /// The first position the client can still send again.
    pub first_available: u64,
}

impl<'a> Resume<'a> {
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = Version {
            major: reader.u16()?,
            minor: reader.u16()?,
        };
        let token_len = usize::from(reader.u16()?);
        Ok(Self {
            version,
            token: reader.take(token_len)?,
            last_received: reader.u63()?,
            first_available: reader.u63()?,
        })
    }

    pub fn encode(&self, out: &mut BytesMut) {
        let header = Header::new(StreamId::CONNECTION, FrameType::RESUME, Flags::NONE);
        out.put_slice(&header.encode());
        out.put_u16(self.version.major);
        out.put_u16(self.version.minor);
        debug_assert!(self.token.len() <= usize::from(u16::MAX));
        out.put_u16(self.token.len() as u16);
        out.put_slice(self.token);
        out.put_u64(self.last_received);
        out.put_u64(self.first_available);
    }
}

/// The server goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeOk {
    /// What the server has received from the client, in bytes.
    pub last_received: u64,
}

impl ResumeOk {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            last_received: reader.u63()?,
        })
    }

    pub fn encode(&self, out: &mut BytesMut) {
        let header = Header::new(StreamId::CONNECTION, FrameType::RESUME_OK, Flags::NONE);
        out.put_slice(&header.encode());
        out.put_u64(self.last_received);
    }
}
