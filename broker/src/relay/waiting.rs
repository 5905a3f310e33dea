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
    metadata::{RoutingEntries, Scan},
    wire::{Payload, StreamId},
};

use super::{
    Limits,
    departure::Parcel,
    direct::in_pieces,
    dispatch::{Asked, Decided, Way},
    item::{Cargo, Part, RequestPart},
    link::Link,
    pick::Picked,
    refusal::Refusal,
    speaking::Asking,
    splice::Splice,
};
use crate::chain::Fault;

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
    /// The metadata is whole, and plugins are asked whose it is.
    pub(super) asking: Option<Asking>,
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
            share,
            ..Self::asking(request, metadata, held, now)
        })
    }

    /// One whose metadata is whole: what it holds is counted elsewhere.
    pub(super) fn asking(request: RequestPart, metadata: &[u8], held: &Held, now: Instant) -> Self {
        Self {
            request,
            deadline: now + held.wait_max,
            fragments: Vec::new(),
            metadata: BytesMut::from(metadata),
            credit: 0,
            asking: None,
            share: Share {
                held: held.clone(),
                bytes: 0,
            },
        }
    }

    /// What it keeps in memory.
    pub(super) fn bytes(&self) -> usize {
        let fragments = self.fragments.iter().map(Part::weight);
        self.request.pinned + self.metadata.len() + fragments.sum::<usize>()
    }

    /// Takes one more fragment, whose metadata part is given apart.
    pub(super) fn push(&mut self, part: Part, metadata: Option<&[u8]>) -> Result<(), Refusal> {
        if let Some(asking) = &mut self.asking {
            asking.share.take(part.weight())?;
            self.fragments.push(part);
            return Ok(());
        }
        self.share.take(part.weight())?;
        self.metadata
            .extend_from_slice(metadata.unwrap_or_default());
        self.fragments.push(part);
        if self.fragments.len() > self.share.held.fragments_max {
            return Err(Refusal::MetadataTooLong);
        }
        Ok(())
    }
}

impl Waiting {
    fn parcel(self, way: Way, picked: Picked) -> (Parcel, Option<Fault>) {
        let (request, fragments) = self.with_metadata(way.metadata);
        let parcel = Parcel {
            cargo: Cargo::new(request, way.choice, picked.selected),
            to: picked.to,
            fragments,
        };
        (parcel, way.fault)
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
        if let Some(asking) = &mut waiting.asking {
            asking.last |= last;
            if let Err(refusal) = pushed {
                self.connection.forget(id);
                self.refuse_new(id, interaction, &refusal);
            }
            return;
        }
        let metadata = waiting.metadata.clone().freeze();
        let decided = match (pushed, self.scan(&metadata, whole)) {
            (Ok(()), Ok(Scan::NeedMore)) => return,
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
            (Ok(()), Ok(Scan::NotFound)) => Err(Refusal::NoRoute),
            (Ok(()), Ok(Scan::Found(entries))) => self.decide(&metadata, &entries, interaction),
        };
        let rest = (&*metadata, last);
        if let Err(refusal) = decided.and_then(|decided| self.start_waiting(id, decided, rest)) {
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
        let started = waiting.push(part, payload.metadata).and_then(|()| {
            self.start_told(id, waiting, |link, metadata, entries| {
                link.decide(metadata, entries, interaction)
            })
        });
        if let Err(refusal) = started {
            self.refuse_new(id, interaction, &refusal);
        }
    }

    /// Sends a fire-and-forget that is whole where it is decided.
    pub(super) fn start_told(
        &mut self,
        id: StreamId,
        waiting: Waiting,
        decide: impl FnOnce(&mut Self, &[u8], &RoutingEntries<'_>) -> Result<Decided, Refusal>,
    ) -> Result<(), Refusal> {
        let metadata = waiting.metadata.clone().freeze();
        let decided = match self.scan(&metadata, true)? {
            Scan::Found(entries) => decide(self, &metadata, &entries)?,
            Scan::NotFound | Scan::NeedMore => return Err(Refusal::NoRoute),
        };
        let mut way = match decided {
            Decided::To(way) => way,
            Decided::Unknown { credentials } => {
                return self.ask_of(id, waiting, credentials);
            }
            // Nobody waits for it.
            Decided::Answered { .. } => return Ok(()),
            Decided::Heard => return Err(in_pieces()),
        };
        let asked = Asked {
            interaction: waiting.request.interaction,
            metadata: &metadata,
            whole: true,
            partial: false,
        };
        let (near, picked) = self.near_end(id, &mut way, &asked)?;
        let (parcel, fault) = waiting.parcel(way, picked);
        self.depart(id, Some(Splice::Near(near)), parcel, fault.as_ref(), 0);
        Ok(())
    }

    pub(super) fn start_waiting(
        &mut self,
        id: StreamId,
        decided: Decided,
        (metadata, last): (&[u8], bool),
    ) -> Result<(), Refusal> {
        let mut way = match decided {
            Decided::To(way) => way,
            Decided::Unknown { credentials } => return self.ask_at(id, credentials, last),
            Decided::Answered {
                route,
                metadata,
                data,
            } => {
                self.connection.forget(id);
                self.answer(id, &route, metadata.as_deref(), &data);
                return Ok(());
            }
            Decided::Heard => return Err(in_pieces()),
        };
        let Some(Splice::Waiting(waiting)) = self.connection.get(id) else {
            return Ok(());
        };
        let asked = Asked {
            interaction: waiting.request.interaction,
            metadata,
            whole: last,
            partial: !last,
        };
        let (near, picked) = self.near_end(id, &mut way, &asked)?;
        let Some(splice) = self.connection.get_mut(id) else {
            return Ok(());
        };
        let Splice::Waiting(waiting) = std::mem::replace(splice, Splice::Near(near)) else {
            return Ok(());
        };
        let credit = waiting.credit;
        let (parcel, fault) = waiting.parcel(way, picked);
        self.depart(id, None, parcel, fault.as_ref(), credit);
        Ok(())
    }
}
