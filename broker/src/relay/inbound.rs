//! What the peer sends: one frame in, one thing done. The one match of the data path.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use jackfield_rsocket::{
    engine::{Event, Owner, Part as Fragment, Violation},
    wire::{Body, ErrorCode, Flags, Frame, HEADER_LEN, Request, StreamId},
};

use super::{
    ending::Ending,
    faults::go_alone,
    handle::Handle,
    item::{Close, Item, Part, RequestPart},
    link::Link,
    outbox::Unplaced,
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
                let body = Part::of(bytes, flags, part);
                let limit = (self.plane.limits.message, self.now);
                match owner {
                    Owner::Live(Splice::Near(near)) => {
                        let forwarded = near.forward(&self.me, body, part, limit);
                        self.after_near(id, forwarded, part);
                    }
                    Owner::Live(Splice::Far(far)) => {
                        if let Err(refusal) = far.forward(&self.me, body, part, limit) {
                            self.cut_far(id, &refusal);
                        }
                    }
                    Owner::Live(Splice::Waiting(_)) => self.on_waiting(id, &payload, body, part),
                    Owner::Ended(Splice::Waiting(waiting)) => {
                        self.on_waiting_ended(id, *waiting, &payload, body);
                    }
                    Owner::Ended(Splice::Near(near)) => self.on_near_ended(near, body, part),
                    Owner::Ended(Splice::Far(mut far)) => {
                        match far.forward(&self.me, body, part, limit) {
                            Ok(()) => far.finish(),
                            Err(refusal) => {
                                self.plane.cut(&refusal);
                                far.fail(&refusal);
                            }
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
                self.plane.metrics.refused_stream(code);
                self.send_error(id, code, format!("RST-910400: {text}").as_bytes());
            }
            Event::Ping { position, data } => {
                if self.on_position(position) {
                    self.on_ping(data);
                }
            }
            Event::Pong { position } => {
                self.on_position(position);
            }
            Event::Lease {
                ttl_ms, requests, ..
            } => {
                self.permits.granted(ttl_ms, requests, self.now);
                self.show_lease();
            }
            Event::Draining => self.on_peer_draining(),
            Event::Closed { code, data } => {
                let why = String::from_utf8_lossy(data);
                self.ending = Some(Ending::Peer(format!("peer ended with {code}: {why}")));
            }
            Event::Violation(violation) => self.on_violation(violation),
        }
    }

    fn on_violation(&mut self, violation: Violation) {
        let text = format!("RST-910400: {}", violation.text);
        let code = violation.code;
        self.ending = Some(Ending::Error { code, text });
    }

    /// The peer has received so much of what was sent. False when it cannot have.
    fn on_position(&mut self, position: u64) -> bool {
        let acknowledged = self.line.acknowledge(position);
        let good = acknowledged.is_ok();
        if let Err(violation) = acknowledged {
            self.on_violation(violation);
        }
        good
    }

    fn after_near(&mut self, id: StreamId, forwarded: Result<(), Refusal>, part: Fragment) {
        if let Err(refusal) = forwarded {
            self.fail_near(id, &refusal);
        } else if let Fragment::Request { .. } = part
            && let Some(Splice::Near(near)) = self.connection.get(id)
        {
            let target = near.ticket.far.clone();
            self.rest_if_full(&target);
        }
    }

    /// Ends a call on both sides because of what its requester, or the broker for it, can do no more.
    pub(super) fn fail_near(&mut self, id: StreamId, refusal: &Refusal) {
        self.plane.cut(refusal);
        let silent = self.connection.get(id).is_some_and(Splice::is_silent);
        if let Some(Splice::Near(near)) = self.connection.forget(id) {
            near.cancel(refusal.outcome(), self.now);
        }
        if !silent {
            self.send_error(id, refusal.code(), refusal.text().as_bytes());
        }
    }

    /// The last fragment of a fire-and-forget, or of a channel whose replies ended before.
    fn on_near_ended(&self, mut near: Box<Near>, body: Part, part: Fragment) {
        match near.forward(&self.me, body, part, (self.plane.limits.message, self.now)) {
            Ok(()) if near.is_held() => go_alone(near, &self.me, self.now),
            Ok(()) => near.finish(Outcome::Ok, self.now),
            Err(refusal) => {
                self.plane.cut(&refusal);
                near.cancel(refusal.outcome(), self.now);
            }
        }
    }

    /// What the responder sends cannot be passed on: ends the stream on both sides.
    pub(super) fn cut_far(&mut self, id: StreamId, refusal: &Refusal) {
        self.plane.cut(refusal);
        if let Some(Splice::Far(far)) = self.connection.forget(id) {
            far.fail(refusal);
        }
        self.send(&jackfield_rsocket::wire::cancel(id));
    }

    fn on_failed(&self, owner: Splice, code: ErrorCode, data: &[u8]) {
        let to = match &owner {
            Splice::Near(near) => &near.ticket.far,
            Splice::Far(far) => &far.ticket.near,
            Splice::Waiting(_) => return,
        };
        // The end always fits; what is said about it only where there is room.
        let data = if to.outbox.below_hard(data.len()) {
            data
        } else {
            b""
        };
        let how = Close::Error {
            code,
            text: own(data).0,
            lost: false,
        };
        match owner {
            Splice::Near(near) if near.is_held() => near.cancel(outcome_of(code, false), self.now),
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

    fn on_peer_draining(&self) {
        self.me.stop_requests();
        if let Some(instance) = &self.instance
            && !instance.is_gone()
        {
            self.plane.tell_hidden(instance);
            self.plane.directory.hide(instance);
        }
    }
}

impl Near {
    /// Passes a part of the request, or of a channel's items, on.
    fn forward(
        &mut self,
        me: &Arc<Handle>,
        body: Part,
        part: Fragment,
        (limit, now): (usize, Instant),
    ) -> Result<(), Refusal> {
        self.message.pass(body.body.len(), part, limit, now)?;
        self.followed = true;
        if let Some(body) = self.hold_back(body)? {
            place(me, &self.ticket, End::Far, body)?;
        }
        if let Fragment::Request { last: true } = part {
            self.partial = false;
            // Credit that came before the request was whole.
            self.pass_credit(me, 0);
        }
        Ok(())
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
    /// Passes a reply, or a part of one, on.
    fn forward(
        &mut self,
        me: &Arc<Handle>,
        body: Part,
        part: Fragment,
        (limit, now): (usize, Instant),
    ) -> Result<(), Refusal> {
        self.message.pass(body.body.len(), part, limit, now)?;
        place(me, &self.ticket, End::Near, body)
    }

    fn granted(&mut self, me: &Arc<Handle>, n: u32) {
        let pass = self.shaper.grant(n);
        tell_credit(me, &self.ticket, End::Near, pass);
    }
}

/// Places a payload in the outbox of the link at `to`, unless that is above its hard mark.
pub(super) fn place(
    me: &Arc<Handle>,
    ticket: &Arc<Ticket>,
    to: End,
    payload: Part,
) -> Result<(), Refusal> {
    let item = Item::Payload {
        ticket: ticket.clone(),
        to,
        payload,
    };
    match ticket.link(to).push(me, item) {
        Err(Unplaced::Full(_)) => return Err(Refusal::SlowReader),
        // When the link is gone, so is the stream, and its end is on the way to us.
        Ok(()) | Err(Unplaced::Gone(_)) => {}
    }
    Ok(())
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
    fn of(bytes: &Bytes, flags: Flags, part: Fragment) -> Self {
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
    (bytes.slice(from..), pinned_by(bytes))
}

/// What a slice of a frame keeps in memory.
pub(super) fn pinned_by(bytes: &Bytes) -> usize {
    bytes.len().max(READ_BUFFER)
}
