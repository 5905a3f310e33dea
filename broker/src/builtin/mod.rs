//! RSocket services that the broker answers itself: those of the archived broker that its clients
//! call.
//!
//! | service of `com.alibaba.rsocket` | tells |
//! |---|---|
//! | `health.RSocketServiceHealth` | whether a service is there; the broker itself, without a name |
//! | `discovery.DiscoveryService` | applications, services, and where brokers are |
//! | `cloudevents.CloudEventsNotifyService` | nothing: passes an event on to applications |
//! | `rpc.ReactiveServiceDiscovery` | the operations of these four |
//!
//! Invariants
//! - To the relay this is an ordinary application over the in-memory transport: rules, limits and
//!   metrics are those of every call.
//! - Nobody else publishes these services, and nobody without the right to observe one is told of
//!   it.
//! - Arguments are read and answers written as the caller does: Hessian, JSON or text.
//! - What only a broker may say is not passed on for somebody else.
//!
//! Looks down at: cluster, relay, identity, directory. Looked at by: server.

mod desk;
mod discovery;
mod encoding;
mod health;
mod hessian;
mod interfaces;
mod notify;
mod value;

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use jackfield_rsocket::{
    endpoint::{self, ConnectOptions, Requester},
    metadata::AppMetadata,
    net::memory,
    wire::FRAME_LEN_MAX,
};
use tokio::{runtime, sync::oneshot};

use crate::{
    cluster::Brokers,
    identity::Identity,
    relay::{Directory, Relay},
};
use desk::Desk;

/// What the services answer from.
pub struct Parts {
    /// The broker's name.
    pub node: String,
    pub relay: Arc<Relay>,
    pub directory: Arc<Directory>,
    pub identity: Arc<Identity>,
    pub brokers: Arc<Brokers>,
}

/// The door of the room. Dropping it ends the thread, and with it the connection.
pub struct Builtin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Builtin {
    /// Joins the relay. When this returns the services are known.
    pub async fn start(parts: Parts) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let directory = Arc::clone(&parts.directory);
        let (stop, stopped) = oneshot::channel::<()>();
        let (joined, joins) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("jackfield-builtin".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let connection = join(parts).await;
                    let held = connection.as_ref().ok().cloned();
                    let _ = joined.send(connection.map(drop));
                    // Resolves when the sender is dropped.
                    let _ = stopped.await;
                    drop(held);
                });
            })?;
        let ended = |_| io::Error::other("the thread of the broker's own services has ended");
        joins.await.map_err(ended)??;
        while directory.find(interfaces::DISCOVERY).is_none() {
            tokio::task::yield_now().await;
        }
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Builtin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

/// The longest request, in bytes: an event of an application is the longest there is.
const MESSAGE_MAX: usize = 512 * 1024;
/// Requests that are answered, or come in fragments, at the same time.
const STREAMS_MAX: usize = 256;

async fn join(parts: Parts) -> io::Result<Requester> {
    let (ours, theirs) = memory(FRAME_LEN_MAX);
    parts.relay.attach(theirs).await?;
    let mut options = ConnectOptions::new();
    (options.limits.message, options.limits.streams) = (MESSAGE_MAX, STREAMS_MAX);
    options.app = Some(AppMetadata::named(format!("jackfield-{}", parts.node)));
    for service in interfaces::ALL {
        options = options.publish(service.name).map_err(io::Error::other)?;
    }
    endpoint::attach(ours, options.serve(Desk::new(parts))).map_err(io::Error::other)
}
