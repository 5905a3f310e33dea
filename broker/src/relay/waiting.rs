//! A request whose metadata is still arriving in fragments: held until it is whole, with a bound on
//! bytes, fragments and time (DESIGN 2.1, protocol sheet 3.5).

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{
    item::{Part, RequestPart},
    refusal::Refusal,
};

const BYTES_MAX: usize = 64 * 1024;
const FRAGMENTS_MAX: usize = 16;
/// How long the metadata may take.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestPart,
    pub(super) deadline: Instant,
    /// Fragments behind the request, untouched.
    pub(super) fragments: Vec<Part>,
    /// The metadata of all of them together.
    pub(super) metadata: BytesMut,
    /// Credit the requester granted meanwhile.
    pub(super) credit: u32,
}

impl Waiting {
    pub(super) fn new(request: RequestPart, metadata: &[u8], now: Instant) -> Self {
        Self {
            request,
            deadline: now + WAIT_MAX,
            fragments: Vec::new(),
            metadata: BytesMut::from(metadata),
            credit: 0,
        }
    }

    /// Takes one more fragment, whose metadata part is given apart.
    pub(super) fn push(&mut self, part: Part, metadata: Option<&[u8]>) -> Result<(), Refusal> {
        self.metadata
            .extend_from_slice(metadata.unwrap_or_default());
        self.fragments.push(part);
        let bytes: usize = self.fragments.iter().map(|part| part.pinned).sum();
        if bytes + self.request.pinned > BYTES_MAX || self.fragments.len() > FRAGMENTS_MAX {
            return Err(Refusal::MetadataTooLong);
        }
        Ok(())
    }
}

/// A copy that pins only itself: what is held must not keep a read buffer alive.
pub(super) fn own(body: &[u8]) -> (Bytes, usize) {
    (Bytes::copy_from_slice(body), body.len())
}
