//! Swaps the chain when a component changes on disk.

mod files;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use files::Files;

use super::{ChainConfig, Loader, Mode, Operations, Source};

/// A thread that looks at the components of a configuration, and at other files it was given, until
/// it is dropped.
///
/// It polls: events of the file system miss network mounts and the symlink swaps of Kubernetes, and
/// a few `stat` calls a second cost nothing.
pub struct Watcher {
    config: Arc<Mutex<ChainConfig>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often files are looked at; a change is acted on at the second look that finds it the same.
const INTERVAL: Duration = Duration::from_millis(250);

impl Watcher {
    /// `config` is what the loader loaded last. When one of the `others` changes, `on_others` is
    /// told, on the watcher's thread; it may call [`Loader::load`].
    pub fn start(
        loader: Arc<Loader>,
        config: Arc<Mutex<ChainConfig>>,
        others: Vec<PathBuf>,
        on_others: impl FnMut(&[PathBuf]) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let mut watch = Watch {
            loader,
            config: Arc::clone(&config),
            others,
            on_others,
            files: Files::default(),
        };
        watch.begin();
        let thread = thread::Builder::new()
            .name("plugin-watcher".into())
            .spawn(move || {
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    watch.look();
                }
            })?;
        Ok(Self {
            config,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// To be called after another configuration was loaded.
    pub fn set_config(&self, config: ChainConfig) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It only ends early by a panic in `on_others`, which has been reported already.
            let _ = thread.join();
        }
    }
}

struct Watch<F> {
    loader: Arc<Loader>,
    config: Arc<Mutex<ChainConfig>>,
    others: Vec<PathBuf>,
    on_others: F,
    files: Files,
}

impl<F: FnMut(&[PathBuf])> Watch<F> {
    /// What is running counts as known, so that a component that changed since it was loaded is
    /// seen.
    fn begin(&mut self) {
        for view in self.loader.chains().views() {
            if let Some(digest) = view.digest {
                self.files.know(view.source.into(), digest);
            }
        }
        self.files.know_as_they_are(&self.others);
    }

    fn look(&mut self) {
        let others = self.files.look(&self.others);
        if !others.is_empty() {
            (self.on_others)(&others);
        }
        Operations::new(Arc::clone(&self.loader)).heal();
        let config = self
            .config
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let changed = self.files.look(&components(&config));
        if !changed.is_empty() {
            self.reload(&config, &changed);
        }
    }

    fn reload(&self, config: &ChainConfig, changed: &[PathBuf]) {
        let running = self.loader.chains().views();
        let is_running = |path: &PathBuf| {
            let digest = self.files.digest(path);
            let source = path.to_string_lossy();
            running
                .iter()
                .any(|view| view.source == source && view.digest.as_deref() == digest)
        };
        if changed.iter().all(is_running) {
            return;
        }
        match self.loader.load(config) {
            Ok(generation) => tracing::info!(generation, ?changed, "reloaded changed plugins"),
            Err(errors) => tracing::error!(
                ?changed,
                "the changed plugins were not loaded, and nothing was changed: {errors}"
            ),
        }
    }
}

fn components(config: &ChainConfig) -> Vec<PathBuf> {
    let live = config
        .plugins
        .iter()
        .filter(|plugin| plugin.mode != Mode::Off);
    live.filter_map(|plugin| match &plugin.source {
        Source::File(path) => Some(path.clone()),
        Source::Builtin(_) => None,
    })
    .collect()
}
