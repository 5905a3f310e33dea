//! What travels between links.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_rsocket::wire::{ErrorCode, Flags, Interaction, Request};

use super::{
    handle::Handle,
    pick::Selected,
    refusal::Untaken,
    routes::Choice,
    speaking::Word,
    ticket::{End, Ticket},
};
use crate::directory::Load;

/// One thing for the owner of a link to do.
#[derive(Debug)]
pub(super) enum Item {
    /// A request to number and send.
    Open(Box<Opening>),
    /// A payload of a stream, towards `to`.
    Payload {
        ticket: Arc<Ticket>,
        to: End,
        payload: Part,
    },
    /// Credit waits in the ticket for `to`.
    Credit { ticket: Arc<Ticket>, to: End },
    /// The stream ends for `to`.
    Close {
        ticket: Arc<Ticket>,
        to: End,
        how: Close,
    },
    /// Metadata for the peer, of no stream.
    Push(Bytes),
    /// A request came back unsent; only the near link gets this.
    Returned(Box<Returned>),
    /// Plugins have said whose request waits; a link asks that for itself.
    Word(Box<Word>),
    /// The time has come for what the near link holds of the stream; it says so to itself.
    Due { ticket: Arc<Ticket> },
}

/// How a stream ends from one side.
#[derive(Clone, Debug)]
pub(super) enum Close {
    /// The requester gave up.
    Cancel,
    /// The responder of a channel wants no more items.
    HalfCancel,
    /// Either side failed.
    Error {
        code: ErrorCode,
        text: Bytes,
        lost: bool,
    },
}

/// What an item weighs beyond its bytes, wherever it waits: one without any is not free.
pub(super) const ITEM_OVERHEAD: usize = 64;

/// A PAYLOAD as it is passed on: flags and what stands behind the header.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) flags: Flags,
    pub(super) body: Bytes,
    /// What the frame pins in memory: its own bytes, or the whole buffer it is a slice of.
    pub(super) pinned: usize,
    /// An item is whole with it: one unit of credit is used.
    pub(super) whole: bool,
}

impl Part {
    /// What it counts where it has to wait.
    pub(super) const fn weight(&self) -> usize {
        self.pinned + ITEM_OVERHEAD
    }
}

/// A request as it is passed on.
#[derive(Clone, Debug)]
pub(super) struct RequestPart {
    pub(super) interaction: Interaction,
    pub(super) flags: Flags,
    pub(super) initial_n: u32,
    /// Metadata block and data.
    pub(super) body: Bytes,
    pub(super) pinned: usize,
}

impl RequestPart {
    fn without_body(self) -> Self {
        Self {
            body: Bytes::new(),
            pinned: 0,
            ..self
        }
    }

    /// Metadata and data; none without metadata.
    pub(super) fn parts(&self) -> Option<(&[u8], &[u8])> {
        if !self.flags.contains(Flags::METADATA) {
            return None;
        }
        let (len, rest) = self.body.split_first_chunk::<3>()?;
        rest.split_at_checked(u32::from_be_bytes([0, len[0], len[1], len[2]]) as usize)
    }

    /// The request as the engine needs it to number a stream: without its payload.
    pub(super) const fn shape(&self) -> Request<'static> {
        Request {
            interaction: self.interaction,
            initial_n: self.initial_n,
            follows: self.flags.contains(Flags::FOLLOWS),
            complete: self.flags.contains(Flags::COMPLETE),
            metadata: None,
            data: b"",
        }
    }
}

/// A request, and where it may go.
#[derive(Clone, Debug)]
pub(super) struct Cargo {
    pub(super) request: RequestPart,
    pub(super) choice: Arc<Choice>,
    /// Among whom a plugin lets it go.
    pub(super) selected: Option<Box<Selected>>,
    /// How often an instance has been picked for it.
    pub(super) attempt: u8,
}

impl Cargo {
    pub(super) fn new(
        request: RequestPart,
        choice: Arc<Choice>,
        selected: Option<Box<Selected>>,
    ) -> Self {
        Self {
            request,
            choice,
            selected,
            attempt: 1,
        }
    }

    /// What it keeps in memory.
    pub(super) fn len(&self) -> usize {
        let selected = self.selected.as_ref();
        self.request.pinned + selected.map_or(0, |selected| selected.bytes())
    }
}

/// A request that waits to be numbered. Dropped before that, it goes back to the near link.
#[derive(Debug)]
pub(super) struct Opening {
    ticket: Arc<Ticket>,
    /// Taken when the request is sent or given back.
    inside: Option<(Cargo, Load<Arc<Handle>>)>,
    why: Untaken,
}

impl Opening {
    pub(super) fn new(ticket: Arc<Ticket>, cargo: Cargo, load: Load<Arc<Handle>>) -> Self {
        Self {
            ticket,
            inside: Some((cargo, load)),
            why: Untaken::Gone,
        }
    }

    /// Sends the request back to the near link, which may pick again.
    pub(super) fn give_back(mut self, why: Untaken) {
        self.why = why;
    }

    pub(super) const fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    fn cargo(&self) -> Option<&Cargo> {
        self.inside.as_ref().map(|(cargo, _)| cargo)
    }

    /// For the far link, which has stamped the ticket and sends the request now.
    pub(super) fn sent(mut self) -> Option<(RequestPart, Load<Arc<Handle>>)> {
        self.inside
            .take()
            .map(|(cargo, load)| (cargo.request, load))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some((mut cargo, load)) = self.inside.take() else {
            return;
        };
        drop(load);
        if self.ticket.is_withdrawn() {
            return;
        }
        // A caller that is over its mark gets the refusal, but not the request to try again with.
        let whole = self.ticket.near.outbox.below_hard(cargo.len());
        if !whole {
            cargo.request = cargo.request.without_body();
        }
        let returned = Returned {
            ticket: self.ticket.clone(),
            cargo,
            whole,
            why: self.why,
        };
        // When the near link is gone too, nobody waits for the request.
        let _ = self
            .ticket
            .near
            .push(&self.ticket.far, Item::Returned(Box::new(returned)));
    }
}

/// A request that the far link did not take.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) ticket: Arc<Ticket>,
    pub(super) cargo: Cargo,
    /// Whether the request still has its payload.
    pub(super) whole: bool,
    pub(super) why: Untaken,
}

impl Item {
    /// Whether it may be refused for want of room; what ends a stream or grants credit always fits.
    pub(super) const fn needs_room(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Payload { .. } | Self::Push(_))
    }

    pub(super) fn is_of(&self, ticket: &Arc<Ticket>) -> bool {
        let own = match self {
            Self::Open(opening) => opening.ticket(),
            Self::Payload { ticket, .. } | Self::Credit { ticket, .. } => ticket,
            Self::Close { ticket, .. } | Self::Due { ticket } => ticket,
            Self::Returned(returned) => &returned.ticket,
            Self::Push(_) | Self::Word(_) => return false,
        };
        Arc::ptr_eq(own, ticket)
    }

    /// Bytes that count against the outbox.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Open(opening) => opening.cargo().map_or(0, Cargo::len),
            Self::Payload { payload, .. } => payload.pinned,
            Self::Push(metadata) => metadata.len(),
            Self::Close {
                how: Close::Error { text, .. },
                ..
            } => text.len(),
            Self::Returned(returned) => returned.cargo.len(),
            // What waits is counted as held.
            Self::Credit { .. } | Self::Close { .. } | Self::Due { .. } | Self::Word(_) => 0,
        }
    }
}
