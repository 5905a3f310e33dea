//! What the peer sends: one frame in, one thing done. The one match of the data path.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_rsocket::{
    engine::{Event, Owner, Part as Fragment, Violation},
    wire::{Body, ErrorCode, Flags, Frame, HEADER_LEN, Payload, Request, StreamId},
};

use super::{
    handle::Handle,
    item::{Close, Item, Part, RequestPart},
    link::{Ending, Link},
    refusal::{Outcome, Refusal},
    splice::{Far, Near, Splice, outcome_of},
    ticket::{End, Ticket},
    waiting::own,
};

/// Smaller bodies are copied: cheaper, and they pin no read buffer. Measured crossover 2 to 4 KiB.
pub(super) const SHARE_MIN: usize = 4096;
/// What a slice of a read buffer pins at least.
const READ_BUFFER: usize = 16 * 1024;

impl Link {
    pub(super) fn on_frame(&mut self, bytes: &Bytes) {
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) if error.ignorable() => return,
            Err(error) => {
                let text = format!("RST-910400: malformed frame: {error}");
                self.ending = Some(Ending::Error {
                    code: ErrorCode::CONNECTION_ERROR,
                    text,
                });
                return;
            }
        };
        match self.connection.handle(frame) {
            Event::Ignored | Event::MetadataPush { .. } => {}
            Event::Payload {
                id,
                owner,
                flags,
                part,
            } => {
                let Body::Payload(payload) = frame.body else {
                    return;
                };
                let body = Part::of(&payload, bytes, flags, part);
                match owner {
                    Owner::Live(Splice::Near(near)) => {
                        let forwarded = near.forward(&self.me, body, part);
                        self.after_near(id, forwarded, part);
                    }
                    Owner::Live(Splice::Far(far)) => {
                        if !place(&self.me, &far.ticket, End::Near, body) {
                            self.cut_slow_reader(id);
                        }
                    }
                    Owner::Live(Splice::Waiting(_)) => {
                        self.on_waiting(id, &payload, body, part);
                    }
                    Owner::Ended(Splice::Waiting(waiting)) => {
                        self.on_waiting_ended(id, *waiting, &payload, body);
                    }
                    Owner::Ended(Splice::Near(mut near)) => {
                        // A fire-and-forget's last fragment, or a channel whose replies ended first.
                        let _ = near.forward(&self.me, body, part);
                        near.finish(Outcome::Ok, self.now);
                    }
                    Owner::Ended(Splice::Far(far)) => {
                        if place(&self.me, &far.ticket, End::Near, body) {
                            far.finish();
                        } else {
                            self.plane.cut_slow_reader();
                            far.fail(&Refusal::SlowReader);
                        }
                    }
                }
            }
            Event::Request { id, request } => {
                let part = RequestPart::of(&request, bytes);
                self.on_request(id, &request, part);
            }
            Event::RequestN { owner, n, .. } => match owner {
                Splice::Near(near) => near.granted(&self.me, n),
                Splice::Far(far) => far.granted(&self.me, n),
                Splice::Waiting(waiting) => waiting.credit = waiting.credit.saturating_add(n),
            },
            Event::Cancelled { owner, .. } => {
                if let Splice::Near(near) = owner {
                    near.cancel(Outcome::Cancelled, self.now);
                }
            }
            Event::HalfCancelled { owner, .. } => match owner {
                Owner::Live(Splice::Far(far)) => tell(&self.me, &far.ticket, Close::HalfCancel),
                Owner::Ended(Splice::Far(far)) => {
                    tell(&self.me, &far.ticket, Close::HalfCancel);
                    far.finish();
                }
                _ => {}
            },
            Event::Failed {
                owner, code, data, ..
            } => self.on_failed(owner, code, data),
            Event::Refused { id, code, text } => {
                self.send_error(id, code, format!("RST-910400: {text}").as_bytes());
            }
            Event::Ping { data } => self.on_ping(data),
            Event::Draining => self.on_peer_draining(),
            Event::Closed { code, data } => {
                let why = String::from_utf8_lossy(data);
                self.ending = Some(Ending::Peer(format!("peer ended with {code}: {why}")));
            }
            Event::Violation(Violation { code, text }) => {
                let text = format!("RST-910400: {text}");
                self.ending = Some(Ending::Error { code, text });
            }
        }
    }

    fn after_near(&mut self, id: StreamId, forwarded: bool, part: Fragment) {
        if !forwarded {
            // The responder does not take what the requester pushes.
            self.plane.cut_slow_reader();
            if let Some(Splice::Near(near)) = self.connection.forget(id) {
                near.cancel(Outcome::Refused, self.now);
            }
            let refusal = Refusal::SlowReader;
            self.send_error(id, refusal.code(), refusal.text().as_bytes());
        } else if let Fragment::Request { .. } = part
            && let Some(Splice::Near(near)) = self.connection.get(id)
        {
            let target = near.ticket.far.clone();
            self.rest_if_full(&target);
        }
    }

    /// More waits for the requester than it may hold: ends the stream on both sides.
    fn cut_slow_reader(&mut self, id: StreamId) {
        self.plane.cut_slow_reader();
        if let Some(Splice::Far(far)) = self.connection.forget(id) {
            far.fail(&Refusal::SlowReader);
        }
        self.send(&jackfield_rsocket::wire::cancel(id));
    }

    fn on_failed(&mut self, owner: Splice, code: ErrorCode, data: &[u8]) {
        let how = Close::Error {
            code,
            text: own(data).0,
            lost: false,
        };
        match owner {
            Splice::Near(near) => {
                let ticket = near.ticket.clone();
                let close = Item::Close {
                    ticket: ticket.clone(),
                    to: End::Far,
                    how,
                };
                let _ = ticket.far.push(&self.me, close);
                near.finish(outcome_of(code, false), self.now);
            }
            Splice::Far(far) => {
                tell(&self.me, &far.ticket, how);
                far.finish();
            }
            Splice::Waiting(_) => {}
        }
    }

    fn on_peer_draining(&mut self) {
        self.me.stop_requests();
        if let Some(instance) = &self.instance {
            self.plane.directory.hide(instance);
        }
    }
}

impl Near {
    /// Passes a part of the request, or of a channel's items, on. False when far is over its mark.
    fn forward(&mut self, me: &Arc<Handle>, body: Part, part: Fragment) -> bool {
        let placed = place(me, &self.ticket, End::Far, body);
        if let Fragment::Request { last: true } = part {
            self.partial = false;
            // Credit that came before the request was whole.
            self.pass_credit(me, 0);
        }
        placed
    }

    fn granted(&mut self, me: &Arc<Handle>, n: u32) {
        if self.partial {
            self.shaper.hold(n);
        } else {
            self.pass_credit(me, n);
        }
    }

    fn pass_credit(&mut self, me: &Arc<Handle>, n: u32) {
        let pass = self.shaper.grant(n);
        tell_credit(me, &self.ticket, End::Far, pass);
    }
}

impl Far {
    fn granted(&mut self, me: &Arc<Handle>, n: u32) {
        let pass = self.shaper.grant(n);
        tell_credit(me, &self.ticket, End::Near, pass);
    }
}

/// Places a payload in the outbox of the link at `to`. False when that is above its hard mark.
fn place(me: &Arc<Handle>, ticket: &Arc<Ticket>, to: End, payload: Part) -> bool {
    let target = ticket.link(to);
    if !target.outbox.below_hard(payload.pinned) {
        return false;
    }
    // When the link is gone, so is the stream, and its end is on the way to us.
    let _ = target.push(
        me,
        Item::Payload {
            ticket: ticket.clone(),
            to,
            payload,
        },
    );
    true
}

fn tell(me: &Arc<Handle>, ticket: &Arc<Ticket>, how: Close) {
    let close = Item::Close {
        ticket: ticket.clone(),
        to: End::Near,
        how,
    };
    let _ = ticket.near.push(me, close);
}

/// Passes credit on to the link at `to`.
pub(super) fn tell_credit(me: &Arc<Handle>, ticket: &Arc<Ticket>, to: End, n: u32) {
    if n > 0 && ticket.add_credit(to, n) {
        let _ = ticket.link(to).push(
            me,
            Item::Credit {
                ticket: ticket.clone(),
                to,
            },
        );
    }
}

impl Part {
    /// A payload frame as it is passed on, with the flags the engine allows it.
    fn of(_payload: &Payload<'_>, bytes: &Bytes, flags: Flags, part: Fragment) -> Self {
        let (body, pinned) = body_of(bytes, HEADER_LEN);
        Self {
            flags,
            body,
            pinned,
            whole: matches!(part, Fragment::Item { last: true }),
        }
    }
}

impl RequestPart {
    /// A request frame as it is passed on.
    pub(super) fn of(request: &Request<'_>, bytes: &Bytes) -> Self {
        let credit = if request.interaction.has_credit() {
            4
        } else {
            0
        };
        let (body, pinned) = body_of(bytes, HEADER_LEN + credit);
        let flags = Flags::NONE
            .with_if(Flags::METADATA, request.metadata.is_some())
            .with_if(Flags::FOLLOWS, request.follows)
            .with_if(Flags::COMPLETE, request.complete);
        let initial_n = request.initial_n;
        Self {
            interaction: request.interaction,
            flags,
            initial_n,
            body,
            pinned,
        }
    }
}

/// The frame behind `from`, copied when small, else shared, and what it pins.
fn body_of(bytes: &Bytes, from: usize) -> (Bytes, usize) {
    if bytes.len() < SHARE_MIN {
        return own(&bytes[from..]);
    }
    (bytes.slice(from..), bytes.len().max(READ_BUFFER))
}
