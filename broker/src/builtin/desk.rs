//! One request in, one answer out.

use std::{future::ready, pin::Pin, sync::Arc};

use jackfield_rsocket::{
    endpoint::{Failure, Handler, Message, Reply},
    metadata::RoutingEntries,
};

use super::{
    Parts,
    encoding::Encodings,
    interfaces::{DISCOVERY, HEALTH, INTROSPECTION, NOTIFY, describe},
    value::Value,
};
use crate::{
    directory::Instance,
    identity::{Judgement, Principal, Right},
    relay::{Caller, Handle},
};

pub(super) struct Desk {
    pub(super) parts: Parts,
}

/// Who asks.
pub(super) struct Asker {
    pub(super) principal: Arc<Principal>,
    /// None for who has not introduced itself.
    pub(super) instance: Option<Arc<Instance<Arc<Handle>>>>,
}

impl Desk {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts }
    }

    fn answer(&self, request: &Message) -> Result<Message, Failure> {
        let metadata = request.metadata.as_deref().unwrap_or_default();
        let encodings = Encodings::of(metadata, &request.data);
        let value = self.value(metadata, encodings, &request.data)?;
        encodings.answer(&value)
    }

    fn value(&self, metadata: &[u8], encodings: Encodings, data: &[u8]) -> Result<Value, Failure> {
        let target = RoutingEntries::find(metadata).ok().flatten();
        let target = target.and_then(|entries| entries.target().ok());
        let Some(route) = target.and_then(|target| target.route) else {
            return Err(Failure::invalid(
                "RST-600404: a service of the broker is called by name",
            ));
        };
        let arguments = encodings.arguments(data)?;
        let text = |at: usize| arguments.get(at).and_then(Value::as_text);
        let given = |at: usize, what: &str| {
            text(at).ok_or_else(|| Failure::invalid(format!("RST-900500: {what} is missing")))
        };
        if (route.service, route.method) == (INTROSPECTION, "findServiceByFullName") {
            // Whoever asks: the broker's own HTTP face does too, which is no application.
            return Ok(describe(given(0, "the name of a service")?));
        }
        let asker = self.asker(metadata)?;
        match (route.service, route.method) {
            (HEALTH, "check") => Ok(self.check(&asker, text(0).unwrap_or_default())),
            (DISCOVERY, "getInstances") => {
                Ok(self.instances_of(&asker, given(0, "the name of a service")?))
            }
            (DISCOVERY, "getInstance") => Ok(self.instance(&asker, given(0, "a uuid")?)),
            (DISCOVERY, "findAppInstances") => {
                Ok(self.apps_of(&asker, given(0, "an organisation")?))
            }
            (DISCOVERY, "getAllServices") => Ok(self.all_services(&asker)),
            (NOTIFY, "notify") => self.notify(&asker, given(0, "a uuid")?, given(1, "an event")?),
            (NOTIFY, "notifyAll") => {
                self.notify_all(&asker, given(0, "a name")?, given(1, "an event")?)
            }
            (service, method) => Err(Failure::invalid(format!(
                "RST-201404: the broker has no {service}.{method}"
            ))),
        }
    }

    fn asker(&self, metadata: &[u8]) -> Result<Asker, Failure> {
        let gone = || Failure::rejected("RST-910499: the caller has gone");
        let caller = Caller::of(metadata).ok_or_else(gone)?;
        let principal = self.parts.relay.principal(caller.link);
        let instance = caller
            .uuid
            .and_then(|uuid| self.parts.directory.instance(&uuid));
        Ok(Asker {
            principal: principal.ok_or_else(gone)?,
            instance: instance.filter(|instance| instance.link.id == caller.link),
        })
    }

    /// Whether somebody may know of a service.
    pub(super) fn shows(&self, asker: &Asker, service: &str) -> bool {
        let judge = |principal: &Principal| {
            self.parts
                .identity
                .judge(principal, Right::Observe, service, "")
        };
        judge(&asker.principal) == Judgement::Allowed
    }
}

impl Handler for Desk {
    fn request_response(&self, request: Message) -> Reply {
        Box::pin(ready(self.answer(&request)))
    }

    fn fire_and_forget(&self, request: Message) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if let Err(failure) = self.answer(&request) {
            tracing::debug!(%failure, "a fire-and-forget to the broker's own services");
        }
        Box::pin(ready(()))
    }
}
