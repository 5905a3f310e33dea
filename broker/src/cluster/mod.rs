//! Several brokers that share nothing: each tells its clients of all of them, and clients connect to
//! each, as with the archived broker.
//!
//! ```text
//! [cluster] brokers ──► Brokers ──► whoever asks the discovery service for "*"
//!                          │
//! directory.version() ──► Pusher ──► METADATA_PUSH: the list of brokers, the providers of a service
//! ```
//!
//! Invariants
//! - What is pushed is the whole truth of the moment, and only when it differs from what the same
//!   connection was told before: an event that gets lost or comes late is mended by the next look.
//! - Only clients that are known to bear METADATA_PUSH get one.
//! - A list is never empty: a client that was told of no brokers would have none left.
//!
//! Looks down at: relay, identity, directory. Looked at by: builtin, admin, server.

mod brokers;
mod events;
mod pusher;

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

pub use brokers::{Brokers, Lists};
pub use events::{EventError, passable};

use crate::{
    identity::Identity,
    relay::{Directory, Relay},
};
use pusher::Pusher;

/// How often is looked whether anything is to be told.
const LOOK: Duration = Duration::from_millis(200);
/// The longest that a farewell is waited for.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Somebody waits for the farewell, and hears when it is on its way.
type Leaving = SyncSender<()>;

/// The thread that pushes. Dropping it ends the thread.
pub struct Cluster {
    leaving: Option<SyncSender<Leaving>>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    pub fn start(
        brokers: Arc<Brokers>,
        directory: Arc<Directory>,
        identity: Arc<Identity>,
        relay: &Arc<Relay>,
    ) -> io::Result<Self> {
        let (leaving, left) = sync_channel::<Leaving>(1);
        let relay = Arc::downgrade(relay);
        let mut pusher = Pusher::new(brokers, directory, identity);
        let thread = thread::Builder::new()
            .name("jackfield-cluster".into())
            .spawn(move || {
                loop {
                    let waits = match left.recv_timeout(LOOK) {
                        Ok(waits) => Some(waits),
                        Err(RecvTimeoutError::Timeout) => None,
                        Err(RecvTimeoutError::Disconnected) => return,
                    };
                    let Some(relay) = relay.upgrade() else {
                        return;
                    };
                    pusher.look(waits.is_some(), &|to, event| relay.push(to, event));
                    if waits.is_some() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            leaving: Some(leaving),
            thread: Some(thread),
        })
    }

    /// Tells clients of the brokers without this one, which is about to leave; before its connections end, so that
    /// they do not come back to it. Nothing is told after that.
    pub fn leave(&self) {
        let (waits, done) = sync_channel(1);
        let sent = self.leaving.as_ref().map(|leaving| leaving.send(waits));
        if let Some(Ok(())) = sent {
            // Ends with the thread's answer, or with the thread.
            let _ = done.recv_timeout(LEAVE_MAX);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.leaving.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}
