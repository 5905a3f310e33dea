//! The life of one stream.
//!
//! A stream is two directions. It ends when both are closed, or at once by CANCEL of the requester
//! or ERROR of either side (spec "Stream Sequences and Lifetimes").
//!
//! ```text
//!            requester -> responder             responder -> requester
//! FNF        open until the last fragment       closed
//! RESPONSE   open until the last fragment       open until the one payload
//! STREAM     open until the last fragment       open until C
//! CHANNEL    open until C, or CANCEL of the     open until C
//!            responder
//! ```

use crate::wire::{Flags, Interaction, Payload};

/// Who opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// We are its requester.
    Us,
    /// The peer is its requester.
    Peer,
}

/// What a PAYLOAD frame is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A fragment of the request itself; `last` when the request is whole with it.
    Request { last: bool },
    /// An item or a fragment of one; `last` when the item is whole with it.
    Item { last: bool },
    /// No item: only the end of the direction.
    End,
}

/// What sending a frame did to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent<S> {
    /// The stream goes on.
    Open,
    /// The stream ended with this frame; the owner's part of it is given back.
    Ended(S),
    /// The stream is unknown, or this direction is closed: the frame must not be sent.
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Direction {
    open: bool,
    /// A message was begun and its last fragment has not passed yet.
    fragmented: bool,
}

/// The state machine; knows nothing of its owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) opener: Opener,
    interaction: Interaction,
    /// The request's own fragments are still coming.
    request_partial: bool,
    /// The first of them said already that the requester sends no items.
    complete: bool,
    request: Direction,
    reply: Direction,
}

impl State {
    /// The state behind the request frame.
    pub(super) fn new(
        opener: Opener,
        interaction: Interaction,
        follows: bool,
        complete: bool,
    ) -> Self {
        let channel = interaction == Interaction::Channel;
        Self {
            opener,
            interaction,
            request_partial: follows,
            complete,
            request: Direction {
                open: follows || (channel && !complete),
                fragmented: follows,
            },
            reply: Direction {
                open: interaction != Interaction::FireAndForget,
                fragmented: false,
            },
        }
    }

    pub(super) fn ended(&self) -> bool {
        !self.request.open && !self.reply.open
    }

    /// Whether the peer has a direction left in which credit can be granted to us.
    pub(super) fn wants_credit(&self) -> bool {
        match self.opener {
            Opener::Us => self.interaction == Interaction::Channel && self.request.open,
            Opener::Peer => self.interaction.has_credit() && self.reply.open,
        }
    }

    /// Takes a PAYLOAD that travels from the requester (`true`) or from the responder. Returns the
    /// flags it may be passed on with and what it is, or nothing when it must be dropped.
    pub(super) fn payload(
        &mut self,
        from_requester: bool,
        payload: &Payload<'_>,
    ) -> Option<(Flags, Part)> {
        if from_requester && self.request_partial {
            return Some(self.request_fragment(payload));
        }
        let single = self.interaction == Interaction::Response;
        let direction = if from_requester {
            &mut self.request
        } else {
            &mut self.reply
        };
        // PAYLOAD N on a RESPONSE counts as N and C; F together with C is F ignored.
        let follows = payload.follows && !payload.complete;
        let complete = payload.complete || (single && !follows);
        let mut next = payload.next;
        if !direction.open {
            return None;
        }
        if direction.fragmented || follows {
            // Continuation fragments without N are invalid to strict peers and valid to lax ones.
            next = next || !complete || direction.fragmented;
        } else if !next && !complete {
            return None;
        } else if single && !payload.complete {
            next = true;
        }
        let part = if next {
            Part::Item { last: !follows }
        } else {
            Part::End
        };
        direction.fragmented = follows;
        direction.open = !complete;
        let flags = Flags::NONE
            .with_if(Flags::METADATA, payload.metadata.is_some())
            .with_if(Flags::FOLLOWS, follows)
            .with_if(Flags::COMPLETE, complete)
            .with_if(Flags::NEXT, next);
        Some((flags, part))
    }

    fn request_fragment(&mut self, payload: &Payload<'_>) -> (Flags, Part) {
        let follows = payload.follows && !payload.complete;
        let channel = self.interaction == Interaction::Channel;
        let complete = channel && (payload.complete || (self.complete && !follows));
        if !follows {
            self.request_partial = false;
            self.request.fragmented = false;
            self.request.open = channel && !complete;
        }
        let flags = Flags::NEXT
            .with_if(Flags::METADATA, payload.metadata.is_some())
            .with_if(Flags::FOLLOWS, follows)
            .with_if(Flags::COMPLETE, complete);
        (flags, Part::Request { last: !follows })
    }

    /// The responder does not want more of the requester's items. Whether that means anything here.
    pub(super) fn responder_cancel(&mut self) -> bool {
        let means = self.interaction == Interaction::Channel && self.request.open;
        if means {
            self.request.open = false;
            self.request_partial = false;
        }
        means
    }

    /// Whether an ERROR from the requester means anything: only a channel's requester has items to
    /// fail with.
    pub(super) fn requester_may_fail(&self) -> bool {
        self.interaction == Interaction::Channel
    }
}
