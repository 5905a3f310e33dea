//! A routed request leaves for its responder, and comes back when it could not be sent.

use std::{rc::Rc, sync::Arc};

use jackfield_rsocket::{
    engine::Exhausted,
    wire::{Flags, Interaction, StreamId},
};

use super::{
    handle::Handle,
    inbound::tell_credit,
    item::{Cargo, Item, Opening, Part, RequestPart, Returned},
    link::Link,
    refusal::{Outcome, Refusal, Untaken},
    routes::{Choice, Route},
    shaper::Shaper,
    splice::{Call, Near, Splice},
    ticket::{End, Ticket},
};
use crate::directory::Instance;

/// How often an instance is picked for one request: it may come back unsent twice.
const ATTEMPTS_MAX: u8 = 3;

impl Link {
    /// Picks an instance, and makes the requester's end of a call to it.
    #[expect(
        clippy::type_complexity,
        reason = "an end and who is to answer, taken apart at once"
    )]
    pub(super) fn near_end(
        &mut self,
        id: StreamId,
        route: &Rc<Route>,
        choice: &Choice,
        interaction: Interaction,
        flags: Flags,
    ) -> Result<(Box<Near>, Arc<Instance<Arc<Handle>>>), Refusal> {
        let instance = self.pick(choice, None)?;
        let ticket = Ticket::new(self.me.clone(), id, instance.link.clone());
        let call = Call::new(route.metrics.clone(), self.now);
        let shaper = Shaper::new(self.plane.limits.credit_window);
        let silent = interaction == Interaction::FireAndForget;
        let partial = flags.contains(Flags::FOLLOWS);
        let mut near = Near::new(ticket, shaper, partial, call);
        near.silent = silent;
        let near = near.due(route.timeout.filter(|_| !silent));
        Ok((Box::new(near), instance))
    }

    /// Hands the request to the far link. `whole` is the near end of a fire-and-forget, which ends
    /// as it departs.
    pub(super) fn depart(
        &mut self,
        id: StreamId,
        whole: Option<Splice>,
        instance: Arc<Instance<Arc<Handle>>>,
        mut cargo: Cargo,
        fragments: impl IntoIterator<Item = Part>,
        credit: u32,
    ) {
        let (ticket, more) = match (whole, self.connection.get_mut(id)) {
            (Some(Splice::Near(near)), _) => {
                let ticket = near.ticket.clone();
                near.finish(Outcome::Ok, self.now);
                (ticket, 0)
            }
            (None, Some(Splice::Near(near))) => {
                let granted = cargo.request.initial_n;
                cargo.request.initial_n = if granted > 0 {
                    near.shaper.grant(granted)
                } else {
                    0
                };
                if near.partial {
                    near.shaper.hold(credit);
                    (near.ticket.clone(), 0)
                } else {
                    (near.ticket.clone(), near.shaper.grant(credit))
                }
            }
            _ => return,
        };
        let far = ticket.far.clone();
        self.hand_over(&ticket, cargo, &instance);
        for payload in fragments {
            let item = Item::Payload {
                ticket: ticket.clone(),
                to: End::Far,
                payload,
            };
            let _ = far.push(&self.me, item);
        }
        tell_credit(&self.me, &ticket, End::Far, more);
        self.rest_if_full(&far);
    }

    /// When the far link is gone or full, the request comes back by itself.
    fn hand_over(&self, ticket: &Arc<Ticket>, cargo: Cargo, to: &Arc<Instance<Arc<Handle>>>) {
        let opening = Opening::new(ticket.clone(), cargo, to.begin());
        let _ = ticket.far.push(&self.me, Item::Open(Box::new(opening)));
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
            true => self.pick(&cargo.choice, Some(ticket.far.id)).ok(),
            false => None,
        };
        let Some(instance) = picked else {
            return self.give_up(&ticket, &cargo, why);
        };
        let next = Ticket::new(self.me.clone(), id, instance.link.clone());
        if let Some(Splice::Near(near)) = self.connection.get_mut(id)
            && Arc::ptr_eq(&near.ticket, &ticket)
        {
            let credit = ticket.take_credit(End::Far).min(0x7FFF_FFFF) as u32;
            let granted = cargo.request.initial_n.saturating_add(credit);
            cargo.request.initial_n = granted.min(0x7FFF_FFFF);
            near.ticket = next.clone();
        }
        cargo.attempt += 1;
        self.hand_over(&next, cargo, &instance);
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

impl Cargo {
    pub(super) const fn new(request: RequestPart, choice: Arc<Choice>) -> Self {
        Self {
            request,
            choice,
            attempt: 1,
        }
    }
}

impl From<Exhausted> for Untaken {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::TooMany => Self::TooManyStreams,
            Exhausted::Draining => Self::Draining,
        }
    }
}
