//! PAYLOAD (spec "PAYLOAD Frame").

use bytes::{BufMut, BytesMut};

use super::{
    header::{Flags, FrameType, Header},
    reader::{DecodeError, Reader},
    stream_id::StreamId,
};

/// An item, a fragment of one, the end of a direction, or an item and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    pub follows: bool,
    pub complete: bool,
    pub next: bool,
    pub metadata: Option<&'a [u8]>,
    pub data: &'a [u8],
}

impl<'a> Payload<'a> {
    pub(super) fn decode(flags: Flags, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let metadata = reader.metadata(flags.contains(Flags::METADATA))?;
        Ok(Self {
            follows: flags.contains(Flags::FOLLOWS),
            complete: flags.contains(Flags::COMPLETE),
            next: flags.contains(Flags::NEXT),
            metadata,
            data: reader.rest(),
        })
    }

    pub fn encode(&self, stream_id: StreamId, out: &mut BytesMut) {
        let flags = Flags::NONE
            .with_if(Flags::METADATA, self.metadata.is_some())
            .with_if(Flags::FOLLOWS, self.follows)
            .with_if(Flags::COMPLETE, self.complete)
            .with_if(Flags::NEXT, self.next);
        out.put_slice(&Header::new(stream_id, FrameType::PAYLOAD, flags).encode());
        put_metadata(self.metadata, out);
        out.put_slice(self.data);
    }
}

/// The metadata block: nothing when absent, else its 24-bit length and the bytes. The caller keeps
/// metadata below 2^24, as it must for the frame to be legal.
pub(super) fn put_metadata(metadata: Option<&[u8]>, out: &mut BytesMut) {
    if let Some(metadata) = metadata {
        debug_assert!(metadata.len() <= super::FRAME_LEN_MAX);
        out.put_uint(metadata.len() as u64, 3);
        out.put_slice(metadata);
    }
}
