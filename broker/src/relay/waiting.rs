//! A request whose metadata is still arriving in fragments: held until it is whole, with a bound on
//! bytes, fragments and time. The bytes are those of a whole connection.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{
    Limits,
    item::{Part, RequestPart},
    refusal::Refusal,
};

/// Bytes held by all waiting requests of one connection, and what bounds each of them.
#[derive(Clone, Debug)]
pub(super) struct Held {
    bytes: Rc<Cell<usize>>,
    bytes_max: usize,
    fragments_max: usize,
    wait_max: Duration,
}

impl Held {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            bytes: Rc::default(),
            bytes_max: limits.metadata,
            fragments_max: limits.metadata_fragments,
            wait_max: limits.metadata_timeout,
        }
    }
}

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
        let total = self.held.bytes.get() + bytes;
        if total > self.held.bytes_max {
            return Err(Refusal::MetadataTooLong);
        }
        self.held.bytes.set(total);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.bytes.set(self.held.bytes.get() - self.bytes);
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
            deadline: now + held.wait_max,
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
        if self.fragments.len() > self.share.held.fragments_max {
            return Err(Refusal::MetadataTooLong);
        }
        Ok(())
    }
}

/// A copy that pins only itself: what is held must not keep a read buffer alive.
pub(super) fn own(body: &[u8]) -> (Bytes, usize) {
    (Bytes::copy_from_slice(body), body.len())
}
