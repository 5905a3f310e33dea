//! Metadata, directory, chain, pick: the broker's policy, read top to bottom.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use jackfield_rsocket::{
    engine::Part as Fragment,
    metadata::{Edit, RouteEdit, RoutingEntries, Scan, TagEdit},
    wire::{Flags, Interaction, Payload, Request, StreamId},
};

use super::{
    handle::{Handle, LinkId, Order},
    introduction::MetadataKind,
    item::{Cargo, Part, RequestPart},
    link::Link,
    refusal::{Outcome, Refusal},
    routes::{Choice, Name, Route},
    splice::Splice,
    waiting::Waiting,
};
use crate::{
    chain::{self, Rewrite, Verdict},
    directory::{Endpoint, Instance, Pick},
};

/// Header, credit and metadata length of the longest request's first frame.
const METADATA_OVERHEAD: usize = 13;

/// Where a request goes.
enum Decided {
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

    /// One more fragment of a request that could not be routed yet.
    pub(super) fn on_waiting(
        &mut self,
        id: StreamId,
        payload: &Payload<'_>,
        part: Part,
        fragment: Fragment,
    ) {
        let last = matches!(fragment, Fragment::Request { last: true });
        let Some(Splice::Waiting(waiting)) = self.connection.get_mut(id) else {
            return;
        };
        let whole = last || !payload.data.is_empty() || payload.metadata.is_none();
        let interaction = waiting.request.interaction;
        let pushed = waiting.push(part, payload.metadata);
        let metadata = waiting.metadata.clone().freeze();
        let decided = match (pushed, self.scan(&metadata, whole)) {
            (Ok(()), Ok(Scan::NeedMore)) => return,
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
            (Ok(()), Ok(Scan::NotFound)) => Err(Refusal::NoRoute),
            (Ok(()), Ok(Scan::Found(entries))) => self.decide(&metadata, &entries, interaction),
        };
        if let Err(refusal) = decided.and_then(|decided| self.start_waiting(id, decided, last)) {
            self.connection.forget(id);
            self.refuse_new(id, interaction, &refusal);
        }
    }

    /// The last fragment of a fire-and-forget, which ended the stream.
    pub(super) fn on_waiting_ended(
        &mut self,
        id: StreamId,
        mut waiting: Waiting,
        payload: &Payload<'_>,
        part: Part,
    ) {
        let interaction = waiting.request.interaction;
        let pushed = waiting.push(part, payload.metadata);
        let metadata = waiting.metadata.clone().freeze();
        let decided = pushed.and_then(|()| match self.scan(&metadata, true)? {
            Scan::Found(entries) => self.decide(&metadata, &entries, interaction),
            Scan::NotFound | Scan::NeedMore => Err(Refusal::NoRoute),
        });
        let started = decided.and_then(|decided| {
            let Decided::To {
                route,
                choice,
                metadata,
            } = decided
            else {
                return Ok(());
            };
            let near = self.near_end(id, &route, &choice, interaction, Flags::NONE)?;
            let (request, fragments) = waiting.with_metadata(metadata);
            let whole = Some(Splice::Near(near.0));
            self.depart(id, whole, near.1, Cargo::new(request, choice), fragments, 0);
            Ok(())
        });
        if let Err(refusal) = started {
            self.refuse_new(id, interaction, &refusal);
        }
    }

    fn start_waiting(&mut self, id: StreamId, decided: Decided, last: bool) -> Result<(), Refusal> {
        let (route, choice, metadata) = match decided {
            Decided::To {
                route,
                choice,
                metadata,
            } => (route, choice, metadata),
            Decided::Answered {
                route,
                metadata,
                data,
            } => {
                self.connection.forget(id);
                self.answer(id, &route, metadata.as_deref(), &data);
                return Ok(());
            }
        };
        let Some(Splice::Waiting(waiting)) = self.connection.get(id) else {
            return Ok(());
        };
        let interaction = waiting.request.interaction;
        let (mut near, instance) =
            self.near_end(id, &route, &choice, interaction, Flags::FOLLOWS)?;
        near.partial = !last;
        let Some(splice) = self.connection.get_mut(id) else {
            return Ok(());
        };
        let Splice::Waiting(waiting) = std::mem::replace(splice, Splice::Near(near)) else {
            return Ok(());
        };
        let credit = waiting.credit;
        let (request, fragments) = waiting.with_metadata(metadata);
        let cargo = Cargo::new(request, choice);
        self.depart(id, None, instance, cargo, fragments, credit);
        Ok(())
    }

    fn scan<'m>(&self, metadata: &'m [u8], whole: bool) -> Result<Scan<'m>, Refusal> {
        match self.metadata_kind {
            MetadataKind::Composite => RoutingEntries::scan(metadata, whole)
                .map_err(|error| Refusal::BadMetadata(error.to_string())),
            MetadataKind::Routing if whole => Ok(Scan::Found(RoutingEntries::of_tags(metadata))),
            MetadataKind::Routing => Ok(Scan::NeedMore),
            MetadataKind::Other => Ok(Scan::NotFound),
        }
    }

    // ---- route, chain

    fn decide(
        &mut self,
        metadata: &[u8],
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
    ) -> Result<Decided, Refusal> {
        let generations = self.plane.generations();
        let route = match self.routes.find(entries, interaction, generations) {
            Some(route) => route,
            None => {
                let route = Rc::new(self.resolve(entries, interaction)?);
                self.routes.remember(&route);
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

    fn ask_chain(&self, route: &Route, metadata: &[u8], interaction: Interaction) -> Verdict {
        let name = &route.name;
        let decision = self.plane.chains.load().on_request(&chain::Request {
            thread: self.thread,
            link: self.me.id.0,
            interaction: match interaction {
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
            metadata,
            caller: chain::Caller {
                app: &self.app_name,
                ..chain::Caller::ANONYMOUS
            },
        });
        if decision.remember {
            // Somebody else cannot have set it: the link has one task.
            let _ = route.verdict.set(decision.verdict.clone());
        }
        decision.verdict
    }

    fn obey_verdict(
        &mut self,
        route: Rc<Route>,
        verdict: Verdict,
        metadata: &[u8],
    ) -> Result<Decided, Refusal> {
        let choice = match verdict {
            Verdict::Pass => route.choice.clone(),
            Verdict::Refuse { code, text } => return Err(Refusal::Plugin { code, text }),
            Verdict::Failed { plugin } => return Err(Refusal::PluginFailed(plugin.to_string())),
            Verdict::Answer { metadata, data } => {
                return Ok(Decided::Answered {
                    route,
                    metadata,
                    data,
                });
            }
            Verdict::Rewrite(rewrite) => {
                let Some(choice) = self.rewritten(&route, &rewrite) else {
                    return Err(Refusal::UnknownService(route.name.key_with(&rewrite)));
                };
                let metadata = self.edited(&route, &rewrite, metadata)?;
                return Ok(Decided::To {
                    route,
                    choice,
                    metadata,
                });
            }
            Verdict::Split(split) => match split.dice(self.random.next()) {
                None => route.choice.clone(),
                // A share for which nobody is there stays with the service that was asked for.
                Some(rewrite) => match self.rewritten(&route, rewrite) {
                    None => route.choice.clone(),
                    Some(choice) => {
                        let metadata = self.edited(&route, rewrite, metadata)?;
                        return Ok(Decided::To {
                            route,
                            choice,
                            metadata,
                        });
                    }
                },
            },
        };
        Ok(Decided::To {
            route,
            choice,
            metadata: None,
        })
    }

    fn resolve(
        &self,
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
    ) -> Result<Route, Refusal> {
        let bad = |error: jackfield_rsocket::metadata::MetadataError| {
            Refusal::BadMetadata(error.to_string())
        };
        let made_under = self.plane.generations();
        let target = entries.target().map_err(bad)?;
        let directory = &self.plane.directory;
        let (name, slot) = match (target.route, target.binary) {
            (Some(route), _) => {
                // `com.example.Orders` may be a method of `com.example`, or a service.
                let whole = route.whole();
                match (directory.find(&route.key()), directory.find(&whole.key())) {
                    (Some(slot), _) => (Name::of(&route), slot),
                    (None, Some(slot)) => (Name::of(&whole), slot),
                    (None, None) => {
                        return Err(Refusal::UnknownService(route.key().into_owned()));
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
            concerned: self.plane.chains.load().concerns(&name.service),
            choice: Arc::new(Choice {
                balance: routing.value.balance(&name.service),
                endpoint: name.endpoint.clone(),
                slot,
            }),
            name,
            verdict: std::cell::OnceCell::new(),
            rewrites: std::cell::RefCell::default(),
        })
    }

    /// Where a rewrite leads; none if nobody is there.
    fn rewritten(&self, route: &Route, rewrite: &Rewrite) -> Option<Arc<Choice>> {
        let mut known = route.rewrites.borrow_mut();
        if let Some((_, choice)) = known.iter().find(|(known, _)| known == rewrite) {
            return choice.clone();
        }
        let slot = self.plane.directory.find(&route.name.key_with(rewrite));
        let choice = slot.map(|slot| {
            let endpoint = rewrite
                .endpoint
                .as_deref()
                .unwrap_or(&route.name.endpoint)
                .into();
            Arc::new(Choice {
                slot,
                endpoint,
                balance: route.choice.balance,
            })
        });
        // A guest may rewrite each call to another place: what is kept is bounded.
        if known.len() >= 16 {
            known.clear();
        }
        known.push((rewrite.clone(), choice.clone()));
        choice
    }

    /// The metadata the responder is to read; none when it may read the caller's own.
    fn edited(
        &self,
        route: &Route,
        rewrite: &Rewrite,
        metadata: &[u8],
    ) -> Result<Option<Bytes>, Refusal> {
        if rewrite.service.is_none() && rewrite.method.is_none() && rewrite.tags.is_empty() {
            return Ok(None);
        }
        let service = rewrite.service.as_deref().unwrap_or(&route.name.service);
        let method = rewrite.method.as_deref().unwrap_or(&route.name.method);
        let named = rewrite.service.is_some() || rewrite.method.is_some();
        let tags: Vec<TagEdit<'_>> = rewrite
            .tags
            .iter()
            .map(|(key, value)| TagEdit {
                key,
                value: Some(value).filter(|v| !v.is_empty()).map(String::as_str),
            })
            .collect();
        let edit = RouteEdit {
            name: named.then_some((service, method)),
            tags: &tags,
        };
        let edited = match self.metadata_kind {
            MetadataKind::Routing => edit.tags(metadata).map(Bytes::from),
            _ => Edit {
                route: Some(edit),
                data_encoding: None,
            }
            .apply(metadata),
        };
        let room = self.plane.limits.frame.saturating_sub(METADATA_OVERHEAD);
        if edited.as_ref().is_ok_and(|edited| edited.len() > room) {
            return Err(Refusal::MetadataTooLong);
        }
        edited
            .map(Some)
            .map_err(|error| Refusal::BadMetadata(error.to_string()))
    }

    fn answer(&mut self, id: StreamId, route: &Route, metadata: Option<&[u8]>, data: &[u8]) {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        Payload {
            follows: false,
            complete: true,
            next: true,
            metadata,
            data,
        }
        .encode(id, &mut frame);
        self.send(&frame);
        self.scratch = frame;
        route.metrics.ended(Outcome::Ok, std::time::Duration::ZERO);
    }

    // ---- pick

    pub(super) fn pick(
        &mut self,
        choice: &Choice,
        except: Option<LinkId>,
    ) -> Result<Arc<Instance<Arc<Handle>>>, Refusal> {
        let endpoint = Endpoint(&choice.endpoint);
        let by = Pick {
            endpoint,
            balance: choice.balance,
            random: self.random.next(),
        };
        let usable = |instance: &Instance<Arc<Handle>>| {
            instance.link.usable() && Some(instance.link.id) != except
        };
        // Somebody else, if this caller's share of the outbox is used up; the same one if nobody is.
        let roomy = |instance: &Instance<Arc<Handle>>| {
            usable(instance) && instance.link.outbox.has_room(self.me.id)
        };
        let picked = choice
            .slot
            .pick(by, roomy)
            .or_else(|| choice.slot.pick(by, usable));
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
            } else {
                Refusal::Overloaded(service)
            }
        })
    }

    /// Refuses a request that was never counted as a call of a service.
    fn refuse_new(&mut self, id: StreamId, interaction: Interaction, refusal: &Refusal) {
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
    fn of(route: &jackfield_rsocket::metadata::Route<'_>) -> Self {
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
    fn key_with(&self, rewrite: &Rewrite) -> String {
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
