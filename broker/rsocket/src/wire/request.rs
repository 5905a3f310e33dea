//! The four requests, REQUEST_N and CANCEL (spec "Frame Types").

use bytes::{BufMut, BytesMut};

use super::{
    header::{Flags, FrameType, Header},
    payload::put_metadata,
    reader::{DecodeError, Reader},
    stream_id::StreamId,
};

/// The interaction model: a value in a stream's state, not a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interaction {
    Response,
    FireAndForget,
    Stream,
    Channel,
}

impl Interaction {
    pub const ALL: [Self; 4] = [
        Self::Response,
        Self::FireAndForget,
        Self::Stream,
        Self::Channel,
    ];

    pub const fn frame_type(self) -> FrameType {
        match self {
            Self::Response => FrameType::REQUEST_RESPONSE,
            Self::FireAndForget => FrameType::REQUEST_FNF,
            Self::Stream => FrameType::REQUEST_STREAM,
            Self::Channel => FrameType::REQUEST_CHANNEL,
        }
    }

    /// Whether the request carries an initial credit.
    pub const fn has_credit(self) -> bool {
        matches!(self, Self::Stream | Self::Channel)
    }

    /// The name used in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "request_response",
            Self::FireAndForget => "fire_and_forget",
            Self::Stream => "request_stream",
            Self::Channel => "request_channel",
        }
    }
}

/// REQUEST_RESPONSE, REQUEST_FNF, REQUEST_STREAM or REQUEST_CHANNEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub interaction: Interaction,
    /// Streams and channels only; zero is kept for the engine to judge.
    pub initial_n: u32,
    /// More fragments follow.
    pub follows: bool,
    /// Channels only: the requester's direction is complete already.
    pub complete: bool,
    pub metadata: Option<&'a [u8]>,
    pub data: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn decode(
        interaction: Interaction,
        flags: Flags,
        reader: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let initial_n = if interaction.has_credit() {
            reader.u31()?
        } else {
            0
        };
        let metadata = reader.metadata(flags.contains(Flags::METADATA))?;
        Ok(Self {
            interaction,
            initial_n,
            follows: flags.contains(Flags::FOLLOWS),
            complete: interaction == Interaction::Channel && flags.contains(Flags::COMPLETE),
            metadata,
            data: reader.rest(),
        })
    }

    pub fn encode(&self, stream_id: StreamId, out: &mut BytesMut) {
        let flags = Flags::NONE
            .with_if(Flags::METADATA, self.metadata.is_some())
            .with_if(Flags::FOLLOWS, self.follows)
            .with_if(Flags::COMPLETE, self.complete);
        out.put_slice(&Header::new(stream_id, self.interaction.frame_type(), flags).encode());
        if self.interaction.has_credit() {
            out.put_u32(self.initial_n);
        }
        put_metadata(self.metadata, out);
        out.put_slice(self.data);
    }
}

/// A whole REQUEST_N frame.
pub fn request_n(stream_id: StreamId, n: u32) -> [u8; 10] {
    let mut frame = [0; 10];
    let header = Header::new(stream_id, FrameType::REQUEST_N, Flags::NONE).encode();
    frame[..6].copy_from_slice(&header);
    frame[6..].copy_from_slice(&(n & 0x7FFF_FFFF).to_be_bytes());
    frame
}

/// A whole CANCEL frame.
pub fn cancel(stream_id: StreamId) -> [u8; 6] {
    Header::new(stream_id, FrameType::CANCEL, Flags::NONE).encode()
}
