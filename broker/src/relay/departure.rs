//! A routed request leaves for its responder, and comes back when it could not be sent.

use std::{rc::Rc, sync::Arc};

use jackfield_rsocket::wire::{Flags, Interaction, StreamId};

use super::{
    handle::{Handle, LinkId},
    inbound::tell_credit,
    item::{Item, Opening, Part, RequestPart, Returned},
    link::Link,
    refusal::{Outcome, Refusal},
    routes::{Choice, Route},
    shaper::Shaper,
    splice::{Call, Near, Splice},
    ticket::{End, Ticket},
};
use crate::directory::Instance;

/// How often an instance is picked for one request: it may come back unsent twice.
const ATTEMPTS_MAX: u8 = 3;

impl Link {
    #[expect(
        clippy::type_complexity,
        reason = "an end and who is to answer, taken apart at once"
    )]
    pub(super) fn near_end(
        &mut self,
        id: StreamId,
        route: &Rc<Route>,
        choice: &Rc<Choice>,
        request: (Interaction, Flags),
        except: Option<LinkId>,
    ) -> Result<(Box<Near>, Arc<Instance<Arc<Handle>>>), Refusal> {
        let instance = self.pick(choice, except)?;
        let ticket = Ticket::new(self.me.clone(), id, instance.link.clone());
        let call = Call::new(route.metrics.clone(), self.now);
        let shaper = Shaper::new(self.plane.limits.credit_window);
        let (interaction, flags) = request;
        let silent = interaction == Interaction::FireAndForget;
        let partial = flags.contains(Flags::FOLLOWS);
        let mut near = Near::new(ticket, choice.clone(), shaper, partial, call);
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
        mut request: RequestPart,
        fragments: Vec<Part>,
        credit: u32,
    ) {
        let (ticket, more) = match (whole, self.connection.get_mut(id)) {
            (Some(Splice::Near(near)), _) => {
                let ticket = near.ticket.clone();
                near.finish(Outcome::Ok, self.now);
                (ticket, 0)
            }
            (None, Some(Splice::Near(near))) => {
                let granted = request.initial_n;
                request.initial_n = if granted > 0 {
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
        let opening = Opening::new(ticket.clone(), request, instance.begin());
        // When the far link is gone, the request comes back by itself.
        let _ = far.push(&self.me, Item::Open(Box::new(opening)));
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

    /// A request came back unsent: picks again, or says why not.
    pub(super) fn on_returned(&mut self, returned: Returned) {
        let Returned {
            ticket,
            mut request,
            whole,
        } = returned;
        let id = ticket.near_id;
        let Some(Splice::Near(near)) = self.connection.get_mut(id) else {
            if request.interaction == Interaction::FireAndForget {
                self.plane.metrics.refused(&Refusal::ProviderLost);
            }
            return;
        };
        if !Arc::ptr_eq(&near.ticket, &ticket) {
            return;
        }
        let choice = near.choice.clone();
        // What followed it is lost, so only a request that is whole by itself can go elsewhere.
        let again = whole
            && near.attempts < ATTEMPTS_MAX
            && !near.followed
            && !request.flags.contains(Flags::FOLLOWS);
        let picked = match again {
            true => self.pick(&choice, Some(ticket.far.id)),
            false => Err(Refusal::Overloaded(String::new())),
        };
        // It was not processed, and whoever could have taken it may be back in a moment.
        let picked = picked.map_err(|_| Refusal::Overloaded(choice.slot.service().to_string()));
        match (picked, self.connection.get_mut(id)) {
            (Ok(instance), Some(Splice::Near(near))) => {
                let credit = ticket.take_credit(End::Far).min(0x7FFF_FFFF) as u32;
                request.initial_n = request.initial_n.saturating_add(credit).min(0x7FFF_FFFF);
                near.attempts += 1;
                near.ticket = Ticket::new(self.me.clone(), id, instance.link.clone());
                let far = instance.link.clone();
                let opening = Opening::new(near.ticket.clone(), request, instance.begin());
                let _ = far.push(&self.me, Item::Open(Box::new(opening)));
            }
            (Err(refusal), _) => {
                if let Some(Splice::Near(near)) = self.connection.forget(id) {
                    near.finish(refusal.outcome(), self.now);
                }
                self.refuse(id, request.interaction, &refusal);
            }
            _ => {}
        }
    }
}
