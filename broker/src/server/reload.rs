//! Puts a changed configuration into effect while the broker runs: all that can change, or nothing.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    chain::{Loader, Watcher},
    cluster::Brokers,
    config::{Contents, Loaded, Surroundings, contents_of, load},
    identity::Identity,
    relay::Relay,
    telemetry::{LogHandle, Registry},
};

use super::{
    certificates::Certificates,
    start::{take_back, warn_of_doubts},
    watch::{Seen, Watch},
};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// Between two looks at files that are to be read.
const SETTLE: Duration = Duration::from_millis(30);
/// Files that never hold still are read as they are.
const SETTLE_LOOKS: usize = 100;

/// What a reload reads and changes.
pub(super) struct Reloader {
    pub(super) surroundings: Surroundings,
    pub(super) current: Arc<ArcSwap<Loaded>>,
    pub(super) loader: Arc<Loader>,
    /// Reloads changed components by itself; it is told which configuration holds.
    pub(super) components: Watcher,
    pub(super) relay: Arc<Relay>,
    pub(super) brokers: Arc<Brokers>,
    pub(super) identity: Arc<Identity>,
    pub(super) certificates: Certificates,
    pub(super) log: LogHandle,
    pub(super) registry: Registry,
}

/// What became of a reload.
pub(super) struct Tried {
    /// What the files held.
    contents: Contents,
    /// Whether they could be read. A plugin that fails to load counts as read.
    read: bool,
}

/// The thread that reloads, on demand and when files change. Dropping it ends the thread.
pub(super) struct Reloading {
    demand: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reloading {
    pub(super) fn start(reloader: Reloader) -> io::Result<Self> {
        // One demand waits while another is worked on; more would be the same.
        let (demand, demands) = sync_channel(1);
        let run = move || reloader.run(&demands);
        let thread = thread::Builder::new()
            .name("jackfield-reload".into())
            .spawn(run)?;
        Ok(Self {
            demand: Some(demand),
            thread: Some(thread),
        })
    }

    /// Reloads soon, whether or not files have changed.
    pub(super) fn demand(&self) {
        if let Some(demand) = &self.demand {
            let _ = demand.try_send(());
        }
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        drop(self.demand.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

impl Reloader {
    fn run(self, demands: &Receiver<()>) {
        let mut watch = Watch::new(self.current.load().contents.clone());
        let mut failed = false;
        loop {
            let due = match demands.recv_timeout(INTERVAL) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => {
                    match watch.look(self.contents(), self.main().as_deref()) {
                        Seen::Changed => true,
                        Seen::Gone => {
                            self.tell_gone();
                            false
                        }
                        // What failed for want of a file, such as a component, mends itself when the file comes.
                        Seen::Nothing => failed && load(&self.surroundings).is_ok(),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if due {
                let tried = self.reload();
                failed = !tried.read;
                watch.tried(tried.contents);
            }
        }
    }

    /// The file in effect to which all others are additions.
    fn main(&self) -> Option<PathBuf> {
        self.current.load().files.first().cloned()
    }

    fn tell_gone(&self) {
        if let Some(file) = self.main() {
            tracing::warn!(
                file = %file.display(),
                "the configuration file is gone; what it said holds until it is back or the broker ends"
            );
        }
    }

    pub(super) fn reload(&self) -> Tried {
        let contents = self.settle();
        let tried = |read, contents| Tried { contents, read };
        if self
            .main()
            .is_some_and(|main| !contents.contains_key(&main))
        {
            // Another file, or the defaults, are not what was meant.
            self.registry.config_loaded(false);
            self.tell_gone();
            return tried(true, contents);
        }
        let new = match load(&self.surroundings) {
            Ok(new) => new,
            Err(problems) => {
                self.refuse(&problems);
                return tried(false, contents);
            }
        };
        let auth = match self.identity.prepare(new.config.auth.clone()) {
            Ok(auth) => auth,
            Err(error) => {
                self.refuse(&error);
                return tried(false, contents);
            }
        };
        if let Err(errors) = self.loader.load(&new.config.plugins) {
            self.refuse(&new.place(&errors));
            return tried(true, contents);
        }
        self.identity.put_into_effect(auth);
        take_back(&self.relay);
        let read = new.contents.clone();
        self.put_into_effect(new);
        // Of the files that are watched now, what was read: a change since then is one more.
        let mut contents = self.contents();
        for (file, digest) in &mut contents {
            *digest = read.get(file).copied().unwrap_or(*digest);
        }
        tried(true, contents)
    }

    fn refuse(&self, problems: &dyn std::fmt::Display) {
        self.registry.config_loaded(false);
        tracing::error!("the configuration was not reloaded, nothing has changed:\n{problems}");
    }

    /// Waits until the files hold still: an editor that empties a file before it fills it must not be
    /// read in between. Returns what they hold.
    fn settle(&self) -> Contents {
        let mut before = self.contents();
        for _ in 0..SETTLE_LOOKS {
            thread::sleep(SETTLE);
            let now = self.contents();
            if now == before {
                break;
            }
            before = now;
        }
        before
    }

    /// What the files hold now: the configuration's, and the certificates and keys it names.
    fn contents(&self) -> Contents {
        let mut contents = self.surroundings.contents();
        contents.extend(contents_of(self.current.load().tls_files()));
        contents
    }

    fn put_into_effect(&self, new: Loaded) {
        let old = self.current.load_full();
        self.components.set_config(new.config.plugins.clone());
        self.relay.set_routing(new.config.routing.clone());
        // A level set by hand stays until the file says another one.
        if old.config.log.level != new.config.log.level {
            self.log.set(&new.config.log.level);
        }
        let need_restart = old.need_restart(&new);
        warn_of_doubts(&new);
        let kept = new.keep_until_restart(&old);
        self.certificates.renew(&kept.config.listeners);
        self.brokers.set(kept.config.broker_lists());
        self.current.store(Arc::new(kept));
        self.registry.config_loaded(true);
        tracing::info!("the configuration was reloaded");
        if !need_restart.is_empty() {
            let keys = need_restart.join(", ");
            tracing::warn!(
                keys,
                "these settings have changed and take effect after a restart"
            );
        }
    }
}
