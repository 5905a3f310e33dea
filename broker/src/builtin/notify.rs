//! Events from one application to others, through the broker.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_rsocket::endpoint::Failure;

use super::{
    desk::{Asker, Desk},
    value::Value,
};
use crate::{
    cluster::{EventError, passable},
    directory::Instance,
    identity::Right,
    relay::Handle,
};

impl Desk {
    pub(super) fn notify(&self, asker: &Asker, uuid: &str, event: &str) -> Result<Value, Failure> {
        let event = checked(event)?;
        // An application that is not there hears nothing, as with the archived broker.
        if let Some(instance) = self.parts.directory.instance(uuid) {
            self.may_tell(asker, &instance)?;
            self.parts.relay.push(&instance, event);
        }
        Ok(Value::Null)
    }

    pub(super) fn notify_all(
        &self,
        asker: &Asker,
        name: &str,
        event: &str,
    ) -> Result<Value, Failure> {
        let event = checked(event)?;
        let instances = self.parts.directory.instances();
        let named = instances.iter().filter(|it| it.app.name == name);
        let told = named.filter(|it| self.may_tell(asker, it).is_ok());
        told.for_each(|it| {
            self.parts.relay.push(it, event.clone());
        });
        Ok(Value::Null)
    }

    /// Whom somebody could call anything of, it may tell something. Where no rule is about this service, that is kin.
    fn may_tell(&self, asker: &Asker, to: &Instance<Arc<Handle>>) -> Result<(), Failure> {
        let judged = self.parts.identity.judge(
            &asker.principal,
            Right::Call,
            super::interfaces::NOTIFY,
            "notify",
        );
        match judged.admits(&asker.principal, &to.link.principal) {
            true => Ok(()),
            false => Err(Failure::application(
                "RST-900401: not allowed to send events to this application",
            )),
        }
    }
}

/// The bytes to push.
fn checked(event: &str) -> Result<Bytes, Failure> {
    passable(event.as_bytes()).map_err(|error| match error {
        EventError::OnlyBrokers => Failure::application(format!("RST-900401: {error}")),
        _ => Failure::invalid(format!("RST-900500: event: {error}")),
    })
}
