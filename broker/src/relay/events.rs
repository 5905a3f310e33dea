//! What an application says of itself while it is connected: the archived broker's CloudEvents, which
//! come as METADATA_PUSH and have no answer.
//!
//! An event counts only when its source and the application it is about are the connection's own.
//! Everything else is ignored, and a line in the log says so.

use std::sync::Arc;

use jackfield_rsocket::metadata::{AppEvent, CloudEvent, MetadataError};

use super::{handle::Handle, link::Link, refusal::Refusal};
use crate::directory::{Instance, Ports, RegisterError, Status};

/// Events of one connection per second; more are dropped and counted.
pub(super) const EVENTS_PER_SECOND: usize = 2000;
/// A longer one is not read.
const EVENT_MAX: usize = 256 * 1024;

impl Link {
    pub(super) fn on_push(&mut self, metadata: &[u8]) {
        let Some(instance) = self.instance.clone() else {
            return self.ignore("it is of no application");
        };
        if !self.events.take(self.now) {
            self.plane.metrics.refused(&Refusal::TooManyEvents);
            return self.ignore("there are too many of them");
        }
        if metadata.len() > EVENT_MAX {
            return self.ignore("it is too long");
        }
        match CloudEvent::of_push(metadata) {
            Ok(Some(event)) => match self.obey_event(&instance, &event) {
                Ok(()) => {}
                Err(why) => self.ignore(&why),
            },
            Ok(None) => {}
            Err(error) => self.ignore(&error.to_string()),
        }
    }

    fn obey_event(
        &self,
        instance: &Arc<Instance<Arc<Handle>>>,
        event: &CloudEvent,
    ) -> Result<(), String> {
        let uuid = instance.app.uuid.as_str();
        let unreadable = |error: MetadataError| error.to_string();
        let Some(event) = event.of_app(uuid).map_err(unreadable)? else {
            return Ok(());
        };
        let directory = &self.plane.directory;
        match event {
            AppEvent::Status { status, power } => {
                let status = Status::of_number(status).ok_or("its status is unknown")?;
                if let Some(power) = power {
                    directory.set_power(instance, power);
                }
                // The directory says that it serves when it does.
                let serves = status != Status::Connected;
                if serves {
                    directory.set_status(instance, status);
                }
            }
            AppEvent::Exposed(services) => {
                let who = &self.me.principal;
                let may = self.plane.check_publish(who, &services);
                may.map_err(|refusal| refusal.text())?;
                let exposed = directory.expose(instance, services.clone());
                exposed.map_err(|error: RegisterError| error.to_string())?;
                self.plane.tell_registered(instance, &services);
            }
            AppEvent::Hidden(services) => {
                directory.conceal(instance, &services);
                self.plane.tell_concealed(instance, &services);
            }
            AppEvent::Ports(ports) => {
                let ports: Ports = ports.into_iter().collect();
                directory.set_ports(instance, ports);
            }
        }
        Ok(())
    }

    fn ignore(&self, why: &str) {
        if self.plane.links.may_log("RST-610500") {
            tracing::info!(code = "RST-610500", link = %self.me.id, why, "a pushed event is ignored");
        }
    }
}
