//! Metadata, directory, chain: the broker's policy, read top to bottom. Who gets the request is picked in `pick`.

use std::{
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::Guard;
use bytes::Bytes;
use jackfield_rsocket::{
    metadata::{self, RoutingEntries, Scan},
    wire::{Interaction, Payload, Request, StreamId},
};

use super::{
    access::Access,
    departure::Parcel,
    handle::{Handle, Order},
    introduction::MetadataKind,
    item::{Cargo, RequestPart},
    link::Link,
    plane::Generations,
    refusal::{Outcome, Refusal},
    routes::{Choice, Name, Route},
    splice::Splice,
    verdict::Obeyed,
    waiting::Waiting,
};
use crate::{
    chain::{Chain, Fault, Rewrite},
    directory::{Balance, Slot},
};

/// So much of the name of a service that nobody knows is said to its caller and to the log.
const SERVICE_TOLD_MAX: usize = 256;
/// What the routing entries of a request may add up to, like the metadata of one in fragments.
const ROUTING_MAX: usize = 64 * 1024;

/// Where a request goes.
pub(super) enum Decided {
    To(Way),
    /// Plugins have to say first whose it is.
    Unknown {
        credentials: Bytes,
    },
    /// A plugin answered in the responder's place.
    Answered {
        route: Rc<Route>,
        metadata: Option<Bytes>,
        data: Bytes,
    },
    /// It is for the broker to hear (`direct.rs`).
    Heard,
}

/// To one of the instances of a choice.
pub(super) struct Way {
    pub(super) route: Rc<Route>,
    pub(super) choice: Arc<Choice>,
    /// If a plugin changed what the responder reads.
    pub(super) metadata: Option<Bytes>,
    /// What goes wrong on the way.
    pub(super) fault: Option<Fault>,
    /// Of the chain's deadline, for the selectors.
    pub(super) left: Duration,
    /// The one generation that this decision sees.
    pub(super) chain: Guard<Arc<Chain>>,
}

/// What a request is, when its metadata is whole.
pub(super) struct Asked<'m> {
    pub(super) interaction: Interaction,
    pub(super) metadata: &'m [u8],
    /// All of the metadata is here.
    pub(super) whole: bool,
    /// Fragments of it are still to come.
    pub(super) partial: bool,
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
            Ok(Scan::NotFound) => self.unrouted(metadata, request.interaction),
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
            Decided::To(mut way) => {
                let asked = Asked {
                    interaction: request.interaction,
                    metadata,
                    whole,
                    partial: request.follows,
                };
                let (near, picked) = self.near_end(id, &mut way, &asked)?;
                let (part, more) = match &way.metadata {
                    Some(metadata) => part.with_metadata(metadata, request.data, self.frame_max()),
                    None => (part, None),
                };
                let parcel = Parcel {
                    cargo: Cargo::new(part, way.choice, picked.selected),
                    to: picked.to,
                    fragments: more.into_iter().collect(),
                };
                let whole = self.connection.accept(id, request, Splice::Near(near));
                self.depart(id, whole, parcel, way.fault.as_ref(), 0);
                Ok(())
            }
            Decided::Unknown { credentials } => {
                let waiting = Box::new(Waiting::asking(part, metadata, &self.held, self.now));
                let whole = self
                    .connection
                    .accept(id, request, Splice::Waiting(waiting));
                match whole {
                    Some(Splice::Waiting(waiting)) => self.ask_of(id, *waiting, credentials),
                    _ => self.ask_at(id, credentials, !request.follows),
                }
            }
            Decided::Answered {
                route,
                metadata,
                data,
            } => {
                self.answer(id, &route, metadata.as_deref(), &data);
                Ok(())
            }
            Decided::Heard => self.hear(id, request),
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
            MetadataKind::Direct | MetadataKind::Other => Ok(Scan::NotFound),
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
        match self.note_caller(metadata)? {
            Some(credentials) => Ok(Decided::Unknown { credentials }),
            None => self.decide_for(metadata, entries, interaction),
        }
    }

    /// When it is known whose request it is.
    pub(super) fn decide_for(
        &mut self,
        metadata: &[u8],
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
    ) -> Result<Decided, Refusal> {
        let chain = self.plane.chains.load();
        let generations = self.plane.generations(&chain);
        let known = self.routes.find(entries, interaction, generations);
        let route = match known.filter(|_| self.on_behalf.is_none()) {
            Some(route) => route,
            None if self.is_for_the_broker(entries) => return Ok(Decided::Heard),
            None => {
                let route = Rc::new(self.resolve(entries, interaction, (&chain, generations))?);
                if self.on_behalf.is_none() {
                    self.routes.remember(&route);
                }
                route
            }
        };
        let asked = Asked {
            interaction,
            metadata,
            whole: true,
            partial: false,
        };
        let (mut left, mut way) = (None, None);
        if route.concerned {
            let verdict = match route.verdict.get() {
                Some(verdict) => verdict.clone(),
                None => {
                    let (verdict, rest) = self.ask_chain(&chain, &route, &asked);
                    left = Some(rest);
                    verdict
                }
            };
            match self.obey_verdict(&chain, &route, verdict, metadata)? {
                Obeyed::Goes(choice, metadata) => way = Some((choice, metadata)),
                Obeyed::Answered { metadata, data } => {
                    return Ok(Decided::Answered {
                        route,
                        metadata,
                        data,
                    });
                }
            }
        }
        let (choice, new_metadata) = way.unwrap_or_else(|| (route.choice.clone(), None));
        let mut way = Way {
            left: left.unwrap_or(route.chain_deadline),
            route,
            choice,
            metadata: new_metadata,
            fault: None,
            chain,
        };
        if way.choice.disturbed {
            self.disturb(&mut way, &asked)?;
        }
        Ok(Decided::To(way))
    }

    fn resolve(
        &self,
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
        (chain, made_under): (&Chain, Generations),
    ) -> Result<Route, Refusal> {
        let bad = |error: metadata::MetadataError| Refusal::BadMetadata(error.to_string());
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
                match first {
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
            concerned: self.asks_plugins() && chain.concerns(&name.service),
            chain_deadline: chain.deadline(),
            choice: Arc::new(self.choice(
                chain,
                slot,
                (&name.service, &name.method),
                (name.endpoint.clone(), name.sticky),
                routing.value.balance(&name.service),
                None,
            )),
            name,
            verdict: std::cell::OnceCell::new(),
            rewrites: std::cell::RefCell::default(),
        })
    }

    /// `change` is what a plugin made of the route to get there.
    pub(super) fn choice(
        &self,
        chain: &Chain,
        slot: Arc<Slot<Arc<Handle>>>,
        (service, method): (&str, &str),
        (endpoint, sticky): (Box<str>, bool),
        balance: Balance,
        change: Option<&Rewrite>,
    ) -> Choice {
        let asks = self.asks_plugins();
        // The broker's own services are told who opened the connection, and not for whom it speaks.
        let for_another = { self.on_behalf.iter() }.any(|who| **who != *self.me.principal);
        Choice {
            access: match slot.is_builtin() && for_another {
                true => Access::Nobody,
                false => self.access(service, method),
            },
            // A part of the broker is one, whatever endpoint is asked for.
            endpoint: match slot.is_builtin() {
                true => Box::default(),
                false => endpoint,
            },
            sticky,
            slot,
            balance,
            disturbed: asks && chain.disturbs(service),
            selected: asks && chain.selects(service),
            change: change.cloned().map(Arc::new),
            plans: OnceLock::new(),
        }
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
        route.metrics.ended(Outcome::Ok, Duration::ZERO, None);
    }

    // ---- refusals

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
