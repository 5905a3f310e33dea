//! Who is there: the answers of the discovery service.

use std::sync::Arc;

use jackfield_rsocket::metadata::Service;

use super::{
    desk::{Asker, Desk},
    value::{Object, Value},
};
use crate::{
    directory::{Instance, Status},
    relay::Handle,
};

/// All brokers, where a service is asked for.
const BROKERS: &str = "*";

impl Desk {
    /// The instances of a service, else those of an application by name; or the brokers.
    pub(super) fn instances_of(&self, asker: &Asker, name: &str) -> Value {
        if name == BROKERS {
            return self.brokers(asker);
        }
        let plain = Service::parse(name).map_or_else(|_| name.to_owned(), |it| it.service().into());
        if !self.shows(asker, &plain) {
            return Value::List(Vec::new());
        }
        let directory = &self.parts.directory;
        if let Some(slot) = directory.find(name).filter(|slot| !slot.is_builtin()) {
            let candidates = slot.candidates();
            let serving = candidates.iter().filter(|it| slot.has(it));
            return Value::List(serving.map(described).collect());
        }
        let mut instances = directory.instances();
        instances.retain(|instance| {
            instance.app.name.eq_ignore_ascii_case(name)
                && instance.status() == Status::Serving
                && self.shows_app(asker, instance)
        });
        instances.sort_by(|a, b| a.app.uuid.cmp(&b.app.uuid));
        Value::List(instances.iter().map(described).collect())
    }

    /// One application.
    pub(super) fn instance(&self, asker: &Asker, uuid: &str) -> Value {
        let instance = self.parts.directory.instance(uuid);
        match instance.filter(|it| self.shows_app(asker, it)) {
            Some(instance) => described(&instance),
            None => Value::Null,
        }
    }

    /// `name,ip,connected at` of each application of an organisation.
    pub(super) fn apps_of(&self, asker: &Asker, organisation: &str) -> Value {
        let mut apps = self.parts.directory.instances();
        apps.retain(|it| {
            let of = &it.link.principal.organisations;
            of.iter().any(|name| **name == *organisation) && self.shows_app(asker, it)
        });
        let line = |it: &Arc<Instance<Arc<Handle>>>| {
            let app = &it.app;
            format!("{},{},{}", app.name, app.ip, app.connected_at_ms)
        };
        let mut lines: Vec<String> = apps.iter().map(line).collect();
        lines.sort();
        Value::List(lines.into_iter().map(Value::from).collect())
    }

    pub(super) fn all_services(&self, asker: &Asker) -> Value {
        let services = self.parts.directory.services().into_iter();
        let shown = services.filter(|service| self.shows(asker, &service.service));
        Value::List(shown.map(|service| service.key.into()).collect())
    }

    /// An application is shown with any of its services; one that has none, always.
    fn shows_app(&self, asker: &Asker, instance: &Instance<Arc<Handle>>) -> bool {
        let services = instance.services();
        services.is_empty() || services.iter().any(|it| self.shows(asker, it.service()))
    }

    /// The brokers as the asker can reach them.
    fn brokers(&self, asker: &Asker) -> Value {
        let client = asker.instance.as_ref().map(|it| &it.app.client);
        let uris = self.parts.brokers.for_client(client);
        Value::List(uris.iter().map(|uri| broker(uri)).collect())
    }
}

fn broker(uri: &str) -> Value {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("tcp", uri));
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    service_instance(&Described {
        id: uri,
        name: BROKERS,
        host,
        port: port.parse().unwrap_or(match scheme {
            "ws" => 80,
            "wss" => 443,
            _ => 9999,
        }),
        scheme,
        uri: Some(uri),
        secure: matches!(scheme, "tls" | "tcps" | "wss"),
        metadata: Value::Map(Default::default()),
    })
}

fn described(instance: &Arc<Instance<Arc<Handle>>>) -> Value {
    let app = &instance.app;
    let ports = instance.ports();
    let listens = ports.iter().next();
    let uri = listens.map(|(port, scheme)| format!("{scheme}://{}:{port}", app.ip));
    let metadata = app.metadata.iter();
    service_instance(&Described {
        id: &app.uuid,
        name: &app.name,
        host: &app.ip,
        port: listens.map_or(0, |(port, _)| *port),
        scheme: listens.map_or("tcp", |(_, scheme)| scheme),
        uri: uri.as_deref(),
        secure: false,
        metadata: Value::Map(
            metadata
                .map(|(key, value)| (key.clone(), value.as_str().into()))
                .collect(),
        ),
    })
}

struct Described<'d> {
    id: &'d str,
    name: &'d str,
    host: &'d str,
    port: u16,
    scheme: &'d str,
    uri: Option<&'d str>,
    secure: bool,
    metadata: Value,
}

fn service_instance(of: &Described<'_>) -> Value {
    Value::Object(Object {
        class: "com.alibaba.rsocket.discovery.RSocketServiceInstance",
        fields: vec![
            ("instanceId", of.id.into()),
            ("serviceId", of.name.into()),
            ("host", of.host.into()),
            ("port", Value::Int(of.port.into())),
            ("schema", of.scheme.into()),
            ("uri", of.uri.into()),
            ("secure", Value::Bool(of.secure)),
            ("metadata", of.metadata.clone()),
        ],
    })
}
