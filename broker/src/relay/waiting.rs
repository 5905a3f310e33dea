//! A request whose metadata is still arriving in fragments: held until it is whole, with a bound on
//! bytes, fragments and time. The bytes are those of a whole connection.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{
    item::{Part, RequestPart},
    refusal::Refusal,
};

const BYTES_MAX: usize = 64 * 1024;
const FRAGMENTS_MAX: usize = 16;
/// How long the metadata may take.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes held by all waiting requests of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Rc<Cell<usize>>);

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
    share: Share,
}

/// What one request holds of the connection's bytes; given back when dropped.
#[derive(Debug)]
struct Share {
    held: Held,
    bytes: usize,
}

impl Share {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let total = self.held.0.get() + bytes;
        if total > BYTES_MAX {
            return Err(Refusal::MetadataTooLong);
        }
        self.held.0.set(total);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.0.set(self.held.0.get() - self.bytes);
    }
}

impl Waiting {
    pub(super) fn new(
        request: RequestPart,
        metadata: &[u8],
        held: &Held,
        now: Instant,
    ) -> Result<Self, Refusal> {
        let mut share = Share {
            held: held.clone(),
            bytes: 0,
        };
        share.take(request.pinned)?;
        Ok(Self {
            request,
            deadline: now + WAIT_MAX,
            fragments: Vec::new(),
            metadata: BytesMut::from(metadata),
            credit: 0,
            share,
        })
    }

    /// Takes one more fragment, whose metadata part is given apart.
    pub(super) fn push(&mut self, part: Part, metadata: Option<&[u8]>) -> Result<(), Refusal> {
        self.share.take(part.pinned)?;
        self.metadata
            .extend_from_slice(metadata.unwrap_or_default());
        self.fragments.push(part);
        if self.fragments.len() > FRAGMENTS_MAX {
            return Err(Refusal::MetadataTooLong);
        }
        Ok(())
    }
}

/// A copy that pins only itself: what is held must not keep a read buffer alive.
pub(super) fn own(body: &[u8]) -> (Bytes, usize) {
    (Bytes::copy_from_slice(body), body.len())
}
