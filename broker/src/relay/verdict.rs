//! What the chain of plugins says about a request, and what the broker makes of it.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use jackfield_rsocket::metadata::{Edit, RouteEdit, TagEdit};

use super::{
    dispatch::{Asked, Way},
    introduction::MetadataKind,
    link::Link,
    refusal::Refusal,
    routes::{Choice, Route},
};
use crate::{
    chain::{self, Chain, Fault, Rewrite, Verdict},
    identity::Kind,
};

/// Header, credit and metadata length of the longest request's first frame.
const METADATA_OVERHEAD: usize = 13;

/// What a verdict comes to, unless it is a refusal.
pub(super) enum Obeyed {
    /// To that choice, with new metadata if the responder is to read other than the caller wrote.
    Goes(Arc<Choice>, Option<Bytes>),
    /// A plugin answered in the responder's place.
    Answered {
        metadata: Option<Bytes>,
        data: Bytes,
    },
}

impl Link {
    /// Whether plugins have a say in what this peer asks for. In a plugin's own calls they have none: it would be asked
    /// about itself.
    pub(super) fn asks_plugins(&self) -> bool {
        self.me.principal.kind != Kind::Plugin
    }

    /// The verdict, and what it left of the chain's deadline.
    pub(super) fn ask_chain(
        &self,
        chain: &Chain,
        route: &Route,
        request: &Asked<'_>,
    ) -> (Verdict, Duration) {
        let facts = self.facts();
        let shown = self.shown(&route.name, request, &facts);
        let decision = chain.on_request(&shown);
        if decision.remember {
            // Somebody else cannot have set it: the link has one task.
            let _ = route.verdict.set(decision.verdict.clone());
        }
        (decision.verdict, decision.left)
    }

    /// Asks the plugins that break things on purpose, and throws the dice.
    pub(super) fn disturb(&mut self, way: &mut Way, request: &Asked<'_>) -> Result<(), Refusal> {
        let choice = &*way.choice;
        let fault = match choice.plans.get() {
            Some(plans) => plans.dice(|| self.random.next()).cloned(),
            None => {
                let facts = self.facts();
                let shown = self.shown(&way.route.name, request, &facts);
                let disturbance = way.chain.disturb(&shown, choice.change.as_ref(), way.left);
                let disturbance =
                    disturbance.map_err(|plugin| Refusal::PluginFailed(plugin.to_string()))?;
                way.left = disturbance.left;
                let fault = disturbance.plans.dice(|| self.random.next()).cloned();
                if disturbance.remember {
                    // As with the verdict.
                    let _ = choice.plans.set(disturbance.plans);
                }
                fault
            }
        };
        if let Some(Fault::Error(chain::Refusal { code, text })) = fault {
            self.plane.metrics.fault("error");
            return Err(Refusal::Fault { code, text });
        }
        way.fault = fault;
        Ok(())
    }

    pub(super) fn obey_verdict(
        &mut self,
        chain: &Chain,
        route: &Rc<Route>,
        verdict: Verdict,
        metadata: &[u8],
    ) -> Result<Obeyed, Refusal> {
        let to = match verdict {
            Verdict::Pass => None,
            Verdict::Refuse { code, text } => return Err(Refusal::Plugin { code, text }),
            Verdict::Failed { plugin } => return Err(Refusal::PluginFailed(plugin.to_string())),
            // A plugin answers in the responder's place, and not for whom the rules refuse.
            Verdict::Answer { .. } if route.choice.access.is_nobody() => {
                let service = route.choice.slot.service().to_string();
                return Err(Refusal::NotAllowed(service));
            }
            Verdict::Answer { metadata, data } => {
                return Ok(Obeyed::Answered { metadata, data });
            }
            Verdict::Rewrite(rewrite) => {
                let Some(choice) = self.rewritten(chain, route, &rewrite) else {
                    return Err(Refusal::UnknownService(route.name.key_with(&rewrite)));
                };
                Some((choice, self.edited(route, &rewrite, metadata)?))
            }
            Verdict::Split(split) => match split.dice(self.random.next()) {
                None => None,
                // A share for which nobody is there stays with the service that was asked for.
                Some(rewrite) => match self.rewritten(chain, route, rewrite) {
                    None => None,
                    Some(choice) => Some((choice, self.edited(route, rewrite, metadata)?)),
                },
            },
        };
        let (choice, metadata) = to.unwrap_or_else(|| (route.choice.clone(), None));
        Ok(Obeyed::Goes(choice, metadata))
    }

    /// Where a rewrite leads; none if nobody is there.
    fn rewritten(&self, chain: &Chain, route: &Route, rewrite: &Rewrite) -> Option<Arc<Choice>> {
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
            let method = rewrite.method.as_deref().unwrap_or(&route.name.method);
            let service = rewrite.service.as_deref().unwrap_or(&route.name.service);
            Arc::new(self.choice(
                chain,
                slot,
                (service, method),
                endpoint,
                route.choice.balance,
                Some(rewrite),
            ))
        });
        // A guest may rewrite each call to another place: what is kept is bounded.
        if known.len() >= 16 {
            known.clear();
        }
        known.push((rewrite.clone(), choice.clone()));
        choice
    }

    /// The metadata the responder is to read; none when it may read the caller's own.
    pub(super) fn edited(
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
}
