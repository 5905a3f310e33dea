//! What is on the wire: RSocket 1.0 frames as views over bytes that somebody else owns.
//!
//! [`Frame::decode`] checks everything the protocol lets a receiver check about one frame (minimum
//! length, metadata bound, field ranges that are not policy) and returns typed, borrowed views. The
//! `encode` functions append whole frames, without the three-byte length of stream transports.
//!
//! Invariants
//! - decoding never panics, whatever the bytes are
//! - the reserved top bit of a stream id is masked when read and zero when written
//! - undefined flag bits are ignored (spec "Frame Header Format")
//!
//! Knows nothing of connections, time or sockets. Looked at by everyone.

mod control;
mod error;
mod header;
mod payload;
mod reader;
mod request;
mod resume;
mod setup;
mod stream_id;

pub use control::{Ext, Keepalive, Lease, MetadataPush};
pub use error::{ErrorCode, ErrorFrame};
pub use header::{Flags, FrameType, HEADER_LEN, Header};
pub use payload::Payload;
pub use reader::{DecodeError, Reader};
pub use request::{Interaction, Request, cancel, request_n};
pub use resume::{Resume, ResumeOk};
pub use setup::{Setup, Version};
pub use stream_id::{Side, StreamId};

/// The longest frame on every transport (spec "Framing Protocol": a 24-bit length).
pub const FRAME_LEN_MAX: usize = 0xFF_FFFF;

/// One frame, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub header: Header,
    pub body: Body<'a>,
}

/// What a frame says beyond its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    Setup(Setup<'a>),
    Lease(Lease<'a>),
    Keepalive(Keepalive<'a>),
    Request(Request<'a>),
    /// The credit granted. Zero is kept: what to do about it is the engine's decision.
    RequestN(u32),
    Cancel,
    Payload(Payload<'a>),
    Error(ErrorFrame<'a>),
    MetadataPush(MetadataPush<'a>),
    Resume(Resume<'a>),
    ResumeOk(ResumeOk),
    Ext(Ext<'a>),
    /// A type number RSocket 1.0 does not define.
    Unknown(u8),
}

impl<'a> Frame<'a> {
    /// Reads one whole frame, without a transport's length prefix.
    ///
    /// An error that says [`DecodeError::ignorable`] concerns a frame with the Ignore flag: it is to
    /// be dropped. Any other ends the connection.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = Header::decode(&mut reader)?;
        let body = Self::body(header, reader).map_err(|error| {
            if header.flags.contains(Flags::IGNORE) {
                error.ignored()
            } else {
                error
            }
        })?;
        Ok(Self { header, body })
    }

    fn body(header: Header, mut reader: Reader<'a>) -> Result<Body<'a>, DecodeError> {
        let flags = header.flags;
        Ok(match header.frame_type {
            FrameType::SETUP => Body::Setup(Setup::decode(flags, &mut reader)?),
            FrameType::LEASE => Body::Lease(Lease::decode(flags, &mut reader)?),
            FrameType::KEEPALIVE => Body::Keepalive(Keepalive::decode(flags, &mut reader)?),
            FrameType::REQUEST_RESPONSE => Self::request(Interaction::Response, flags, reader)?,
            FrameType::REQUEST_FNF => Self::request(Interaction::FireAndForget, flags, reader)?,
            FrameType::REQUEST_STREAM => Self::request(Interaction::Stream, flags, reader)?,
            FrameType::REQUEST_CHANNEL => Self::request(Interaction::Channel, flags, reader)?,
            FrameType::REQUEST_N => Body::RequestN(reader.u31()?),
            FrameType::CANCEL => Body::Cancel,
            FrameType::PAYLOAD => Body::Payload(Payload::decode(flags, &mut reader)?),
            FrameType::ERROR => Body::Error(ErrorFrame::decode(&mut reader)?),
            FrameType::METADATA_PUSH => Body::MetadataPush(MetadataPush::decode(&reader)),
            FrameType::RESUME => Body::Resume(Resume::decode(&mut reader)?),
            FrameType::RESUME_OK => Body::ResumeOk(ResumeOk::decode(&mut reader)?),
            FrameType::EXT => Body::Ext(Ext::decode(flags, &mut reader)?),
            other => Body::Unknown(other.0),
        })
    }

    fn request(
        interaction: Interaction,
        flags: Flags,
        mut reader: Reader<'a>,
    ) -> Result<Body<'a>, DecodeError> {
        Ok(Body::Request(Request::decode(
            interaction,
            flags,
            &mut reader,
        )?))
    }
}

#[cfg(test)]
mod tests;
