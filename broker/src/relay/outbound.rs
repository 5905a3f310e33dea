//! What other links have for this one: one item out of the outbox, one frame to the peer.

use std::sync::Arc;

use jackfield_rsocket::{
    engine::Sent,
    net::Body,
    wire::{Flags, FrameType, Header, Payload, StreamId, cancel, request_n},
};

use super::{
    inbound::{SHARE_MIN, tell_credit},
    item::{Close, Item, Opening, Part},
    link::Link,
    refusal::{Outcome, Untaken},
    shaper::Shaper,
    splice::{Far, Splice, outcome_of},
    ticket::{End, Ticket},
};

impl Link {
    pub(super) fn on_item(&mut self, item: Item) {
        match item {
            Item::Open(opening) => self.on_open(*opening),
            Item::Payload {
                ticket,
                to,
                payload,
            } => self.on_payload(&ticket, to, payload),
            Item::Credit { ticket, to } => self.on_credit(&ticket, to),
            Item::Close { ticket, to, how } => {
                if let Some(id) = self.stream_of(&ticket, to)
                    && !self.ends_later(id, &how)
                {
                    self.on_close(id, how);
                }
            }
            Item::Returned(returned) => self.on_returned(*returned),
            Item::Word(word) => self.on_word(*word),
            Item::Due { ticket } => self.on_due(&ticket),
        }
    }

    /// The ticket's stream on this link, if it still is that ticket's.
    pub(super) fn stream_of(&self, ticket: &Arc<Ticket>, end: End) -> Option<StreamId> {
        let id = ticket.stream_id(end)?;
        self.connection.get(id)?.is_of(ticket).then_some(id)
    }

    /// Checks, numbers, stamps and queues a request in one step. Until then it is the near link's.
    fn on_open(&mut self, opening: Opening) {
        if let Err(exhausted) = self.connection.can_open() {
            return opening.give_back(exhausted.into());
        }
        if opening.ticket().is_withdrawn() {
            return;
        }
        let permitted = self.permits.take(self.now);
        self.show_lease();
        if !permitted {
            return opening.give_back(Untaken::NoLease);
        }
        let ticket = opening.ticket().clone();
        let Some((request, load)) = opening.sent() else {
            return;
        };
        let shaper = Shaper::new(self.plane.limits.credit_window);
        let far = Box::new(Far::new(ticket.clone(), shaper, load));
        let (id, whole) = match self.connection.open(&request.shape(), Splice::Far(far)) {
            Ok(opened) => opened,
            Err((_, far)) => return drop(far),
        };
        if let Some(Splice::Far(far)) = whole {
            far.finish();
        }
        if !ticket.stamp(id) {
            if let Some(Splice::Far(far)) = self.connection.forget(id) {
                far.finish();
            }
            return;
        }
        let header = Header::new(id, request.interaction.frame_type(), request.flags).encode();
        let mut head = [0; 10];
        head[..6].copy_from_slice(&header);
        head[6..].copy_from_slice(&request.initial_n.to_be_bytes());
        let len = if request.interaction.has_credit() {
            10
        } else {
            6
        };
        self.push(&head[..len], request.body);
    }

    /// Tells those who pick whether the peer's lease lets anything start.
    pub(super) fn show_lease(&self) {
        if let Some(left) = self.permits.left(self.now) {
            self.me.set_barred(left == 0);
        }
    }

    fn on_payload(&mut self, ticket: &Arc<Ticket>, to: End, part: Part) {
        let Some(id) = self.stream_of(ticket, to) else {
            return;
        };
        match self.connection.get(id) {
            Some(Splice::Near(near)) if near.trouble.is_some() => {
                self.on_troubled(id, ticket, part)
            }
            _ => self.deliver(id, part),
        }
    }

    pub(super) fn deliver(&mut self, id: StreamId, part: Part) {
        let payload = Payload {
            follows: part.flags.contains(Flags::FOLLOWS),
            complete: part.flags.contains(Flags::COMPLETE),
            next: part.flags.contains(Flags::NEXT),
            metadata: None,
            data: b"",
        };
        let sent = self.connection.sent(id, &payload);
        if matches!(sent, Sent::Refused) {
            return;
        }
        let (len, whole) = (part.body.len(), part.whole);
        self.push(
            &Header::new(id, FrameType::PAYLOAD, part.flags).encode(),
            part.body,
        );
        match sent {
            Sent::Ended(Splice::Near(mut near)) => {
                near.answered(self.now);
                near.finish(Outcome::Ok, self.now);
            }
            Sent::Ended(Splice::Far(far)) => far.finish(),
            _ => self.on_delivered(id, len, whole),
        }
    }

    /// A part of an item was handed to the socket: the window moves when the item is whole.
    fn on_delivered(&mut self, id: StreamId, len: usize, whole: bool) {
        let full = self.me.outbox.above_high() || self.plane.holds_credit();
        let Some(splice) = self.connection.get_mut(id) else {
            return;
        };
        let (shaper, ticket, back) = match splice {
            Splice::Near(near) => {
                near.heard();
                if whole {
                    near.answered(self.now);
                }
                (&mut near.shaper, &near.ticket, End::Far)
            }
            Splice::Far(far) => (&mut far.shaper, &far.ticket, End::Near),
            Splice::Waiting(_) => return,
        };
        shaper.delivered(len, whole);
        if whole {
            let n = if full {
                shaper.keep_going()
            } else {
                shaper.top_up()
            };
            tell_credit(&self.me, ticket, back, n);
        }
    }

    fn on_credit(&mut self, ticket: &Arc<Ticket>, to: End) {
        // Of a request that is not numbered, the sum stays in the ticket: it may be picked again.
        let Some(id) = self.stream_of(ticket, to) else {
            return;
        };
        let mut credit = ticket.take_credit(to);
        while credit > 0 {
            let n = credit.min(0x7FFF_FFFF) as u32;
            credit -= u64::from(n);
            self.send(&request_n(id, n));
        }
    }

    pub(super) fn on_close(&mut self, id: StreamId, how: Close) {
        match how {
            Close::Cancel => {
                self.send(&cancel(id));
                if let Some(Splice::Far(far)) = self.connection.forget(id) {
                    far.finish();
                }
            }
            Close::HalfCancel => match self.connection.sent_half_cancel(id) {
                Sent::Refused => {}
                Sent::Open => {
                    self.send(&cancel(id));
                    if let Some(Splice::Near(near)) = self.connection.get_mut(id) {
                        near.heard();
                    }
                }
                Sent::Ended(splice) => {
                    self.send(&cancel(id));
                    if let Splice::Near(near) = splice {
                        near.finish(Outcome::Ok, self.now);
                    }
                }
            },
            Close::Error { code, text, lost } => {
                if !self.connection.get(id).is_some_and(Splice::is_silent) {
                    self.send_error(id, code, &text);
                }
                match self.connection.forget(id) {
                    Some(Splice::Near(near)) => near.finish(outcome_of(code, lost), self.now),
                    Some(Splice::Far(far)) => far.finish(),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn push(&mut self, head: &[u8], body: bytes::Bytes) {
        self.counts.frames_out += 1;
        self.counts.bytes_out += (head.len() + body.len()) as u64;
        if body.len() < SHARE_MIN {
            self.line.push(head, Body::Copy(&body));
        } else {
            self.line.push(head, Body::Share(body));
        }
    }
}
