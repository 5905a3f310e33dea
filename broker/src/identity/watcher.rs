//! Keeps keys, users and the list of revoked tokens up to date, on a thread of its own.
//!
//! Files are looked at by content again and again: events miss network mounts and the symlink swaps
//! of mounted volumes. A change counts when two looks in a row find the same bytes. A key set is
//! fetched when it is due, and when a token names a key that is not known, but not more often than
//! every [`PAUSE`]. What cannot be read or fetched changes nothing: the last good state stays.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ring::digest::{SHA256, digest};
use tokio::{
    runtime,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{authenticator::Identity, jwks, keys, state::State};

const INTERVAL: Duration = Duration::from_millis(500);
/// Between two fetches of the key set that somebody asked for.
const PAUSE: Duration = Duration::from_secs(5);
/// After a fetch that failed.
const RETRY: Duration = Duration::from_secs(15);

type Contents = BTreeMap<PathBuf, Vec<u8>>;

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
                        () = keep_keys(&identity) => {}
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

fn contents(identity: &Identity) -> Contents {
    let hash = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_default();
        (path, digest(&SHA256, &bytes).as_ref().to_vec())
    };
    let files = State::files(&identity.state().config);
    files.into_iter().map(hash).collect()
}

async fn watch_files(identity: &Identity, changed: impl Fn()) {
    let mut known = contents(identity);
    let mut resting = None;
    loop {
        sleep(INTERVAL).await;
        let found = contents(identity);
        if found == known {
            resting = None;
            continue;
        }
        if resting.as_ref() != Some(&found) {
            resting = Some(found);
            continue;
        }
        known = found;
        resting = None;
        match identity.reread() {
            Ok(()) => {
                tracing::info!("files of [auth] have changed and were read again");
                changed();
            }
            Err(error) => {
                tracing::error!("a file of [auth] has changed and was not taken over: {error}");
            }
        }
    }
}

async fn keep_keys(identity: &Identity) {
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
        if asked && last.is_some_and(|last| last.elapsed() < PAUSE) {
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
            .map_or(RETRY, |jwt| jwt.refresh);
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
                RETRY.min(refresh)
            }
        };
        identity.keys_tried();
    }
}
