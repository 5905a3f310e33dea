//! What happens to connections, told to plugins of the hook `events`. Nobody waits for them; without one it is a branch.

use std::sync::Arc;

use jackfield_rsocket::metadata::Service;

use super::{ending::Ending, handle::Handle, plane::Plane};
use crate::{
    chain::{Happening, shown_app, shown_service},
    directory,
};

type Instance = directory::Instance<Arc<Handle>>;

impl Plane {
    pub(super) fn tell_connected(&self, app: &Instance) {
        let chains = &self.chains;
        chains.tell(Happening::AppConnected(shown_app(app)));
        self.tell_registered(app, &app.services());
    }

    pub(super) fn tell_registered<'s>(
        &self,
        app: &Instance,
        services: impl IntoIterator<Item = &'s Service>,
    ) {
        for service in services {
            self.chains.tell(Happening::ServiceRegistered {
                service: shown_service(service),
                app: app.app.uuid.clone(),
            });
        }
    }

    /// It takes no more calls, though it may still be there.
    pub(super) fn tell_hidden(&self, app: &Instance) {
        self.tell_concealed(app, &app.services());
    }

    pub(super) fn tell_concealed<'s>(
        &self,
        app: &Instance,
        services: impl IntoIterator<Item = &'s Service>,
    ) {
        for service in services {
            self.chains.tell(Happening::ServiceHidden {
                service: shown_service(service),
                app: app.app.uuid.clone(),
            });
        }
    }

    pub(super) fn tell_gone(&self, app: &Instance, ending: &Ending) {
        self.chains.tell(Happening::AppGone {
            app: shown_app(app),
            reason: ending.text().to_owned(),
        });
    }

    pub(super) fn tell_refused(&self, app: &str, address: &str, reason: &str) {
        self.chains.tell(Happening::AppRefused {
            app: app.to_owned(),
            address: address.to_owned(),
            reason: reason.to_owned(),
        });
    }
}
