//! A running data plane without a configuration or a face: what tests of the rooms above this one begin with.

use std::sync::Arc;

use jackfield_rsocket::{
    endpoint::{ConnectOptions, Requester, connect},
    net::{ListenOptions, Uri},
};
use prometheus::Registry;

use super::{Config, Directory, Limits, Listening, Metrics, Relay, Routing};
use crate::{
    chain::Chains,
    identity::{self, Identity},
};

pub(crate) struct Rooms {
    pub(crate) registry: Registry,
    pub(crate) directory: Arc<Directory>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) relay: Arc<Relay>,
}

impl Rooms {
    pub(crate) fn new(auth: identity::Config) -> Self {
        let registry = Registry::new();
        let directory = Arc::<Directory>::default();
        let identity = Arc::new(Identity::new(auth, &registry).unwrap());
        let config = Config {
            threads: 1,
            limits: Limits::default(),
            routing: Routing::default(),
        };
        let relay = Relay::start(
            config,
            directory.clone(),
            Arc::new(Chains::new(&registry).unwrap()),
            identity.clone(),
            Arc::new(Metrics::register(&registry).unwrap()),
        );
        Self {
            relay: Arc::new(relay.unwrap()),
            registry,
            directory,
            identity,
        }
    }

    pub(crate) async fn listen(&self) -> Listening {
        let uri = "tcp://127.0.0.1:0".parse().unwrap();
        let listening = self.relay.listen(&uri, &ListenOptions::default()).await;
        listening.unwrap()
    }

    /// Somebody who connects; whoever introduces itself is known when this returns.
    pub(crate) async fn join(&self, uri: &Uri, options: ConnectOptions) -> Requester {
        let before = self.directory.apps().len();
        let introduces = options.app.is_some();
        let requester = connect(uri, options).await.unwrap();
        while introduces && self.directory.apps().len() == before {
            tokio::task::yield_now().await;
        }
        self.directory.publish();
        requester
    }
}
