//! A request whose metadata is still arriving in fragments: held until it is whole, with a bound on
//! bytes, fragments and time. The bytes are those of a whole connection.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    engine::Part as Fragment,
    metadata::Scan,
    wire::{Flags, Payload, StreamId},
};

use super::{
    Limits,
    dispatch::Decided,
    item::{Cargo, Part, RequestPart},
    link::Link,
    refusal::Refusal,
    splice::Splice,
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

impl Link {
    /// One more fragment of a request that could not be routed yet.
    pub(super) fn on_waiting(
        &mut self,
        id: StreamId,
        payload: &Payload<'_>,
        part: Part,
        fragment: Fragment,
    ) {
        let last = matches!(fragment, Fragment::Request { last: true });
        let Some(Splice::Waiting(waiting)) = self.connection.get_mut(id) else {
            return;
        };
        let whole = last || !payload.data.is_empty() || payload.metadata.is_none();
        let interaction = waiting.request.interaction;
        let pushed = waiting.push(part, payload.metadata);
        let metadata = waiting.metadata.clone().freeze();
        let decided = match (pushed, self.scan(&metadata, whole)) {
            (Ok(()), Ok(Scan::NeedMore)) => return,
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
            (Ok(()), Ok(Scan::NotFound)) => Err(Refusal::NoRoute),
            (Ok(()), Ok(Scan::Found(entries))) => self.decide(&metadata, &entries, interaction),
        };
        if let Err(refusal) =
            decided.and_then(|decided| self.start_waiting(id, decided, last, whole))
        {
            self.connection.forget(id);
            self.refuse_new(id, interaction, &refusal);
        }
    }

    /// The last fragment of a fire-and-forget, which ended the stream.
    pub(super) fn on_waiting_ended(
        &mut self,
        id: StreamId,
        mut waiting: Waiting,
        payload: &Payload<'_>,
        part: Part,
    ) {
        let interaction = waiting.request.interaction;
        let pushed = waiting.push(part, payload.metadata);
        let metadata = waiting.metadata.clone().freeze();
        let decided = pushed.and_then(|()| match self.scan(&metadata, true)? {
            Scan::Found(entries) => self.decide(&metadata, &entries, interaction),
            Scan::NotFound | Scan::NeedMore => Err(Refusal::NoRoute),
        });
        let started = decided.and_then(|decided| {
            let Decided::To {
                route,
                choice,
                metadata,
            } = decided
            else {
                return Ok(());
            };
            let near = self.near_end(id, &route, &choice, interaction, Flags::NONE)?;
            let metadata = self.dressed(&near.1, interaction, metadata, &waiting.metadata, true)?;
            let (request, fragments) = waiting.with_metadata(metadata);
            let whole = Some(Splice::Near(near.0));
            self.depart(id, whole, near.1, Cargo::new(request, choice), fragments, 0);
            Ok(())
        });
        if let Err(refusal) = started {
            self.refuse_new(id, interaction, &refusal);
        }
    }

    pub(super) fn start_waiting(
        &mut self,
        id: StreamId,
        decided: Decided,
        last: bool,
        whole: bool,
    ) -> Result<(), Refusal> {
        let (route, choice, metadata) = match decided {
            Decided::To {
                route,
                choice,
                metadata,
            } => (route, choice, metadata),
            Decided::Answered {
                route,
                metadata,
                data,
            } => {
                self.connection.forget(id);
                self.answer(id, &route, metadata.as_deref(), &data);
                return Ok(());
            }
        };
        let Some(Splice::Waiting(waiting)) = self.connection.get(id) else {
            return Ok(());
        };
        let interaction = waiting.request.interaction;
        let (mut near, instance) =
            self.near_end(id, &route, &choice, interaction, Flags::FOLLOWS)?;
        near.partial = !last;
        let Some(Splice::Waiting(waiting)) = self.connection.get(id) else {
            return Ok(());
        };
        let metadata = self.dressed(&instance, interaction, metadata, &waiting.metadata, whole)?;
        let Some(splice) = self.connection.get_mut(id) else {
            return Ok(());
        };
        let Splice::Waiting(waiting) = std::mem::replace(splice, Splice::Near(near)) else {
            return Ok(());
        };
        let credit = waiting.credit;
        let (request, fragments) = waiting.with_metadata(metadata);
        let cargo = Cargo::new(request, choice);
        self.depart(id, None, instance, cargo, fragments, credit);
        Ok(())
    }
}
