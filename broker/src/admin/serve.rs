//! Accepts HTTP/1 connections, with a bound on how many and on how long a request head may take.
//!
//! Each face has a number of its own. When they are used up, the newest takes the place of the one that has
//! been without a request longest: hundreds of connections that send half a head, or nothing, keep no health check
//! out. Only when all of them are being answered does the newest wait. A peer that takes nothing of its answer for
//! [`STALL`] is let go.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io, net,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    middleware::{self, Next},
};
use bytes::Bytes;
use hyper::{
    body::{Frame, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// For a request's head, and for how long a connection that is kept alive may say nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that owes us a read for so long has gone.
const STALL: Duration = Duration::from_secs(30);
/// After an accept that failed for want of descriptors or memory.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until it is dropped, or the listener cannot be used at all.
pub(super) async fn serve(
    listener: net::TcpListener,
    router: Router,
    connections_max: usize,
) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(connections_max));
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
        tokio::spawn(converse(
            stream,
            router,
            idlers.enter(2 * connections_max),
            permit,
        ));
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
        let busy = Busy::new(&asked);
        async move {
            next.run(request)
                .await
                .map(|body| busy.until_the_end_of(body))
        }
    }));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(
            TokioIo::new(Patient::new(stream)),
            TowerToHyperService::new(router),
        );
    tokio::select! {
        _ = connection => {}
        () = place.dismissed.notified() => {}
    }
}

/// A socket whose writing fails when nothing has been taken for [`STALL`].
struct Patient {
    stream: TcpStream,
    end: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    const fn new(stream: TcpStream) -> Self {
        Self { stream, end: None }
    }

    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.end = None;
            return wrote;
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(STALL)));
        match end.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection among the others.
#[derive(Debug, Default)]
struct Place {
    /// A request is being answered.
    busy: AtomicBool,
    dismissed: Notify,
}

/// A request that is being answered, to the last byte of the answer.
struct Busy(Arc<Place>);

impl Busy {
    fn new(place: &Arc<Place>) -> Self {
        place.busy.store(true, Ordering::Relaxed);
        Self(Arc::clone(place))
    }

    /// Keeps the size that is known of the body.
    fn until_the_end_of(self, body: Body) -> Body {
        Body::new(Answering { body, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

struct Answering {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Connections in the order they came. Those that have ended are gone from it at the next look.
#[derive(Debug, Default)]
struct Idlers(Mutex<VecDeque<Weak<Place>>>);

impl Idlers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Weak<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, many: usize) -> Arc<Place> {
        let place = Arc::<Place>::default();
        let mut places = self.lock();
        places.push_back(Arc::downgrade(&place));
        if places.len() > many {
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
