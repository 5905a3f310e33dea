//! Resumption: streams that outlive their transport (spec "Resuming Operation").
//!
//! Both ends count the bytes of the frames that matter, keep what they sent until the other end
//! says that it has it, and after a new transport send again what was lost. [`Session`] is all of
//! that for one end; its owner tells it each frame it sends and receives, in the order of the wire.
//!
//! ```text
//!        0        first_available            position
//! sent   ├─ gone ─┼── kept in the ReplayBuffer ─┤        frames of ours, in bytes
//!                 ▲ acknowledged by KEEPALIVE, or given up because the buffer is full
//! ```
//!
//! What the positions count, and what the spec leaves open (protocol sheet, section 8):
//!
//! - whole frames with their header and without the three-byte length of stream transports, each
//!   fragment for itself, and only the types of [`counts`]
//! - REQUEST_N is sent again like everything else that counts
//! - EXT and ERROR on stream zero do not count; we send no EXT, and after that ERROR there is
//!   nothing to resume
//! - position zero in a KEEPALIVE says nothing, and neither does one below an earlier one
//! - a wrong version in RESUME is no reason to refuse a token that is known
//!
//! Invariants
//! - a position is accepted only where a frame begins or at the end, so nothing is sent in halves
//! - what is kept is bounded in bytes, counted as the memory it holds on to

mod replay;
mod session;
mod token;

pub use replay::{Kept, ReplayBuffer, ResumeError};
pub use session::{Session, TOKEN_IN_USE, UNKNOWN_TOKEN};
pub use token::{TOKEN_LEN_MAX, TOKEN_LEN_MIN, Token};

use crate::wire::{FrameType, HEADER_LEN, Header, Reader};

/// Whether a frame advances the position: one of a stream, and of a type that is sent again.
pub const fn counts(header: &Header) -> bool {
    !header.stream_id.is_connection()
        && matches!(
            header.frame_type,
            FrameType::REQUEST_RESPONSE
                | FrameType::REQUEST_FNF
                | FrameType::REQUEST_STREAM
                | FrameType::REQUEST_CHANNEL
                | FrameType::REQUEST_N
                | FrameType::CANCEL
                | FrameType::ERROR
                | FrameType::PAYLOAD
        )
}

/// The same of bytes. Only the header is looked at: a frame that is dropped because its body makes
/// no sense was sent nevertheless, and its sender has counted it.
pub(super) fn bytes_count(frame: &[u8]) -> bool {
    frame.len() >= HEADER_LEN
        && Header::decode(&mut Reader::new(frame)).is_ok_and(|header| counts(&header))
}

#[cfg(test)]
mod tests;
