//! What the HTTP faces are given: views of the other rooms, and two things they may do.

use std::{io, net::TcpListener, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    admin::{
        Admin, Audience, Audit, Faces, Handles, Operators, PluginDeed, PluginLoad, Pushed,
        Readiness, Token,
    },
    chain::{
        Beside, Chains, Happening, LoadErrors, Loader, NewVersion, OperationError, Operations,
    },
    cluster::Brokers,
    config::{AdminFace, HostPort, Loaded, parse_duration},
    gateway::{self, Gateway},
    identity::Identity,
    relay::{Directory, Relay},
    scrape::{Parts, Scraper},
    telemetry::{LogHandle, MetricsError, Registry},
};

use super::start::StartError;

const HTTP_CONNECTIONS: usize = 2048;

pub(super) struct Rooms {
    pub(super) config: Arc<ArcSwap<Loaded>>,
    pub(super) directory: Arc<Directory>,
    pub(super) chains: Arc<Chains>,
    pub(super) loader: Arc<Loader>,
    pub(super) relay: Arc<Relay>,
    pub(super) identity: Arc<Identity>,
    pub(super) brokers: Arc<Brokers>,
    pub(super) registry: Registry,
    pub(super) log: LogHandle,
    /// Where a wish to drain goes.
    pub(super) drain: mpsc::Sender<Option<Duration>>,
}

pub(super) fn start(rooms: Rooms) -> Result<Admin, StartError> {
    let loaded = rooms.config.load_full();
    let (http, admin) = (&loaded.config.http, &loaded.config.admin);
    let gateway = Gateway::new(
        http.calls.clone(),
        gateway::Parts {
            relay: rooms.relay.clone(),
            identity: rooms.identity.clone(),
            directory: rooms.directory.clone(),
            brokers: {
                let brokers = rooms.brokers.clone();
                Box::new(move || brokers.for_client(None))
            },
            registry: rooms.registry.prometheus(),
        },
    )?;
    let faces = Faces {
        http: bind("http", &http.listen)?,
        http_connections: HTTP_CONNECTIONS,
        http_hosts: http.hosts.clone(),
        calls: gateway.routes(),
        admin: bind("admin", &admin.listen)?,
        operators: operators(admin)?,
        audit: Audit::in_file(admin.audit_file.clone()),
        hosts: admin.hosts.clone(),
    };
    Ok(Admin::start(faces, handles(rooms)?)?)
}

fn operators(admin: &AdminFace) -> Result<Operators, StartError> {
    let mut operators = Operators::new(Token::load_or_create(&admin.token_file)?);
    for token in &admin.tokens {
        let made = Token::load_or_create(&token.file)?;
        operators.add(&token.name, made, token.roles.clone())?;
    }
    Ok(operators)
}

fn bind(face: &str, address: &HostPort) -> Result<TcpListener, StartError> {
    TcpListener::bind((address.host.as_str(), address.port))
        .map_err(|source| StartError::bind(&format!("{face}.listen {address}"), source))
}

fn handles(rooms: Rooms) -> Result<Handles, StartError> {
    let Rooms {
        config,
        directory,
        chains,
        loader,
        relay,
        registry,
        log,
        drain,
        ..
    } = rooms;
    let sizes = Sizes::register(&registry)?;
    let current = config.load();
    let scraper = Scraper::start(
        current.config.metrics.clone(),
        Parts {
            node: current.config.node.name.clone(),
            directory: directory.clone(),
            relay: relay.clone(),
            registry: registry.prometheus(),
            chains: chains.clone(),
        },
    )?;
    let (apps, services) = (directory.clone(), directory.clone());
    let (readiness, connections) = (relay.clone(), relay.clone());
    let journal = chains.journal();
    let (acting, draining) = (chains.clone(), chains.clone());
    let (known, pushing, telling) = (directory.clone(), relay.clone(), chains.clone());
    let push = move |who: &str, to: &Audience, event| {
        let pushed = push(&known, &pushing, to, event);
        tell_deed(&telling, who, "push", &subject(to), pushed.told > 0);
        pushed
    };
    let plugins = move || serde_json::to_value(chains.views()).unwrap_or_default();
    let connections = move || serde_json::to_value(connections.connections()).unwrap_or_default();
    let running = Arc::clone(&config);
    let plugin = move |who: &str, plugin: &str, deed| {
        let operations = Operations::new(Arc::clone(&loader));
        let what = name_of(&deed);
        let acted = act(&operations, who, plugin, deed, || {
            loader.load(&running.load().config.plugins)
        });
        tell_deed(&acting, who, what, plugin, acted.is_ok());
        acted.map_err(|error| error.to_string())
    };
    Ok(Handles {
        metrics: Box::new(move |format| {
            relay.measure();
            sizes.measure(&directory);
            registry.page(format, &relay.exemplars())
        }),
        scraper: Arc::new(scraper),
        log,
        apps: Box::new(move || apps.apps()),
        services: Box::new(move || services.services()),
        plugins: Box::new(plugins),
        plugin: Box::new(plugin),
        push: Box::new(push),
        journal,
        connections: Box::new(connections),
        config: Box::new(move || json!(config.load().settings)),
        readiness: Box::new(move || Readiness {
            reasons: readiness
                .draining()
                .then(|| "the broker is draining".to_owned())
                .into_iter()
                .collect(),
        }),
        drain: Box::new(move |who, grace| {
            let grace = grace.map(parse_duration).transpose()?;
            tell_deed(&draining, who, "drain", "", true);
            // Full: a drain is on its way already.
            let _ = drain.try_send(grace);
            Ok(())
        }),
    })
}

/// Only applications that are known to bear it are pushed anything.
fn push(directory: &Directory, relay: &Relay, to: &Audience, event: Bytes) -> Pushed {
    let mut instances = directory.instances();
    instances.retain(|it| match to {
        Audience::All => true,
        Audience::App(name) => it.app.name == *name,
        Audience::Uuid(uuid) => it.app.uuid == *uuid,
    });
    let mut pushed = Pushed::default();
    for instance in instances {
        let count = match instance.app.client.bears_push {
            false => &mut pushed.deaf,
            true if relay.push(&instance, event.clone()) => &mut pushed.told,
            true => &mut pushed.missed,
        };
        *count += 1;
    }
    pushed
}

fn subject(to: &Audience) -> String {
    match to {
        Audience::All => "all".to_owned(),
        Audience::App(name) => format!("app {name}"),
        Audience::Uuid(uuid) => format!("uuid {uuid}"),
    }
}

fn tell_deed(chains: &Chains, who: &str, what: &str, subject: &str, done: bool) {
    chains.tell(Happening::OperatorActed {
        who: who.to_owned(),
        what: what.to_owned(),
        subject: subject.to_owned(),
        done,
    });
}

const fn name_of(deed: &PluginDeed) -> &'static str {
    match deed {
        PluginDeed::Load(_) => "plugin load",
        PluginDeed::Reload => "plugin reload",
        PluginDeed::Enable => "plugin enable",
        PluginDeed::Disable => "plugin disable",
        PluginDeed::Promote => "plugin promote",
        PluginDeed::Rollback(_) => "plugin rollback",
        PluginDeed::Reset => "plugin reset",
    }
}

fn act(
    operations: &Operations,
    who: &str,
    plugin: &str,
    deed: PluginDeed,
    reload: impl FnOnce() -> Result<u64, LoadErrors>,
) -> Result<u64, OperationError> {
    match deed {
        PluginDeed::Load(load) => {
            let PluginLoad {
                file,
                digest,
                percent,
                shadow,
            } = load;
            let version = match (digest, file) {
                (Some(digest), _) => NewVersion::Digest(digest),
                (None, file) => NewVersion::read(Path::new(&file.unwrap_or_default()))?,
            };
            let beside = match percent {
                Some(percent) => Some(Beside::Share((percent * 100.0).round() as u32)),
                None => shadow.then_some(Beside::Shadow),
            };
            operations.load(plugin, version, beside, who)
        }
        PluginDeed::Reload => Ok(reload()?),
        PluginDeed::Enable => operations.enable(plugin, who),
        PluginDeed::Disable => operations.disable(plugin, who),
        PluginDeed::Promote => operations.promote(plugin, who),
        PluginDeed::Rollback(to) => operations.rollback(plugin, to.as_deref(), who),
        PluginDeed::Reset => operations.reset(plugin, who),
    }
}

/// Gauges that are measured when somebody looks.
struct Sizes {
    apps: prometheus::IntGauge,
    services: prometheus::IntGauge,
}

impl Sizes {
    fn register(registry: &Registry) -> Result<Self, MetricsError> {
        let apps = prometheus::IntGauge::new("jackfield_apps", "Connected applications.")?;
        let services = prometheus::IntGauge::new("jackfield_services", "Registered services.")?;
        registry.register(Box::new(apps.clone()))?;
        registry.register(Box::new(services.clone()))?;
        Ok(Self { apps, services })
    }

    fn measure(&self, directory: &Directory) {
        let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let (apps, services) = directory.sizes();
        self.apps.set(count(apps));
        self.services.set(count(services));
    }
}

impl From<io::Error> for StartError {
    fn from(source: io::Error) -> Self {
        Self::System(source)
    }
}
