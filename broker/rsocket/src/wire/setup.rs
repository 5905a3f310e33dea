//! SETUP (spec "SETUP Frame").
//!
//! ```text
//! header (6) | major (16) minor (16) | keepalive ms (31) | lifetime ms (31)
//! | [R: token length (16), token] | length (8), metadata MIME | length (8), data MIME
//! | [M: metadata length (24), metadata] | data
//! ```

use bytes::{BufMut, BytesMut};

use super::{
    header::{Flags, FrameType, Header},
    payload::put_metadata,
    reader::{DecodeError, Reader},
    stream_id::StreamId,
};

/// Protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

impl Version {
    pub const V1_0: Self = Self { major: 1, minor: 0 };
}

/// How a client introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup<'a> {
    pub version: Version,
    pub keepalive_ms: u32,
    pub lifetime_ms: u32,
    /// Present when the client wants to resume; may be empty, which is the engine's to refuse.
    pub resume_token: Option<&'a [u8]>,
    pub lease: bool,
    /// Bytes, because the protocol layer must not interpret MIME types.
    pub metadata_mime: &'a [u8],
    pub data_mime: &'a [u8],
    pub metadata: Option<&'a [u8]>,
    pub data: &'a [u8],
}

impl<'a> Setup<'a> {
    pub(super) fn decode(flags: Flags, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = Version {
            major: reader.u16()?,
            minor: reader.u16()?,
        };
        let keepalive_ms = reader.u31_strict("keepalive interval")?;
        let lifetime_ms = reader.u31_strict("max lifetime")?;
        let resume_token = if flags.contains(Flags::RESUME) {
            let len = usize::from(reader.u16()?);
            Some(reader.take(len)?)
        } else {
            None
        };
        let metadata_mime = Self::mime(reader)?;
        let data_mime = Self::mime(reader)?;
        let metadata = reader.metadata(flags.contains(Flags::METADATA))?;
        Ok(Self {
            version,
            keepalive_ms,
            lifetime_ms,
            resume_token,
            lease: flags.contains(Flags::LEASE),
            metadata_mime,
            data_mime,
            metadata,
            data: reader.rest(),
        })
    }

    fn mime(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(reader.u8()?);
        reader.take(len)
    }

    /// Appends the frame. MIME types are cut at 255 bytes, the most the frame can say.
    pub fn encode(&self, out: &mut BytesMut) {
        let flags = Flags::NONE
            .with_if(Flags::METADATA, self.metadata.is_some())
            .with_if(Flags::RESUME, self.resume_token.is_some())
            .with_if(Flags::LEASE, self.lease);
        out.put_slice(&Header::new(StreamId::CONNECTION, FrameType::SETUP, flags).encode());
        out.put_u16(self.version.major);
        out.put_u16(self.version.minor);
        out.put_u32(self.keepalive_ms);
        out.put_u32(self.lifetime_ms);
        if let Some(token) = self.resume_token {
            debug_assert!(token.len() <= usize::from(u16::MAX));
            out.put_u16(token.len() as u16);
            out.put_slice(token);
        }
        for mime in [self.metadata_mime, self.data_mime] {
            let mime = &mime[..mime.len().min(255)];
            out.put_u8(mime.len() as u8);
            out.put_slice(mime);
        }
        put_metadata(self.metadata, out);
        out.put_slice(self.data);
    }
}
