use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::select_all;
use tokio::time::Instant;

use super::client::connect_lazily;
use super::requester::Requester;
use super::{CallError, Closed, ConnectError, ConnectOptions, Credit, Failure, Incoming, Message};
use crate::net::Uri;

/// Several connections that are called as one: each call takes the one with the fewest calls open.
///
/// Connections dial again by themselves when they are lost. One that ended for good, because the
/// server refused it or the attempts were spent, is replaced when it is next looked at, though not
/// more often than each [`Backoff::most`](super::Backoff::most).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use jackfield_rsocket::endpoint::{ConnectOptions, Message, Pool, Responder, Server};
/// use jackfield_rsocket::net::Listener;
///
/// let listener = Listener::bind(&"tcp://127.0.0.1:0".parse()?).await?;
/// let uri = listener.uri().clone();
/// let echo = Responder::new().response(async |request| Ok(request));
/// tokio::spawn(Server::answering(echo).listen(listener));
///
/// let pool = Pool::new([uri], 4, ConnectOptions::new())?;
/// assert_eq!(pool.request_response(Message::new("hi")).await?.data, "hi");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool {
    slots: Arc<[Slot]>,
    options: ConnectOptions,
    /// Between two connections in one place.
    pause: Duration,
}

struct Slot {
    uri: Uri,
    place: Mutex<Place>,
}

struct Place {
    requester: Requester,
    since: Instant,
}

impl Pool {
    /// `size` connections to each of `uris`, dialled in the background. At least one is made.
    pub fn new(
        uris: impl IntoIterator<Item = Uri>,
        size: usize,
        mut options: ConnectOptions,
    ) -> Result<Self, ConnectError> {
        let pause = options.reconnect.get_or_insert_default().most;
        let mut slots = Vec::new();
        for uri in uris {
            for _ in 0..size.max(1) {
                let requester = connect_lazily(&uri, options.clone())?;
                let since = Instant::now();
                slots.push(Slot {
                    uri: uri.clone(),
                    place: Mutex::new(Place { requester, since }),
                });
            }
        }
        if slots.is_empty() {
            return Err(ConnectError::Nowhere);
        }
        Ok(Self {
            slots: slots.into(),
            options,
            pause,
        })
    }

    /// The connection for the next call: of those that are up, the one with the fewest calls open;
    /// if none is, one that is being dialled.
    pub fn pick(&self) -> Requester {
        let candidates = self.slots.iter().map(|slot| self.look(slot));
        let worth = |requester: &Requester| {
            let calls = requester.calls_open();
            (requester.is_closed(), !requester.is_up(), calls)
        };
        // There is a first slot, as `new` saw to.
        let first = self.look(&self.slots[0]);
        candidates.fold(first, |best, next| {
            if worth(&next) < worth(&best) {
                next
            } else {
                best
            }
        })
    }

    /// The connection in a place, replaced if it is dead and had its time.
    fn look(&self, slot: &Slot) -> Requester {
        let mut place = slot.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.requester.is_closed() && place.since.elapsed() >= self.pause {
            place.since = Instant::now();
            if let Ok(requester) = connect_lazily(&slot.uri, self.options.clone()) {
                place.requester = requester;
            }
        }
        place.requester.clone()
    }

    /// Waits until one connection is up, or all have ended; why the last one did.
    pub async fn up(&self) -> Result<(), Closed> {
        let requesters: Vec<_> = self.slots.iter().map(|slot| self.look(slot)).collect();
        let mut waiting: Vec<_> = requesters
            .iter()
            .map(|requester| Box::pin(requester.up()))
            .collect();
        loop {
            let (up, _, rest) = select_all(waiting).await;
            if up.is_ok() || rest.is_empty() {
                return up;
            }
            waiting = rest;
        }
    }

    /// Connections that are up.
    pub fn connections(&self) -> usize {
        let slots = self.slots.iter();
        slots.filter(|slot| self.look(slot).is_up()).count()
    }

    /// See [`Requester::request_response`].
    pub async fn request_response(&self, request: Message) -> Result<Message, CallError> {
        self.pick().request_response(request).await
    }

    /// See [`Requester::request_stream`].
    pub async fn request_stream(
        &self,
        request: Message,
        credit: Credit,
    ) -> Result<Incoming, CallError> {
        self.pick().request_stream(request, credit).await
    }

    /// See [`Requester::request_channel`].
    pub async fn request_channel(
        &self,
        first: Message,
        rest: impl Stream<Item = Result<Message, Failure>> + Send + 'static,
        credit: Credit,
    ) -> Result<Incoming, CallError> {
        self.pick().request_channel(first, rest, credit).await
    }

    /// See [`Requester::fire_and_forget`].
    pub async fn fire_and_forget(&self, request: Message) -> Result<(), CallError> {
        self.pick().fire_and_forget(request).await
    }

    /// Metadata for every connection that is up. See [`Requester::metadata_push`].
    pub async fn metadata_push(&self, metadata: impl Into<Bytes>) -> Result<(), CallError> {
        let metadata = metadata.into();
        for slot in self.slots.iter() {
            let requester = self.look(slot);
            if requester.is_up() {
                requester.metadata_push(metadata.clone()).await?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("connections", &self.slots.len())
            .field("up", &self.connections())
            .finish_non_exhaustive()
    }
}
