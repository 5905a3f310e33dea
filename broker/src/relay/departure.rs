//! A routed request leaves for its responder, and comes back when it could not be sent.

use std::sync::Arc;

use jackfield_rsocket::{
    engine::Exhausted,
    wire::{Flags, Interaction, StreamId},
};

use super::{
    dispatch::{Asked, Way},
    faults::{Trouble, go_alone},
    handle::Handle,
    inbound::{place, tell_credit},
    introduction::MetadataKind,
    item::{Cargo, Item, Opening, Part, Returned},
    link::Link,
    pick::Picked,
    refusal::{Outcome, Refusal, Untaken},
    splice::{Call, Near, Splice},
    ticket::{End, Ticket},
    traced::trace_of,
};
use crate::{chain::Fault, directory::Instance};

/// How often an instance is picked for one request: it may come back unsent twice.
const ATTEMPTS_MAX: u8 = 3;

/// A request, and whom it goes to.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) cargo: Cargo,
    pub(super) to: Arc<Instance<Arc<Handle>>>,
    /// What is here already of what follows it.
    pub(super) fragments: Vec<Part>,
}

impl Parcel {
    /// What it keeps in memory.
    pub(super) fn bytes(&self) -> usize {
        let fragments = self.fragments.iter().map(Part::weight);
        self.cargo.len() + fragments.sum::<usize>()
    }
}

impl Link {
    /// Picks an instance, and makes the requester's end of a call to it.
    pub(super) fn near_end(
        &mut self,
        id: StreamId,
        way: &mut Way,
        request: &Asked<'_>,
    ) -> Result<(Box<Near>, Picked), Refusal> {
        let picked = self.pick_first(way, request)?;
        way.metadata = self.dressed(&picked.to, way.metadata.take(), request)?;
        let silent = request.interaction == Interaction::FireAndForget;
        let single = !request.interaction.has_credit();
        let fault = way.fault.as_ref();
        let trouble = match fault.filter(|_| !silent) {
            Some(fault) => Trouble::of_reply(fault, single, (&self.plane, &self.me))?,
            None => None,
        };
        let ticket = Ticket::new(self.me.clone(), id, picked.to.link.clone());
        let trace = match self.metadata_kind {
            MetadataKind::Composite => trace_of(request.metadata),
            _ => None,
        };
        let call = Call::new(way.route.metrics.clone(), self.now, trace);
        let shaper = Trouble::shaper(trouble.as_ref(), self.plane.limits.credit_window);
        let mut near = Near::new(ticket, shaper, request.partial, call);
        near.silent = silent;
        near.trouble = trouble.map(Box::new);
        let near = near.due(way.route.timeout.filter(|_| !silent));
        Ok((Box::new(near), picked))
    }

    /// Hands the request to the far link, now or when a fault lets it go. `whole` is the near end of a
    /// fire-and-forget, which ends as it departs.
    pub(super) fn depart(
        &mut self,
        id: StreamId,
        whole: Option<Splice>,
        mut parcel: Parcel,
        fault: Option<&Fault>,
        credit: u32,
    ) {
        let around = (&*self.plane, &self.me, self.now);
        let (ticket, left, more) = match (whole, self.connection.get_mut(id)) {
            (Some(Splice::Near(mut near)), _) => match near.hold(parcel, fault, around) {
                Ok(None) => return go_alone(near, &self.me, self.now),
                Ok(Some(parcel)) => return self.depart_whole(*near, parcel),
                Err(refusal) => {
                    near.cancel(refusal.outcome(), self.now);
                    return self.plane.refused(&refusal, &self.me);
                }
            },
            (None, Some(Splice::Near(near))) => {
                let granted = parcel.cargo.request.initial_n;
                parcel.cargo.request.initial_n = match granted {
                    0 => 0,
                    granted => near.shaper.grant(granted),
                };
                let more = match near.partial {
                    true => {
                        near.shaper.hold(credit);
                        0
                    }
                    false => near.shaper.grant(credit),
                };
                let left = near.hold(parcel, fault, around);
                (near.ticket.clone(), left, more)
            }
            _ => return,
        };
        let handed = match left {
            Ok(Some(parcel)) => hand_over(&self.me, &ticket, parcel),
            Ok(None) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = handed {
            return self.fail_near(id, &refusal);
        }
        tell_credit(&self.me, &ticket, End::Far, more);
        self.rest_if_full(&ticket.far);
    }

    /// Hands over a fire-and-forget that is whole, and withdraws it when not all of it fits.
    fn depart_whole(&mut self, near: Near, parcel: Parcel) {
        let target = near.ticket.far.clone();
        match hand_over(&self.me, &near.ticket, parcel) {
            Ok(()) => near.finish(Outcome::Ok, self.now),
            Err(refusal) => {
                near.cancel(refusal.outcome(), self.now);
                self.plane.refused(&refusal, &self.me);
            }
        }
        self.rest_if_full(&target);
    }

    /// A request came back unsent: picks again, or says why not.
    pub(super) fn on_returned(&mut self, returned: Returned) {
        let Returned {
            ticket,
            mut cargo,
            whole,
            why,
        } = returned;
        let id = ticket.near_id;
        let followed = match self.connection.get(id) {
            Some(Splice::Near(near)) if Arc::ptr_eq(&near.ticket, &ticket) => near.followed,
            // Its near end has finished long ago, and needs no number to be sent elsewhere.
            _ if cargo.request.interaction == Interaction::FireAndForget => false,
            _ => return,
        };
        // What followed it is lost, so only a request that is whole by itself can go elsewhere.
        let fragmented = followed || cargo.request.flags.contains(Flags::FOLLOWS);
        let again = whole && !fragmented && cargo.attempt < ATTEMPTS_MAX;
        let picked = match again {
            true => self.pick_again(&cargo, ticket.far.id).ok(),
            false => None,
        };
        let Some(to) = picked else {
            return self.give_up(&ticket, &cargo, why);
        };
        match self.dressed_again(&to, cargo.request.clone()) {
            Ok(request) => cargo.request = request,
            Err(_) => return self.give_up(&ticket, &cargo, why),
        }
        let next = Ticket::new(self.me.clone(), id, to.link.clone());
        if let Some(Splice::Near(near)) = self.connection.get_mut(id)
            && Arc::ptr_eq(&near.ticket, &ticket)
        {
            let credit = ticket.take_credit(End::Far).min(0x7FFF_FFFF) as u32;
            let granted = cargo.request.initial_n.saturating_add(credit);
            cargo.request.initial_n = granted.min(0x7FFF_FFFF);
            near.ticket = next.clone();
        }
        cargo.attempt += 1;
        let parcel = Parcel {
            cargo,
            to,
            fragments: Vec::new(),
        };
        // There is nothing behind it that could not be placed.
        let _ = hand_over(&self.me, &next, parcel);
    }

    /// It was not processed, and whoever could have taken it may be back in a moment.
    fn give_up(&mut self, ticket: &Arc<Ticket>, cargo: &Cargo, why: Untaken) {
        let service = cargo.choice.slot.service().to_string();
        let refusal = Refusal::NotTaken { service, why };
        let id = ticket.near_id;
        if self.connection.get(id).is_some_and(|own| own.is_of(ticket))
            && let Some(Splice::Near(near)) = self.connection.forget(id)
        {
            near.finish(refusal.outcome(), self.now);
        }
        self.refuse(id, cargo.request.interaction, &refusal);
    }
}

/// Places the request in the far link's outbox, and behind it what is here already. When that link is gone or full,
/// the request comes back by itself; what follows it may find the outbox full.
pub(super) fn hand_over(
    me: &Arc<Handle>,
    ticket: &Arc<Ticket>,
    parcel: Parcel,
) -> Result<(), Refusal> {
    let Parcel {
        cargo,
        to,
        fragments,
    } = parcel;
    let opening = Opening::new(ticket.clone(), cargo, to.begin());
    let _ = ticket.far.push(me, Item::Open(Box::new(opening)));
    { fragments.into_iter() }.try_for_each(|part| place(me, ticket, End::Far, part))
}

impl From<Exhausted> for Untaken {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::TooMany => Self::TooManyStreams,
            Exhausted::Draining => Self::Draining,
        }
    }
}
