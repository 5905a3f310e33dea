//! The directory's instances, as plugins see them: the hook `endpoint-selector`, and all that is shown of apps.

use std::sync::Arc;

use jackfield_plugin_host::{App, Candidates, ServiceName};
use jackfield_rsocket::metadata::Service;

use crate::directory::{Endpoint, Instance};

/// Those that could take a request now, in the order of their indexes.
#[derive(Debug)]
pub struct Instances<'a, H>(pub &'a [&'a Arc<Instance<H>>]);

impl<H> Candidates for Instances<'_, H> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn uuid(&self, index: usize) -> String {
        self.0[index].app.uuid.clone()
    }

    fn app(&self, index: usize) -> String {
        self.0[index].app.name.clone()
    }

    fn ip(&self, index: usize) -> String {
        let app = &self.0[index].app;
        match app.remote {
            Some(remote) => remote.to_string(),
            None => app.ip.clone(),
        }
    }

    fn tag(&self, index: usize, key: &str) -> Option<String> {
        match key {
            "ip" => Some(self.ip(index)),
            "uuid" => Some(self.uuid(index)),
            "id" => Some(self.0[index].id.to_string()),
            key => self.0[index].app.metadata.get(key).cloned(),
        }
    }

    fn has(&self, index: usize, key: &str, value: &str) -> bool {
        Endpoint(&format!("{key}:{value}")).admits(self.0[index])
    }

    fn power(&self, index: usize) -> u32 {
        self.0[index].app.power.max(1)
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0[index].in_flight()
    }
}

/// An application, as slow hooks and the import `directory` see it.
pub fn shown_app<H>(instance: &Instance<H>) -> App {
    let app = &instance.app;
    let owner = app.owner.as_deref().and_then(|owner| owner.split_once(':'));
    App {
        uuid: app.uuid.clone(),
        name: app.name.clone(),
        ip: app.ip.clone(),
        address: app.remote.map_or_else(String::new, |ip| ip.to_string()),
        transport: app.transport.to_owned(),
        sdk: app.sdk.clone().unwrap_or_default(),
        principal: owner.map_or_else(String::new, |(_, subject)| subject.to_owned()),
        services: { instance.services().iter() }
            .map(ToString::to_string)
            .collect(),
        metadata: { app.metadata.iter() }
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    }
}

/// A service by the three parts of its name.
pub fn shown_service(service: &Service) -> ServiceName {
    ServiceName {
        group: service.group().to_owned(),
        name: service.service().to_owned(),
        version: service.version().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::directory::{self, Directory};

    #[test]
    fn rules_mean_what_they_mean_in_a_route() {
        let directory = Directory::default();
        let app = directory::App {
            uuid: "u-1".into(),
            name: "orders".into(),
            ip: "10.1.1.1".into(),
            remote: Some("10.2.2.2".parse().unwrap()),
            transport: "tcp",
            sdk: None,
            power: 0,
            metadata: BTreeMap::from([("zone".into(), "eu".into())]),
            connected_at_ms: 0,
            owner: Some("user:shop:1".into()),
        };
        let registered = directory
            .register(app, vec![Service::parse("g!a.B:1").unwrap()], ())
            .unwrap();
        let _load = registered.instance.begin();
        let shown = [&registered.instance];
        let shown = Instances(&shown);
        for (key, value, holds) in [
            ("zone", "eu", true),
            ("zone", "us", false),
            ("ip", "10.1.1.1", true),
            ("ip", "10.2.2.2", true),
            ("uuid", "u-1", true),
            ("id", &*registered.instance.id.to_string(), true),
            ("none", "", false),
        ] {
            assert_eq!(shown.has(0, key, value), holds, "{key}:{value}");
        }
        assert_eq!(shown.tag(0, "zone").as_deref(), Some("eu"));
        assert_eq!(shown.ip(0), "10.2.2.2");
        assert_eq!((shown.power(0), shown.in_flight(0)), (1, 1));
        let app = shown_app(&registered.instance);
        assert_eq!((&*app.address, &*app.ip), ("10.2.2.2", "10.1.1.1"));
        assert_eq!((&*app.principal, &*app.services[0]), ("shop:1", "g!a.B:1"));
        let service = shown_service(&registered.instance.services()[0]);
        assert_eq!((&*service.group, &*service.name), ("g", "a.B"));
    }
}
