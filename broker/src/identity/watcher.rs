//! Keeps keys, users and the list of revoked tokens up to date, on a thread of its own.
//!
//! Files are looked at by content again and again: events miss network mounts and the symlink swaps
//! of mounted volumes. A change counts when two looks in a row find the same bytes. A key set is
//! fetched when it is due, and when a token names a key that is not known, but not more often than
//! [`Pace`] says. What cannot be read or fetched changes nothing: the last good state stays.

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    authenticator::Identity,
    jwks, keys,
    state::{Contents, contents_of},
};

const INTERVAL: Duration = Duration::from_millis(500);

/// How often the key set is fetched, besides `jwks-refresh`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two fetches that somebody asked for.
    pub(super) pause: Duration,
    /// After a fetch that failed.
    pub(super) retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(5),
            retry: Duration::from_secs(15),
        }
    }
}

/// The thread; dropping it ends the thread.
pub struct Watcher {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// `changed` is called after files were read again: who was let in may have to go.
    pub fn start(identity: Arc<Identity>, changed: impl Fn() + Send + 'static) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("jackfield-auth".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = watch_files(&identity, changed) => {}
                        () = keep_keys(&identity, Pace::default()) => {}
                        // Resolves when the sender is dropped.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

/// What the files of the state in effect hold now.
fn contents(identity: &Identity) -> Contents {
    let state = identity.state();
    let now = |path: &PathBuf| {
        let bytes = fs::read(path).ok();
        (path.clone(), bytes.as_deref().and_then(contents_of))
    };
    state.contents.keys().map(now).collect()
}

async fn watch_files(identity: &Identity, changed: impl Fn()) {
    // What was found last, and what was found to be of no use.
    let (mut resting, mut refused) = (None, None);
    loop {
        sleep(INTERVAL).await;
        let found = contents(identity);
        if found == identity.state().contents || refused.as_ref() == Some(&found) {
            resting = None;
            continue;
        }
        if resting.as_ref() != Some(&found) {
            resting = Some(found);
            continue;
        }
        resting = None;
        match identity.reread() {
            Ok(()) => {
                tracing::info!("files of [auth] have changed and were read again");
                changed();
            }
            Err(error) => {
                refused = Some(found);
                tracing::error!("a file of [auth] has changed and was not taken over: {error}");
            }
        }
    }
}

pub(super) async fn keep_keys(identity: &Identity, pace: Pace) {
    let mut last: Option<Instant> = None;
    let mut wait = Duration::ZERO;
    loop {
        let asked = timeout(wait, identity.keys_wanted.notified()).await.is_ok();
        let source = identity
            .state()
            .key_set_url()
            .map(|(url, authorities)| (url.to_owned(), authorities.map(PathBuf::from)));
        let Some((url, authorities)) = source else {
            wait = INTERVAL;
            continue;
        };
        if asked && last.is_some_and(|last| last.elapsed() < pace.pause) {
            // Asked for too often: whoever waits goes on with the keys there are.
            identity.keys_tried();
            continue;
        }
        last = Some(Instant::now());
        let refresh = identity
            .state()
            .config
            .jwt
            .as_ref()
            .map_or(pace.retry, |jwt| jwt.refresh);
        let fetched = jwks::fetch(&url, authorities.as_deref()).await;
        let kept = fetched.and_then(|bytes| {
            let keys = keys::parse_jwks(&bytes).map_err(|error| error.to_string())?;
            identity
                .set_fetched(&url, keys)
                .map_err(|error| error.to_string())
        });
        identity.metrics.refreshed(kept.is_ok());
        wait = match kept {
            Ok(()) => refresh,
            Err(error) => {
                tracing::warn!(
                    url,
                    "the key set was not fetched, the last good one stays: {error}"
                );
                pace.retry.min(refresh)
            }
        };
        identity.keys_tried();
    }
}
