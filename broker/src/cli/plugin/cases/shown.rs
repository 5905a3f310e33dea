//! What a case shows to the plugin, as the host expects it.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use jackfield_plugin_host::{
    self as host, Call, Caller, Candidates, Entries, Event, Facts, Happening,
};

use super::file;

pub(super) fn called(request: &file::Request) -> Call<'_> {
    Call {
        interaction: match request.interaction {
            file::Interaction::RequestResponse => host::Interaction::RequestResponse,
            file::Interaction::FireAndForget => host::Interaction::FireAndForget,
            file::Interaction::RequestStream => host::Interaction::Stream,
            file::Interaction::RequestChannel => host::Interaction::Channel,
        },
        sticky: request.sticky,
        group: &request.group,
        service: &request.service,
        method: &request.method,
        version: &request.version,
        endpoint: &request.endpoint,
        entries: request,
        caller: Caller {
            app: &request.app,
            instance: &request.instance,
            address: &request.address,
            principal: &request.principal,
            facts: request,
        },
        metadata: b"",
    }
}

impl Entries for file::Request {
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }

    fn entry(&self, mime: &str) -> Option<&[u8]> {
        self.entries.get(mime).map(String::as_bytes)
    }
}

impl Facts for file::Request {
    fn metadata(&self, key: &str) -> Option<&str> {
        self.app_metadata.get(key).map(String::as_str)
    }

    fn has(&self, key: &str, value: &str) -> bool {
        let values = self.attributes.get(key).into_iter().flatten();
        values.into_iter().any(|one| one == value)
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.first().map(String::as_str)
    }
}

pub(super) struct Shown<'a>(pub(super) &'a [file::Candidate]);

impl Candidates for Shown<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn uuid(&self, index: usize) -> String {
        self.0[index].uuid.clone()
    }

    fn app(&self, index: usize) -> String {
        self.0[index].app.clone()
    }

    fn ip(&self, index: usize) -> String {
        self.0[index].ip.clone()
    }

    fn tag(&self, index: usize, key: &str) -> Option<String> {
        let it = &self.0[index];
        match key {
            "uuid" => Some(it.uuid.clone()),
            "ip" => Some(it.ip.clone()),
            _ => it.tags.get(key).cloned(),
        }
    }

    fn has(&self, index: usize, key: &str, value: &str) -> bool {
        self.tag(index, key).as_deref() == Some(value)
    }

    fn power(&self, index: usize) -> u32 {
        self.0[index].power.unwrap_or(1)
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0[index].in_flight
    }
}

impl From<&file::Applicant> for host::Applicant {
    fn from(it: &file::Applicant) -> Self {
        let bearer = it.bearer.clone().map(host::Credential::Bearer);
        let simple = it.simple.clone();
        let simple = simple.map(|(user, password)| host::Credential::Simple { user, password });
        Self {
            app: it.app.clone(),
            uuid: it.uuid.clone(),
            address: it.address.clone(),
            transport: it.transport.clone(),
            credentials: bearer.into_iter().chain(simple).collect(),
            services: it.services.clone(),
            metadata: pairs(&it.metadata),
            renews: it.renews.clone(),
        }
    }
}

impl From<&file::App> for host::App {
    fn from(it: &file::App) -> Self {
        Self {
            uuid: it.uuid.clone(),
            name: it.name.clone(),
            ip: it.ip.clone(),
            address: it.address.clone(),
            transport: it.transport.clone(),
            sdk: it.sdk.clone(),
            principal: it.principal.clone(),
            services: it.services.clone(),
            metadata: pairs(&it.metadata),
        }
    }
}

pub(super) fn told(event: &file::Event, sequence: u64) -> Event {
    let service = |name: &String| host::ServiceName {
        name: name.clone(),
        ..host::ServiceName::default()
    };
    let what = match event {
        file::Event::AppConnected(app) => Happening::AppConnected(app.into()),
        file::Event::AppGone { app, reason } => Happening::AppGone {
            app: app.into(),
            reason: reason.clone(),
        },
        file::Event::AppRefused {
            app,
            address,
            reason,
        } => Happening::AppRefused {
            app: app.clone(),
            address: address.clone(),
            reason: reason.clone(),
        },
        file::Event::ServiceRegistered { service: name, app } => Happening::ServiceRegistered {
            service: service(name),
            app: app.clone(),
        },
        file::Event::ServiceHidden { service: name, app } => Happening::ServiceHidden {
            service: service(name),
            app: app.clone(),
        },
        file::Event::DrainBegan(seconds) => Happening::DrainBegan { seconds: *seconds },
        file::Event::DrainEnded => Happening::DrainEnded,
        file::Event::Other { kind, facts } => Happening::Other {
            kind: kind.clone(),
            facts: pairs(facts),
        },
    };
    Event {
        sequence,
        at: UNIX_EPOCH,
        what,
    }
}

fn pairs(table: &BTreeMap<String, String>) -> Vec<(String, String)> {
    table
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
