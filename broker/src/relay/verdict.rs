//! What the chain of plugins says about a request, and what the broker makes of it.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use jackfield_rsocket::{
    metadata::{Edit, RouteEdit, TagEdit},
    wire::Interaction,
};

use super::{
    dispatch::Decided,
    introduction::MetadataKind,
    link::Link,
    refusal::Refusal,
    routes::{Choice, Route},
};
use crate::chain::{self, Rewrite, Verdict};

/// Header, credit and metadata length of the longest request's first frame.
pub(super) const METADATA_OVERHEAD: usize = 13;

impl Link {
    pub(super) fn ask_chain(
        &self,
        route: &Route,
        metadata: &[u8],
        interaction: Interaction,
    ) -> Verdict {
        let name = &route.name;
        let principal = self.caller();
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
                principal: &principal.subject,
                facts: &chain::CallerFacts {
                    principal,
                    metadata: None,
                },
                ..chain::Caller::ANONYMOUS
            },
        });
        if decision.remember {
            // Somebody else cannot have set it: the link has one task.
            let _ = route.verdict.set(decision.verdict.clone());
        }
        decision.verdict
    }

    pub(super) fn obey_verdict(
        &mut self,
        route: Rc<Route>,
        verdict: Verdict,
        metadata: &[u8],
    ) -> Result<Decided, Refusal> {
        let choice = match verdict {
            Verdict::Pass => route.choice.clone(),
            Verdict::Refuse { code, text } => return Err(Refusal::Plugin { code, text }),
            Verdict::Failed { plugin } => return Err(Refusal::PluginFailed(plugin.to_string())),
            // A plugin answers in the responder's place, and not for whom the rules refuse.
            Verdict::Answer { .. } if route.choice.access.is_nobody() => {
                let service = route.choice.slot.service().to_string();
                return Err(Refusal::NotAllowed(service));
            }
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

    /// Where a rewrite leads; none if nobody is there.
    pub(super) fn rewritten(&self, route: &Route, rewrite: &Rewrite) -> Option<Arc<Choice>> {
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
            Arc::new(Choice {
                access: self.access(slot.service().service(), method),
                slot,
                endpoint,
                balance: route.choice.balance,
                sticky: route.choice.sticky,
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
