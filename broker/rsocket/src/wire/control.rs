//! KEEPALIVE, LEASE, METADATA_PUSH and EXT (spec sections of the same names).

use bytes::{BufMut, BytesMut};

use super::{
    header::{Flags, FrameType, Header},
    reader::{DecodeError, Reader},
    stream_id::StreamId,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive<'a> {
    /// The sender wants an answer with the same data.
    pub respond: bool,
    /// Last received position; zero when the sender does not resume.
    pub position: u64,
    pub data: &'a [u8],
}

impl<'a> Keepalive<'a> {
    pub(super) fn decode(flags: Flags, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let position = reader.u63()?;
        Ok(Self {
            respond: flags.contains(Flags::RESPOND),
            position,
            data: reader.rest(),
        })
    }

    pub fn encode(&self, out: &mut BytesMut) {
        let flags = Flags::NONE.with_if(Flags::RESPOND, self.respond);
        out.put_slice(&Header::new(StreamId::CONNECTION, FrameType::KEEPALIVE, flags).encode());
        out.put_u64(self.position);
        out.put_slice(self.data);
    }
}

/// The right to start a number of requests within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease<'a> {
    pub ttl_ms: u32,
    pub requests: u32,
    pub metadata: Option<&'a [u8]>,
}

impl<'a> Lease<'a> {
    pub(super) fn decode(flags: Flags, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let ttl_ms = reader.u31()?;
        let requests = reader.u31()?;
        let metadata = flags.contains(Flags::METADATA).then(|| reader.rest());
        Ok(Self {
            ttl_ms,
            requests,
            metadata,
        })
    }

    pub fn encode(&self, out: &mut BytesMut) {
        let flags = Flags::NONE.with_if(Flags::METADATA, self.metadata.is_some());
        out.put_slice(&Header::new(StreamId::CONNECTION, FrameType::LEASE, flags).encode());
        out.put_u32(self.ttl_ms);
        out.put_u32(self.requests);
        out.put_slice(self.metadata.unwrap_or_default());
    }
}

/// Metadata for the whole connection. Its M flag is drawn as fixed one, but JavaScript's 0.0.x
/// clients send zero, so it is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataPush<'a> {
    pub metadata: &'a [u8],
}

impl<'a> MetadataPush<'a> {
    pub(super) const fn decode(reader: &Reader<'a>) -> Self {
        Self {
            metadata: reader.rest(),
        }
    }

    pub fn encode(&self, out: &mut BytesMut) {
        let header = Header::new(
            StreamId::CONNECTION,
            FrameType::METADATA_PUSH,
            Flags::METADATA,
        )
        .encode();
        out.put_slice(&header);
        out.put_slice(self.metadata);
    }
}

/// An extension frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ext<'a> {
    pub extended_type: u32,
    pub metadata: Option<&'a [u8]>,
    pub data: &'a [u8],
}

impl<'a> Ext<'a> {
    pub(super) fn decode(flags: Flags, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let extended_type = reader.u31()?;
        let metadata = reader.metadata(flags.contains(Flags::METADATA))?;
        Ok(Self {
            extended_type,
            metadata,
            data: reader.rest(),
        })
    }
}
