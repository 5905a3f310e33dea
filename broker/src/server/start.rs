use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jackfield_rsocket::net::ListenOptions;
use tokio::sync::mpsc;

use crate::{
    admin::{SameToken, TokenError},
    builtin::{self, Builtin},
    chain::{Chains, CompileWith, GuestCalls, LoadErrors, Loader, Watcher},
    cluster::{Brokers, Cluster},
    config::{Loaded, Surroundings},
    identity::{self, Identity, IdentityError},
    relay::{self, Directory, Listening, Relay},
    telemetry::{LogHandle, MetricsError, Registry},
};

use super::{
    certificates::Certificates,
    descriptors::raise_descriptors,
    faces::{self, Rooms},
    guests::Guests,
    machine::{memory_available, memory_used},
    memory::MemoryWatch,
    reload::{Reloader, Reloading},
    running::{Publisher, Server},
};

/// What the server is started with besides its configuration.
#[derive(Debug)]
pub struct Options {
    /// Where the configuration came from; a reload reads it again.
    pub surroundings: Surroundings,
    pub compile_with: CompileWith,
    /// How long streams may go on when the server drains, unless the wish names a time.
    pub grace: Duration,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Plugins(#[from] LoadErrors),
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    SameToken(#[from] SameToken),
    #[error("{what} cannot be bound: {source}; {todo}")]
    Bind {
        what: String,
        source: io::Error,
        todo: &'static str,
    },
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Metrics(#[from] MetricsError),
    #[error("the system refused: {0}")]
    System(#[source] io::Error),
}

impl StartError {
    /// Whether the configuration is to blame rather than the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Plugins(_) | Self::Token(_) | Self::SameToken(_) | Self::Identity(_)
        )
    }

    pub(super) fn bind(what: &str, source: io::Error) -> Self {
        let todo = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there: end it, or choose another port"
            }
            io::ErrorKind::AlreadyExists => "name a file that does not exist, or remove this one",
            io::ErrorKind::NotFound => "make the folder first",
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege, and a socket's folder must be ours to write: choose another"
            }
            _ => "correct the address",
        };
        Self::Bind {
            what: what.to_owned(),
            source,
            todo,
        }
    }
}

impl From<prometheus::Error> for StartError {
    fn from(error: prometheus::Error) -> Self {
        Self::Metrics(error.into())
    }
}

impl Server {
    /// Builds everything and binds every listener, or says why not and leaves nothing running.
    pub async fn start(
        loaded: Loaded,
        log: LogHandle,
        options: Options,
    ) -> Result<Self, StartError> {
        let Options {
            surroundings,
            compile_with,
            grace,
        } = options;
        warn_of_descriptors(loaded.config.limits.connections);
        let registry = Registry::new(env!("CARGO_PKG_VERSION"))?;
        let chains = Arc::new(Chains::new(registry.prometheus())?);
        let directory = Arc::new(Directory::default());
        let own = GuestCalls::new(registry.prometheus())?;
        let guests = Arc::new(Guests::new(own, Arc::clone(&directory)));
        let loader = load_plugins(&loaded, &chains, &guests, compile_with).await?;
        let publisher = Publisher::start(&directory)?;
        let identity = Arc::new(Identity::new(
            loaded.config.auth.clone(),
            registry.prometheus(),
        )?);
        let relay = Arc::new(start_relay(
            &loaded, &directory, &chains, &identity, &registry,
        )?);
        guests.open(&relay);
        let credentials = watch_credentials(&identity, &relay)?;
        let memory = watch_memory(&loaded, &relay, &registry)?;
        let certificates = Certificates::new(&loaded.config.listeners, &registry)?;
        let brokers = Arc::new(Brokers::new(loaded.config.broker_lists()));
        let cluster = Cluster::start(
            Arc::clone(&brokers),
            Arc::clone(&directory),
            Arc::clone(&identity),
            &relay,
        )?;
        let builtin = Builtin::start(builtin::Parts {
            node: loaded.config.node.name.clone(),
            relay: Arc::clone(&relay),
            directory: Arc::clone(&directory),
            identity: Arc::clone(&identity),
            brokers: Arc::clone(&brokers),
        })
        .await?;
        let listening = listen(&loaded, &relay, &certificates).await?;
        brokers.listens(listening.iter().map(|it| it.uri().to_string()).collect());
        registry.config_loaded(true);
        warn_of_doubts(&loaded);
        let (node, version) = (&loaded.config.node.name, env!("CARGO_PKG_VERSION"));
        tracing::info!(code = "RST-100001", node, version, "started");

        let (drain, drains) = mpsc::channel(1);
        let current = Arc::new(ArcSwap::from_pointee(loaded));
        let admin = faces::start(Rooms {
            config: Arc::clone(&current),
            directory,
            chains,
            loader: Arc::clone(&loader),
            relay: Arc::clone(&relay),
            identity: Arc::clone(&identity),
            brokers: Arc::clone(&brokers),
            registry: registry.clone(),
            log: log.clone(),
            drain,
        })?;
        let components = watch_components(&current, &loader)?;
        let reloading = Reloading::start(Reloader {
            surroundings,
            current,
            loader,
            components,
            relay: Arc::clone(&relay),
            brokers,
            identity,
            certificates,
            log,
            registry,
        })?;
        Ok(Self {
            relay,
            listening,
            reloading,
            drains,
            grace,
            admin,
            _memory: memory,
            _credentials: credentials,
            _builtin: builtin,
            cluster,
            publisher,
        })
    }
}

fn warn_of_descriptors(connections: usize) {
    let found = raise_descriptors(connections);
    if !found.suffice() {
        let (limit, needed) = (found.limit, found.needed);
        tracing::warn!(
            limit,
            needed,
            "too few file descriptors for limits.connections; raise LimitNOFILE or `ulimit -Hn`, or lower the limit"
        );
    }
}

/// Nothing is watched where the system does not tell what there is.
fn watch_memory(
    loaded: &Loaded,
    relay: &Arc<Relay>,
    registry: &Registry,
) -> io::Result<Option<MemoryWatch>> {
    let available = memory_available();
    if available.is_none() {
        tracing::warn!(
            "the system does not tell how much memory there is: only a size in limits.memory has an effect"
        );
    }
    let Some(limit) = loaded.config.memory.of(available) else {
        return Ok(None);
    };
    if let Some(used) = memory_used().filter(|used| *used > limit / 2) {
        tracing::warn!(
            used,
            limit,
            "more than half of limits.memory is used before the first connection; raise it"
        );
    }
    let high = loaded.config.limits.outbox;
    MemoryWatch::start(limit, high, Arc::clone(relay), registry).map(Some)
}

/// Compiling may take a while, so it has a thread of its own.
async fn load_plugins(
    loaded: &Loaded,
    chains: &Arc<Chains>,
    guests: &Arc<Guests>,
    compile_with: CompileWith,
) -> Result<Arc<Loader>, StartError> {
    let threads = loaded.config.node.threads;
    let guests = Arc::clone(guests);
    let loader = Arc::new(Loader::new(
        Arc::clone(chains),
        threads,
        compile_with,
        guests,
    ));
    let (loading, config) = (Arc::clone(&loader), loaded.config.plugins.clone());
    let done = tokio::task::spawn_blocking(move || loading.load(&config)).await;
    done.map_err(|panic| StartError::System(io::Error::other(panic)))??;
    Ok(loader)
}

/// Who was let in by what is taken back has to go.
fn watch_credentials(
    identity: &Arc<Identity>,
    relay: &Arc<Relay>,
) -> io::Result<identity::Watcher> {
    let relay = Arc::downgrade(relay);
    identity::Watcher::start(Arc::clone(identity), move || {
        if let Some(relay) = relay.upgrade() {
            take_back(&relay);
        }
    })
}

pub(super) fn take_back(relay: &Relay) {
    let links = relay.take_back();
    if links > 0 {
        tracing::warn!(
            code = "RST-910402",
            links,
            "connections whose credentials have been revoked are closed"
        );
    }
}

fn start_relay(
    loaded: &Loaded,
    directory: &Arc<Directory>,
    chains: &Arc<Chains>,
    identity: &Arc<Identity>,
    registry: &Registry,
) -> Result<Relay, StartError> {
    let metrics = Arc::new(relay::Metrics::register_with(
        registry.prometheus(),
        loaded.config.metrics.calls,
    )?);
    let config = relay::Config {
        threads: loaded.config.node.threads,
        limits: loaded.config.limits.clone(),
        routing: loaded.config.routing.clone(),
    };
    Ok(Relay::start(
        config,
        Arc::clone(directory),
        Arc::clone(chains),
        Arc::clone(identity),
        metrics,
    )?)
}

/// Says what is good today and will not do.
pub(super) fn warn_of_doubts(loaded: &Loaded) {
    for doubt in loaded.doubts.iter().chain(loaded.advice.iter()) {
        tracing::warn!("{doubt}");
    }
}

async fn listen(
    loaded: &Loaded,
    relay: &Relay,
    certificates: &Certificates,
) -> Result<Vec<Listening>, StartError> {
    let mut listening = Vec::new();
    let socket = loaded.config.socket;
    for (index, listener) in loaded.config.listeners.iter().enumerate() {
        let options = ListenOptions {
            socket: socket.options,
            backlog: socket.backlog,
            tls: certificates.of(index),
            mode: listener.mode,
        };
        let scrape_only = listener.scrape_only.as_deref().map(Into::into);
        let bound = relay.listen_for(&listener.uri, &options, scrape_only).await;
        let bound = bound
            .map_err(|source| StartError::bind(&format!("listen.uri {}", listener.uri), source))?;
        listening.push(bound);
    }
    Ok(listening)
}

fn watch_components(current: &ArcSwap<Loaded>, loader: &Arc<Loader>) -> io::Result<Watcher> {
    let config = Arc::new(std::sync::Mutex::new(current.load().config.plugins.clone()));
    Watcher::start(Arc::clone(loader), config, Vec::new(), |_| {})
}
