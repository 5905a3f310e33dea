//! Accepts HTTP/1 connections, with a bound on how many and on how long a request head may take.
//!
//! Each face has [`CONNECTIONS_MAX`] of its own. When they are used up, the newest takes the place of the one that has
//! been without a request longest: hundreds of connections that send half a head, or nothing, keep no health check
//! out. Only when all of them are being answered does the newest wait.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io, net,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{self, Next},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// Of one face.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// For a request's head, and for how long a connection that is kept alive may say nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors or memory.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until it is dropped, or the listener cannot be used at all.
pub(super) async fn serve(listener: net::TcpListener, router: Router) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let idlers = Idlers::default();
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                sleep(RETRY).await;
                continue;
            }
        };
        if room.available_permits() == 0 {
            idlers.dismiss_oldest();
        }
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let router = router.clone().layer(axum::Extension(ConnectInfo(remote)));
        tokio::spawn(converse(stream, router, idlers.enter(), permit));
    }
}

/// One connection, to its end. A peer that breaks off is not worth a line.
async fn converse(
    stream: TcpStream,
    router: Router,
    place: Arc<Place>,
    _permit: OwnedSemaphorePermit,
) {
    let asked = Arc::clone(&place);
    let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let place = Arc::clone(&asked);
        async move {
            place.busy.store(true, Ordering::Relaxed);
            let response = next.run(request).await;
            place.busy.store(false, Ordering::Relaxed);
            response
        }
    }));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        _ = connection => {}
        () = place.dismissed.notified() => {}
    }
}

/// A connection among the others.
#[derive(Debug, Default)]
struct Place {
    /// A request is being answered.
    busy: AtomicBool,
    dismissed: Notify,
}

/// Connections in the order they came. Those that have ended are gone from it at the next look.
#[derive(Debug, Default)]
struct Idlers(Mutex<VecDeque<Weak<Place>>>);

impl Idlers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Weak<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Arc<Place> {
        let place = Arc::<Place>::default();
        let mut places = self.lock();
        places.push_back(Arc::downgrade(&place));
        if places.len() > 2 * CONNECTIONS_MAX {
            places.retain(|place| place.strong_count() > 0);
        }
        place
    }

    /// Ends the oldest connection that is not being answered, if there is one.
    fn dismiss_oldest(&self) {
        let mut places = self.lock();
        places.retain(|place| place.strong_count() > 0);
        let idle = |place: &Weak<Place>| {
            place
                .upgrade()
                .is_some_and(|place| !place.busy.load(Ordering::Relaxed))
        };
        if let Some(at) = places.iter().position(idle)
            && let Some(place) = places.remove(at).and_then(|place| place.upgrade())
        {
            place.dismissed.notify_one();
        }
    }
}
