//! Metadata, directory, chain, pick: the broker's policy, read top to bottom.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use jackfield_rsocket::{
    metadata::{self, RoutingEntries, Scan, Service},
    wire::{Interaction, Payload, Request, StreamId},
};

use super::{
    handle::{Handle, LinkId, Order},
    introduction::MetadataKind,
    item::{Cargo, RequestPart},
    link::Link,
    refusal::{Outcome, Refusal},
    routes::{Choice, Name, Route},
    splice::Splice,
    waiting::Waiting,
};
use crate::{
    chain::Rewrite,
    directory::{Endpoint, Instance, Pick, Slot},
};

/// So much of the name of a service that nobody knows is said to its caller and to the log.
const SERVICE_TOLD_MAX: usize = 256;
/// What the routing entries of a request may add up to, like the metadata of one in fragments.
const ROUTING_MAX: usize = 64 * 1024;

/// Where a request goes.
pub(super) enum Decided {
    /// To one of these, with new metadata if a plugin changed what the responder reads.
    To {
        route: Rc<Route>,
        choice: Arc<Choice>,
        metadata: Option<Bytes>,
    },
    /// A plugin answered in the responder's place.
    Answered {
        route: Rc<Route>,
        metadata: Option<Bytes>,
        data: Bytes,
    },
}

impl Link {
    pub(super) fn on_request(&mut self, id: StreamId, request: &Request<'_>, part: RequestPart) {
        if self
            .grant
            .as_mut()
            .is_some_and(|grant| !grant.admit(self.now))
        {
            return self.refuse_new(id, request.interaction, &Refusal::NoLease);
        }
        if request.interaction == Interaction::FireAndForget && !self.told.take(self.now) {
            return self.refuse_new(id, request.interaction, &Refusal::TooManyTold);
        }
        let metadata = request.metadata.unwrap_or_default();
        // Data, or a frame without metadata, proves that the metadata is whole.
        let whole = !request.follows || !request.data.is_empty() || request.metadata.is_none();
        let decided = match self.scan(metadata, whole) {
            _ if self.me.order() != Order::Serve => Err(Refusal::Draining),
            _ if self.plane.refuses_requests() => Err(Refusal::OutOfMemory),
            Err(refusal) => Err(refusal),
            Ok(Scan::NotFound) => Err(Refusal::NoRoute),
            Ok(Scan::Found(entries)) => self.decide(metadata, &entries, request.interaction),
            Ok(Scan::NeedMore) => {
                let waiting = match Waiting::new(part, metadata, &self.held, self.now) {
                    Ok(waiting) => waiting,
                    Err(refusal) => return self.refuse_new(id, request.interaction, &refusal),
                };
                self.connection
                    .accept(id, request, Splice::Waiting(Box::new(waiting)));
                return;
            }
        };
        let started = decided.and_then(|decided| match decided {
            Decided::To {
                route,
                choice,
                metadata,
            } => {
                let near = self.near_end(id, &route, &choice, request.interaction, part.flags)?;
                let written = request.metadata.unwrap_or_default();
                let metadata =
                    self.dressed(&near.1, request.interaction, metadata, written, whole)?;
                let (part, more) = match metadata {
                    Some(metadata) => part.with_metadata(&metadata, request.data, self.frame_max()),
                    None => (part, None),
                };
                let whole = self.connection.accept(id, request, Splice::Near(near.0));
                self.depart(id, whole, near.1, Cargo::new(part, choice), more, 0);
                Ok(())
            }
            Decided::Answered {
                route,
                metadata,
                data,
            } => {
                self.answer(id, &route, metadata.as_deref(), &data);
                Ok(())
            }
        });
        if let Err(refusal) = started {
            self.refuse_new(id, request.interaction, &refusal);
        }
    }

    pub(super) fn scan<'m>(&self, metadata: &'m [u8], whole: bool) -> Result<Scan<'m>, Refusal> {
        match self.metadata_kind {
            // Credentials may stand anywhere in it.
            MetadataKind::Composite if !whole && self.plane.identity.is_per_request() => {
                Ok(Scan::NeedMore)
            }
            MetadataKind::Composite => RoutingEntries::scan(metadata, whole)
                .map_err(|error| Refusal::BadMetadata(error.to_string())),
            MetadataKind::Routing if whole => Ok(Scan::Found(RoutingEntries::of_tags(metadata))),
            MetadataKind::Routing => Ok(Scan::NeedMore),
            MetadataKind::Other => Ok(Scan::NotFound),
        }
    }

    // ---- route, chain

    pub(super) fn decide(
        &mut self,
        metadata: &[u8],
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
    ) -> Result<Decided, Refusal> {
        let len = entries.raw_len();
        if len > ROUTING_MAX {
            let what = format!("routing entries of {len} bytes, at most {ROUTING_MAX}");
            return Err(Refusal::BadMetadata(what));
        }
        let generations = self.plane.generations();
        self.note_caller(metadata)?;
        let known = self.routes.find(entries, interaction, generations);
        let route = match known.filter(|_| self.on_behalf.is_none()) {
            Some(route) => route,
            None => {
                let route = Rc::new(self.resolve(entries, interaction)?);
                if self.on_behalf.is_none() {
                    self.routes.remember(&route);
                }
                route
            }
        };
        if !route.concerned {
            let choice = route.choice.clone();
            return Ok(Decided::To {
                route,
                choice,
                metadata: None,
            });
        }
        let verdict = match route.verdict.get() {
            Some(verdict) => verdict.clone(),
            None => self.ask_chain(&route, metadata, interaction),
        };
        self.obey_verdict(route, verdict, metadata)
    }

    fn resolve(
        &self,
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
    ) -> Result<Route, Refusal> {
        let bad = |error: metadata::MetadataError| Refusal::BadMetadata(error.to_string());
        let made_under = self.plane.generations();
        let target = entries.target().map_err(bad)?;
        self.check_one_voice(entries, &target)?;
        let directory = &self.plane.directory;
        let mut by_name = false;
        let (name, slot) = match (target.route, target.binary) {
            (Some(route), _) => {
                // `com.example.Orders` may be a method of `com.example`, or a service.
                let whole = route.whole();
                let first = directory.find(&route.key());
                by_name = first.is_some();
                match first.or_else(|| self.unpublished(&route)) {
                    Some(slot) => (Name::of(&route), slot),
                    None if let Some(slot) = directory.find(&whole.key()) => {
                        (Name::of(&whole), slot)
                    }
                    None => {
                        let key = route.key().chars().take(SERVICE_TOLD_MAX).collect();
                        return Err(Refusal::UnknownService(key));
                    }
                }
            }
            (None, Some(binary)) => match directory.find_by_id(binary.service_id) {
                Some(slot) => {
                    let service = slot.service();
                    let name = Name {
                        group: service.group().into(),
                        service: service.service().into(),
                        version: service.version().into(),
                        sticky: binary.sticky(),
                        ..Name::default()
                    };
                    (name, slot)
                }
                None => return Err(Refusal::UnknownService(format!("id {}", binary.service_id))),
            },
            (None, None) => return Err(Refusal::NoRoute),
        };
        let routing = self.plane.routing.load();
        Ok(Route {
            made_under,
            metrics: self.plane.metrics.call(&name.service, interaction),
            timeout: routing.value.timeout(&name.service),
            by_name,
            concerned: self.plane.chains.load().concerns(&name.service),
            choice: Arc::new(Choice {
                access: self.access(&name.service, &name.method),
                balance: routing.value.balance(&name.service),
                // A part of the broker is one, whatever endpoint is asked for.
                endpoint: match slot.is_builtin() {
                    true => Box::default(),
                    false => name.endpoint.clone(),
                },
                sticky: name.sticky,
                slot,
            }),
            name,
            verdict: std::cell::OnceCell::new(),
            rewrites: std::cell::RefCell::default(),
        })
    }

    /// What one application answers without having published it: parts of the broker may ask it for that by its uuid.
    fn unpublished(&self, route: &metadata::Route<'_>) -> Option<Arc<Slot<Arc<Handle>>>> {
        let uuid = route.endpoint.strip_prefix("uuid:")?;
        if !self.me.principal.is_broker() {
            return None;
        }
        let instance = self.plane.directory.instance(uuid)?;
        let service = Service::new(route.group, route.service, route.version).ok()?;
        Some(Arc::new(Slot::apart(&service, &instance)))
    }

    pub(super) fn answer(
        &mut self,
        id: StreamId,
        route: &Route,
        metadata: Option<&[u8]>,
        data: &[u8],
    ) {
        let reply = Payload {
            follows: false,
            complete: true,
            next: true,
            metadata,
            data,
        };
        self.say(|frame| reply.encode(id, frame));
        route.metrics.ended(Outcome::Ok, std::time::Duration::ZERO);
    }

    // ---- pick

    pub(super) fn pick(
        &mut self,
        choice: &Choice,
        except: Option<LinkId>,
    ) -> Result<Arc<Instance<Arc<Handle>>>, Refusal> {
        let endpoint = Endpoint(&choice.endpoint);
        let me = self.me.id;
        let by = Pick {
            endpoint,
            balance: choice.balance,
            random: self.random.next(),
        };
        if let Some(held) = self.held(choice, except) {
            return Ok(held);
        }
        let usable = |instance: &Instance<Arc<Handle>>| {
            let link = &instance.link;
            link.usable() && Some(link.id) != except && choice.access.admits(instance)
        };
        // Somebody else, if this caller's share of the outbox is used up; the same one if nobody is.
        let roomy = |instance: &Instance<Arc<Handle>>| {
            usable(instance) && instance.link.outbox.has_room(me)
        };
        let picked = choice
            .slot
            .pick(by, roomy)
            .or_else(|| choice.slot.pick(by, usable));
        if choice.sticky
            && let Some(instance) = &picked
        {
            self.sticky.keep(choice.slot.key(), instance, self.now);
        }
        picked.ok_or_else(|| {
            let service = choice.slot.service().to_string();
            let candidates = choice.slot.candidates();
            if candidates.is_empty() {
                Refusal::UnknownService(service)
            } else if !endpoint.is_any()
                && !candidates.iter().any(|instance| endpoint.admits(instance))
            {
                Refusal::UnknownEndpoint {
                    service,
                    endpoint: choice.endpoint.to_string(),
                }
            } else if !candidates.iter().any(|instance| {
                (endpoint.is_any() || endpoint.admits(instance)) && choice.access.admits(instance)
            }) {
                Refusal::NotAllowed(service)
            } else {
                Refusal::Overloaded(service)
            }
        })
    }

    /// The instance that the caller's sticky calls go to, if this one may go there.
    fn held(
        &mut self,
        choice: &Choice,
        except: Option<LinkId>,
    ) -> Option<Arc<Instance<Arc<Handle>>>> {
        if !choice.sticky {
            return None;
        }
        let ttl = self.plane.routing.load().value.sticky;
        let held = self.sticky.find(choice.slot.key(), ttl, self.now)?;
        let endpoint = Endpoint(&choice.endpoint);
        let fits = choice.slot.has(&held)
            && (endpoint.is_any() || endpoint.admits(&held))
            && choice.access.admits(&held);
        (fits && held.link.usable() && Some(held.link.id) != except).then_some(held)
    }

    /// Refuses a request that was never counted as a call of a service.
    pub(super) fn refuse_new(&mut self, id: StreamId, interaction: Interaction, refusal: &Refusal) {
        self.plane.metrics.call_refused(interaction);
        self.refuse(id, interaction, refusal);
    }

    pub(super) fn refuse(&mut self, id: StreamId, interaction: Interaction, refusal: &Refusal) {
        self.plane.refused(refusal, &self.me);
        if interaction != Interaction::FireAndForget {
            self.send_error(id, refusal.code(), refusal.text().as_bytes());
        }
    }

    fn frame_max(&self) -> usize {
        self.plane.limits.frame
    }
}

impl Name {
    fn of(route: &metadata::Route<'_>) -> Self {
        Self {
            group: route.group.into(),
            service: route.service.into(),
            method: route.method.into(),
            version: route.version.into(),
            endpoint: route.endpoint.into(),
            sticky: route.sticky,
        }
    }

    /// The key of the service that a rewrite leads to.
    pub(super) fn key_with(&self, rewrite: &Rewrite) -> String {
        let group = rewrite.group.as_deref().unwrap_or(&self.group);
        let service = rewrite.service.as_deref().unwrap_or(&self.service);
        let version = rewrite.version.as_deref().unwrap_or(&self.version);
        let mut key = String::with_capacity(group.len() + service.len() + version.len() + 2);
        if !group.is_empty() {
            key.push_str(group);
            key.push('!');
        }
        key.push_str(service);
        if !version.is_empty() {
            key.push(':');
            key.push_str(version);
        }
        key
    }
}
