//! One instance for one request: those that fit and could take it, what a plugin of the hook `endpoint-selector` says
//! about them, and the balance among what is left.

use std::sync::Arc;

use jackfield_rsocket::wire::Interaction;

use super::{
    dispatch::{Asked, Way},
    handle::{Handle, LinkId},
    item::Cargo,
    link::Link,
    refusal::Refusal,
    routes::{Choice, Name},
};
use crate::{
    chain::{self, CallerFacts, Instances, Selection},
    directory::{self, Endpoint, Pick},
};

type Instance = directory::Instance<Arc<Handle>>;

/// Who gets a request, and who may get it when that one does not take it.
pub(super) struct Picked {
    pub(super) to: Arc<Instance>,
    pub(super) selected: Option<Box<Selected>>,
}

/// Among whom a plugin lets a request go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    Among(Box<[LinkId]>),
    /// The first that can take it.
    Ranking(Box<[LinkId]>),
}

impl Selected {
    /// What is kept of a selection; none: the plugin has no opinion.
    fn of(selection: Selection, shown: &[&Arc<Instance>]) -> Option<Self> {
        let links = |named: Vec<u32>| {
            let link = |index: u32| shown.get(index as usize).map(|instance| instance.link.id);
            named.into_iter().filter_map(link).collect()
        };
        Some(match selection {
            Selection::Any => return None,
            Selection::Among(named) => Self::Among(links(named)),
            Selection::Ranking(named) => Self::Ranking(links(named)),
            Selection::One(index) => Self::Ranking(links(vec![index])),
        })
    }

    const fn links(&self) -> &[LinkId] {
        let (Self::Among(links) | Self::Ranking(links)) = self;
        links
    }

    pub(super) const fn bytes(&self) -> usize {
        size_of_val(self.links())
    }
}

impl Link {
    /// Asks the selectors, if any is for the service.
    pub(super) fn pick_first(&mut self, way: &Way, request: &Asked<'_>) -> Result<Picked, Refusal> {
        let selected = match way.choice.selected {
            false => None,
            true => self.select(way, request)?.map(Box::new),
        };
        let to = self.pick(&way.choice, None, selected.as_deref())?;
        Ok(Picked { to, selected })
    }

    /// For a request that came back from a link: somebody else, as far as a plugin lets it.
    pub(super) fn pick_again(
        &mut self,
        cargo: &Cargo,
        except: LinkId,
    ) -> Result<Arc<Instance>, Refusal> {
        self.pick(&cargo.choice, Some(except), cargo.selected.as_deref())
    }

    fn select(&self, way: &Way, request: &Asked<'_>) -> Result<Option<Selected>, Refusal> {
        let choice = &*way.choice;
        let candidates = choice.slot.candidates();
        let endpoint = Endpoint(&choice.endpoint);
        let fits = |instance: &&Arc<Instance>| {
            (endpoint.is_any() || endpoint.admits(instance)) && self.usable(choice, None, instance)
        };
        let shown: Vec<_> = candidates.iter().filter(fits).collect();
        let facts = self.facts();
        let shown_request = self.shown(&way.route.name, request, &facts);
        let change = choice.change.as_ref();
        let selection = way
            .chain
            .select(&shown_request, change, &Instances(&shown), way.left);
        let selection = selection.map_err(|plugin| Refusal::PluginFailed(plugin.to_string()))?;
        let selected = Selected::of(selection, &shown);
        match &selected {
            Some(selected) if selected.links().is_empty() => Err(Refusal::UnknownEndpoint {
                service: choice.slot.service().to_string(),
                endpoint: "that a plugin selects".into(),
            }),
            _ => Ok(selected),
        }
    }

    /// Whether an instance could take the request now.
    fn usable(&self, choice: &Choice, except: Option<LinkId>, instance: &Instance) -> bool {
        let link = &instance.link;
        !instance.is_away()
            && link.usable()
            && Some(link.id) != except
            && choice.access.admits(instance)
    }

    fn pick(
        &mut self,
        choice: &Choice,
        except: Option<LinkId>,
        selected: Option<&Selected>,
    ) -> Result<Arc<Instance>, Refusal> {
        let endpoint = Endpoint(&choice.endpoint);
        if let Some(held) = self.held(choice, except, selected) {
            return Ok(held);
        }
        let by = Pick {
            endpoint,
            balance: choice.balance,
            random: self.random.next(),
        };
        let usable = |instance: &Instance| self.usable(choice, except, instance);
        // Somebody else, if this caller's share of the outbox is used up; the same one if nobody is.
        let roomy =
            |instance: &Instance| usable(instance) && instance.link.outbox.has_room(self.me.id);
        let slot = &choice.slot;
        let picked = match selected {
            None => slot.pick(by, roomy).or_else(|| slot.pick(by, usable)),
            Some(Selected::Among(links)) => {
                let among = |instance: &Instance| links.contains(&instance.link.id);
                slot.pick(by, |instance| among(instance) && roomy(instance))
                    .or_else(|| slot.pick(by, |instance| among(instance) && usable(instance)))
            }
            Some(Selected::Ranking(links)) => links.iter().find_map(|link| {
                slot.pick(by, |instance| instance.link.id == *link && usable(instance))
            }),
        };
        if let Some(instance) = picked.as_ref().filter(|_| choice.sticky) {
            self.sticky.keep(choice.slot.key(), instance, self.now);
        }
        picked.ok_or_else(|| none_fits(choice))
    }

    /// The instance that the caller's sticky calls go to, if this one may go there.
    fn held(
        &mut self,
        choice: &Choice,
        except: Option<LinkId>,
        selected: Option<&Selected>,
    ) -> Option<Arc<Instance>> {
        if !choice.sticky {
            return None;
        }
        let ttl = self.plane.routing.load().value.sticky;
        let held = self.sticky.find(choice.slot.key(), ttl, self.now)?;
        let endpoint = Endpoint(&choice.endpoint);
        let fits = choice.slot.has(&held)
            && (endpoint.is_any() || endpoint.admits(&held))
            && selected.is_none_or(|selected| selected.links().contains(&held.link.id))
            && self.usable(choice, except, &held);
        fits.then_some(held)
    }

    // ---- what plugins are shown

    /// What is known about whoever asks, beside its names.
    pub(super) fn facts(&self) -> CallerFacts<'_> {
        CallerFacts {
            principal: self.caller(),
            metadata: self.instance.as_ref().map(|app| &app.app.metadata),
        }
    }

    pub(super) fn shown<'a>(
        &'a self,
        name: &'a Name,
        request: &Asked<'a>,
        facts: &'a CallerFacts<'a>,
    ) -> chain::Request<'a> {
        chain::Request {
            link: self.me.id.0,
            interaction: match request.interaction {
                Interaction::Response => chain::Interaction::RequestResponse,
                Interaction::FireAndForget => chain::Interaction::FireAndForget,
                Interaction::Stream => chain::Interaction::Stream,
                Interaction::Channel => chain::Interaction::Channel,
            },
            group: &name.group,
            service: &name.service,
            method: &name.method,
            version: &name.version,
            endpoint: &name.endpoint,
            sticky: name.sticky,
            metadata: request.metadata,
            caller: chain::Caller {
                app: &self.app_name,
                instance: self.instance.as_ref().map_or("", |app| &app.app.uuid),
                address: &self.address,
                principal: &facts.principal.subject,
                facts,
            },
        }
    }
}

/// Why no instance of a service gets a request.
fn none_fits(choice: &Choice) -> Refusal {
    let endpoint = Endpoint(&choice.endpoint);
    let service = choice.slot.service().to_string();
    let candidates = choice.slot.candidates();
    let fit = |instance: &Instance| endpoint.is_any() || endpoint.admits(instance);
    if candidates.is_empty() {
        Refusal::UnknownService(service)
    } else if !candidates.iter().any(|instance| fit(instance)) {
        Refusal::UnknownEndpoint {
            service,
            endpoint: choice.endpoint.to_string(),
        }
    } else if !candidates
        .iter()
        .any(|instance| fit(instance) && choice.access.admits(instance))
    {
        Refusal::NotAllowed(service)
    } else {
        Refusal::Overloaded(service)
    }
}
