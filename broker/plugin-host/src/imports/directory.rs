//! `directory`: who serves what.

use super::{LISTED_MAX, ServiceName};
use crate::{
    App,
    bindings::{directory::jackfield::plugin::directory, shared::jackfield::plugin::apps},
    state::State,
};

impl directory::Host for State {
    fn count(&mut self, service: apps::Service) -> u32 {
        self.read_outside();
        self.host.count(&service.into())
    }

    fn offers(&mut self, name: String) -> Vec<apps::Service> {
        self.read_outside();
        let offers = self.host.offers(&name).into_iter().take(LISTED_MAX);
        offers.map(Into::into).collect()
    }

    fn providers(&mut self, service: apps::Service) -> Vec<apps::App> {
        self.read_outside();
        let providers = self.host.providers(&service.into()).into_iter();
        providers.take(LISTED_MAX).map(App::into_wit).collect()
    }
}

impl From<apps::Service> for ServiceName {
    fn from(service: apps::Service) -> Self {
        let apps::Service {
            group,
            name,
            version,
        } = service;
        Self {
            group,
            name,
            version,
        }
    }
}

impl From<ServiceName> for apps::Service {
    fn from(service: ServiceName) -> Self {
        let ServiceName {
            group,
            name,
            version,
        } = service;
        Self {
            group,
            name,
            version,
        }
    }
}
