//! Faults that plugins of the hook `chaos` want, carried out natively. The plugin has long returned; nothing waits in it.
//!
//! | fault | what is done | where it waits |
//! |---|---|---|
//! | error | the request is refused | |
//! | delay | an instance is picked, and the request handed to it later | at its near end, with what follows it |
//! | black hole | the request is forgotten, its stream stays until its time is up | |
//! | cut | the item after the last allowed one is replaced by an error, and the responder is told to stop | |
//! | slow | credit is passed on one item at a time, and an item that is early waits | at its near end |
//!
//! What waits counts against `limits.held-requests` and `held-bytes` (`holding.rs`). Of a fire-and-forget there is no
//! near end to wait at: a task of its own keeps it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_rsocket::wire::{ErrorCode, Flags, StreamId};

use super::{
    departure::{Parcel, hand_over},
    errand::Errand,
    handle::Handle,
    holding::{Share, remind},
    item::{Close, Part},
    link::Link,
    plane::Plane,
    refusal::{Outcome, Refusal},
    shaper::Shaper,
    splice::{Near, Splice},
    ticket::{End, Ticket},
};
use crate::chain::{self, Fault};

/// What goes wrong with one call.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing of it has left.
    Held(Held),
    Cut(Cut),
    Slow(Pace),
}

/// A request that goes on later, or never.
#[derive(Debug)]
pub(super) struct Held {
    share: Share,
    /// It, and when it goes on; none: a black hole.
    parcel: Option<(Parcel, Instant)>,
    _reminder: Option<Errand>,
}

/// A reply that is to break off.
#[derive(Debug)]
pub(super) struct Cut {
    /// Items that still arrive.
    left: u32,
    error: chain::Refusal,
    /// In the middle of an item that arrives.
    inside: bool,
}

/// A reply whose items keep a distance.
#[derive(Debug)]
pub(super) struct Pace {
    apart: Duration,
    next_at: Option<Instant>,
    inside: bool,
    share: Share,
    waiting: VecDeque<Early>,
    reminder: Option<Errand>,
}

/// What came too early, in order.
#[derive(Debug)]
enum Early {
    Part(Part),
    Close(Close),
}

/// What is done about a part of a reply.
enum Now {
    Pass,
    Wait,
    Break(chain::Refusal),
}

impl Trouble {
    /// What comes of a fault besides what is done as the request departs.
    pub(super) fn of_reply(
        fault: &Fault,
        single: bool,
        (plane, me): (&Plane, &Handle),
    ) -> Result<Option<Self>, Refusal> {
        Ok(match fault {
            Fault::Cut { after, error } if !single || *after == 0 => Some(Self::Cut(Cut {
                left: *after,
                error: error.clone(),
                inside: false,
            })),
            Fault::Slow(apart) if !single => {
                plane.holding.admits_time(*apart)?;
                let share = plane.holding.admit(me, 0)?;
                plane.metrics.fault("slow");
                Some(Self::Slow(Pace {
                    apart: *apart,
                    next_at: None,
                    inside: false,
                    share,
                    waiting: VecDeque::new(),
                    reminder: None,
                }))
            }
            _ => None,
        })
    }

    /// One item is asked for at a time, so that hardly any has to wait here.
    pub(super) fn shaper(this: Option<&Self>, window: usize) -> Shaper {
        match this {
            Some(Self::Slow(_)) => Shaper::new(0),
            _ => Shaper::new(window),
        }
    }
}

impl Near {
    /// Whether nothing of the request has left yet.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.trouble.as_deref(), Some(Trouble::Held(_)))
    }

    /// Keeps what follows a request that is held. Gives it back when it is not.
    pub(super) fn hold_back(&mut self, part: Part) -> Result<Option<Part>, Refusal> {
        let Some(Trouble::Held(held)) = self.trouble.as_deref_mut() else {
            return Ok(Some(part));
        };
        if let Some((parcel, _)) = &mut held.parcel {
            held.share.take(part.weight())?;
            parcel.fragments.push(part);
        }
        Ok(None)
    }

    /// Keeps a request that departs later, or never. Gives it back when it departs now.
    pub(super) fn hold(
        &mut self,
        parcel: Parcel,
        fault: Option<&Fault>,
        (plane, me, now): (&Plane, &Arc<Handle>, Instant),
    ) -> Result<Option<Parcel>, Refusal> {
        let holding = &plane.holding;
        let held = match fault {
            Some(Fault::Delay(delay)) => {
                holding.admits_time(*delay)?;
                let share = holding.admit(me, parcel.bytes())?;
                plane.metrics.fault("delay");
                let when = now + *delay;
                Held {
                    share,
                    parcel: Some((parcel, when)),
                    _reminder: Some(remind(when, me, &self.ticket)),
                }
            }
            Some(Fault::BlackHole) => {
                let share = holding.admit(me, 0)?;
                let latest = now + holding.time_max();
                self.deadline = Some(self.deadline.map_or(latest, |due| due.min(latest)));
                plane.metrics.fault("black_hole");
                Held {
                    share,
                    parcel: None,
                    _reminder: None,
                }
            }
            _ => return Ok(Some(parcel)),
        };
        self.trouble = Some(Box::new(Trouble::Held(held)));
        Ok(None)
    }
}

/// A fire-and-forget that is whole and held has no stream any more: it goes its way without one.
pub(super) fn go_alone(mut near: Box<Near>, me: &Arc<Handle>, now: Instant) {
    let Some(Trouble::Held(held)) = near.trouble.take().map(|trouble| *trouble) else {
        return near.finish(Outcome::Ok, now);
    };
    let Some((parcel, when)) = held.parcel else {
        return near.finish(Outcome::Ok, now);
    };
    let (me, share) = (me.clone(), held.share);
    tokio::task::spawn_local(async move {
        tokio::time::sleep_until(when.into()).await;
        drop(share);
        let handed = hand_over(&me, &near.ticket, parcel);
        let now = super::deadline::now();
        // Nobody can be told that it did not fit.
        match handed {
            Ok(()) => near.finish(Outcome::Ok, now),
            Err(refusal) => near.cancel(refusal.outcome(), now),
        }
    });
}

impl Link {
    /// The time has come for something that is held.
    pub(super) fn on_due(&mut self, ticket: &Arc<Ticket>) {
        let Some(id) = self.stream_of(ticket, End::Near) else {
            return;
        };
        let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
            return;
        };
        match near.trouble.as_deref() {
            Some(Trouble::Held(_)) => self.release(id),
            Some(Trouble::Slow(_)) => self.go_on(id, ticket),
            Some(Trouble::Cut(_)) | None => {}
        }
    }

    /// A request that was delayed departs.
    fn release(&mut self, id: StreamId) {
        let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
            return;
        };
        let Some(Trouble::Held(held)) = near.trouble.take().map(|trouble| *trouble) else {
            return;
        };
        let Some((mut parcel, _)) = held.parcel else {
            return;
        };
        let ticket = near.ticket.clone();
        // What was granted meanwhile waits in the ticket, and the far link was told of it too early.
        let credit = ticket.take_credit(End::Far).min(0x7FFF_FFFF) as u32;
        let request = &mut parcel.cargo.request;
        request.initial_n = request.initial_n.saturating_add(credit).min(0x7FFF_FFFF);
        match hand_over(&self.me, &ticket, parcel) {
            Ok(()) => self.rest_if_full(&ticket.far),
            Err(refusal) => self.fail_near(id, &refusal),
        }
    }

    // ---- replies

    /// A part of a reply to a call that something goes wrong with.
    pub(super) fn on_troubled(&mut self, id: StreamId, ticket: &Arc<Ticket>, part: Part) {
        let now = self.now;
        let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
            return;
        };
        let single = !near.is_stream();
        let what = match near.trouble.as_deref_mut() {
            Some(Trouble::Cut(cut)) => cut.on(&part, single),
            Some(Trouble::Slow(pace)) => pace.on(&part, now),
            Some(Trouble::Held(_)) | None => Now::Pass,
        };
        match what {
            Now::Pass => self.deliver(id, part),
            Now::Wait => self.wait(id, ticket, part),
            Now::Break(chain::Refusal { code, text }) => {
                self.plane.metrics.fault("cut");
                if let Some(Splice::Near(near)) = self.connection.forget(id) {
                    near.cancel(Outcome::AppError, now);
                }
                self.send_error(id, ErrorCode(code), text.as_bytes());
            }
        }
    }

    fn wait(&mut self, id: StreamId, ticket: &Arc<Ticket>, part: Part) {
        let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
            return;
        };
        let Some(Trouble::Slow(pace)) = near.trouble.as_deref_mut() else {
            return;
        };
        if let Err(refusal) = pace.share.take(part.weight()) {
            return self.fail_near(id, &refusal);
        }
        pace.waiting.push_back(Early::Part(part));
        pace.remind(&self.me, ticket);
    }

    /// Whether the end of a reply has to wait for items that came too early.
    pub(super) fn ends_later(&mut self, id: StreamId, how: &Close) -> bool {
        let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
            return false;
        };
        match near.trouble.as_deref_mut() {
            Some(Trouble::Slow(pace))
                if !pace.waiting.is_empty() && matches!(how, Close::Error { .. }) =>
            {
                pace.waiting.push_back(Early::Close(how.clone()));
                true
            }
            _ => false,
        }
    }

    /// The next item that came too early is delivered, and what need not wait behind it.
    fn go_on(&mut self, id: StreamId, ticket: &Arc<Ticket>) {
        let now = self.now;
        loop {
            let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
                return;
            };
            let Some(Trouble::Slow(pace)) = near.trouble.as_deref_mut() else {
                return;
            };
            pace.reminder = None;
            match pace.waiting.pop_front() {
                None => return,
                Some(Early::Close(how)) => return self.on_close(id, how),
                Some(Early::Part(part)) => {
                    if !pace.is_due(&part, now) {
                        pace.waiting.push_front(Early::Part(part));
                        return pace.remind(&self.me, ticket);
                    }
                    pace.share.give(part.weight());
                    pace.passed(&part, now);
                    self.deliver(id, part);
                }
            }
        }
    }
}

impl Cut {
    fn on(&mut self, part: &Part, single: bool) -> Now {
        let begins = !self.inside && (single || part.flags.contains(Flags::NEXT));
        if begins && self.left == 0 {
            return Now::Break(self.error.clone());
        }
        if begins || self.inside {
            self.inside = !part.whole;
            self.left = self.left.saturating_sub(u32::from(part.whole));
        }
        Now::Pass
    }
}

impl Pace {
    fn on(&mut self, part: &Part, now: Instant) -> Now {
        if !self.waiting.is_empty() || !self.is_due(part, now) {
            return Now::Wait;
        }
        self.passed(part, now);
        Now::Pass
    }

    /// Whether it need not wait: what goes on with an item, or is none, never does.
    fn is_due(&self, part: &Part, now: Instant) -> bool {
        let item = part.flags.contains(Flags::NEXT);
        !item || self.inside || self.next_at.is_none_or(|at| now >= at)
    }

    fn passed(&mut self, part: &Part, now: Instant) {
        if self.inside || part.flags.contains(Flags::NEXT) {
            self.inside = !part.whole;
            if part.whole {
                self.next_at = Some(now + self.apart);
            }
        }
    }

    fn remind(&mut self, me: &Arc<Handle>, ticket: &Arc<Ticket>) {
        if let (None, Some(at)) = (&self.reminder, self.next_at) {
            self.reminder = Some(remind(at, me, ticket));
        }
    }
}
