//! What each client is told unasked, and what it was told last.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use jackfield_rsocket::metadata::{CloudEvent, Service};
use serde_json::{Value, json};

use super::Brokers;
use crate::{
    directory::Instance,
    identity::{Identity, Right},
    relay::{Directory, Handle},
};

pub(super) const BROKERS_CHANGED: &str = "com.alibaba.rsocket.upstream.UpstreamClusterChangedEvent";
pub(super) const INSTANCES_CHANGED: &str =
    "com.alibaba.rsocket.upstream.ServiceInstancesChangedEvent";

type App = Instance<Arc<Handle>>;

pub(super) struct Pusher {
    brokers: Arc<Brokers>,
    directory: Arc<Directory>,
    identity: Arc<Identity>,
    /// By generation of the instance.
    told: HashMap<u64, Told>,
    /// What the last look was at.
    seen: Option<(u64, u64, u64, bool)>,
}

/// What one connection was told.
#[derive(Default)]
struct Told {
    brokers: Vec<String>,
    providers: HashMap<Service, Vec<String>>,
}

impl Pusher {
    pub(super) fn new(
        brokers: Arc<Brokers>,
        directory: Arc<Directory>,
        identity: Arc<Identity>,
    ) -> Self {
        Self {
            brokers,
            directory,
            identity,
            told: HashMap::new(),
            seen: None,
        }
    }

    /// Tells everybody what has changed for it. What could not be placed is tried again with the next look.
    pub(super) fn look(&mut self, leaving: bool, push: &dyn Fn(&App, Bytes) -> bool) {
        let now = (
            self.directory.version(),
            self.brokers.version(),
            self.identity.generation(),
            leaving,
        );
        if self.seen == Some(now) {
            return;
        }
        let mut complete = true;
        let mut before = std::mem::take(&mut self.told);
        for app in self.directory.instances() {
            if !app.app.client.bears_push {
                continue;
            }
            let mut told = before.remove(&app.generation).unwrap_or_default();
            complete &= self.tell(&app, &mut told, leaving, push);
            self.told.insert(app.generation, told);
        }
        self.seen = complete.then_some(now);
    }

    fn tell(
        &self,
        app: &App,
        told: &mut Told,
        leaving: bool,
        push: &dyn Fn(&App, Bytes) -> bool,
    ) -> bool {
        let mut complete = true;
        let brokers = self.brokers.to_push(&app.app.client, leaving);
        if !brokers.is_empty() && brokers != told.brokers {
            let sent = push(app, brokers_changed(&brokers));
            complete &= sent;
            if sent {
                told.brokers = brokers;
            }
        }
        for service in &app.app.client.p2p {
            let providers = self.providers(app, service);
            if told.providers.get(service) == Some(&providers) {
                continue;
            }
            let sent = push(app, instances_changed(service, &providers));
            complete &= sent;
            if sent {
                told.providers.insert(service.clone(), providers);
            }
        }
        complete
    }

    /// Where a service can be called without the broker, by whoever may call it.
    fn providers(&self, consumer: &App, service: &Service) -> Vec<String> {
        let caller = &consumer.link.principal;
        let judged = self
            .identity
            .judge(caller, Right::Call, service.service(), "");
        let may = |provider: &App| judged.admits(caller, &provider.link.principal);
        let Some(slot) = self.directory.find(&service.key()) else {
            return Vec::new();
        };
        let candidates = slot.candidates();
        let serving = candidates.iter().filter(|it| slot.has(it) && may(it));
        let uri = |it: &Arc<App>| {
            let (port, scheme) = it.ports().into_iter().next()?;
            Some(format!("{scheme}://{}:{port}", it.app.ip))
        };
        let mut uris: Vec<String> = serving.filter_map(uri).collect();
        uris.sort();
        uris.dedup();
        uris
    }
}

fn brokers_changed(uris: &[String]) -> Bytes {
    let data = json!({
        "interfaceName": "*",
        "group": "",
        "version": "",
        "uris": uris,
        "defaultUri": null,
    });
    event(BROKERS_CHANGED, data)
}

fn instances_changed(service: &Service, uris: &[String]) -> Bytes {
    let data = json!({
        "group": service.group(),
        "service": service.service(),
        "version": service.version(),
        // The whole list.
        "type": 0,
        "uris": uris,
    });
    event(INSTANCES_CHANGED, data)
}

fn event(kind: &str, data: Value) -> Bytes {
    let id = uuid::Uuid::new_v4().to_string();
    let event = CloudEvent::new(id, kind, "broker://jackfield", data);
    // Nothing of it could be refused.
    event.encode().unwrap_or_default().into()
}
