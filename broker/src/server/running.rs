use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use jackfield_rsocket::net::Uri;
use tokio::sync::mpsc;

use crate::{
    admin::Admin,
    builtin::Builtin,
    cluster::Cluster,
    identity,
    relay::{Directory, Listening, Relay},
};

use super::{
    memory::MemoryWatch,
    reload::Reloading,
    signals::{Signals, Wish},
};

/// The page that explains a drain.
const DRAINING: &str = "RST-910503";

/// Who asked for a drain, if no signal did.
const ADMIN: &str = "admin API";

/// The running broker.
pub struct Server {
    pub(super) relay: Arc<Relay>,
    pub(super) listening: Vec<Listening>,
    pub(super) reloading: Reloading,
    pub(super) drains: mpsc::Receiver<Option<Duration>>,
    pub(super) grace: Duration,
    pub(super) admin: Admin,
    pub(super) _memory: Option<MemoryWatch>,
    pub(super) _credentials: identity::Watcher,
    pub(super) _builtin: Builtin,
    pub(super) cluster: Cluster,
    /// Ends last.
    pub(super) publisher: Publisher,
}

impl Server {
    /// Where RSocket is spoken, with the ports that were given.
    pub fn uris(&self) -> impl Iterator<Item = &Uri> {
        self.listening.iter().map(Listening::uri)
    }

    pub fn http_address(&self) -> SocketAddr {
        self.admin.http_address()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.admin_address()
    }

    pub fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.publisher.directory
    }

    /// Reads the configuration again, soon.
    pub fn reload(&self) {
        self.reloading.demand();
    }

    /// Runs until a signal or the admin API ends it. Returns how many calls were cut.
    pub async fn run(mut self, mut signals: Signals) -> io::Result<usize> {
        let (cause, grace) = loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => self.reload(),
                    Wish::End(name) => break (name, self.grace),
                },
                Some(grace) = self.drains.recv() => break (ADMIN, grace.unwrap_or(self.grace)),
            }
        };
        let seconds = grace.as_secs_f64();
        tracing::info!(code = DRAINING, cause, seconds, "draining");
        self.listening.clear();
        self.cluster.leave();
        let cut = tokio::select! {
            cut = self.relay.drain(grace) => cut,
            name = impatience(&mut signals, cause) => {
                tracing::warn!(cause = name, "ending at once");
                let cut = self.relay.drain(Duration::ZERO).await;
                // The process ends: nobody waits for a plugin that is being compiled.
                std::mem::forget(self);
                return Ok(cut);
            }
        };
        tracing::info!(code = DRAINING, cut, "drained");
        Ok(cut)
    }

    /// Takes nothing new, lets streams finish within `grace`, then ends. Returns how many calls were cut.
    pub async fn drain(mut self, grace: Duration) -> usize {
        self.listening.clear();
        self.cluster.leave();
        let cut = self.relay.drain(grace).await;
        tracing::info!(code = DRAINING, cut, "drained");
        cut
    }
}

/// The signal that ends a drain at once: the second one. Of a drain that the admin API began the first is what a
/// supervisor sends after it has asked for the drain, and cuts nothing.
async fn impatience(signals: &mut Signals, cause: &str) -> &'static str {
    if cause == ADMIN {
        let name = signals.end().await;
        tracing::info!(
            cause = name,
            "draining already; one more signal ends at once"
        );
    }
    signals.end().await
}

/// The thread that publishes changes of the directory. Dropping it ends the thread.
pub(super) struct Publisher {
    directory: Arc<Directory>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    pub(super) fn start(directory: &Arc<Directory>) -> io::Result<Self> {
        let published = Arc::clone(directory);
        let run = move || published.publish_until_closed();
        let thread = thread::Builder::new()
            .name("jackfield-publish".into())
            .spawn(run)?;
        Ok(Self {
            directory: Arc::clone(directory),
            thread: Some(thread),
        })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.directory.close();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}
