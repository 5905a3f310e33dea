//! Links, dispatch, splices: the data plane.
//!
//! ```text
//!         near link                                      far link
//!  requester ── id 7 ──► [stream 7 │ Near]──ticket──►[Far │ stream 42] ── id 42 ──► responder
//!                               ▲                          │
//!                               └──── frames flow back ────┘
//! ```
//!
//! Only the first frame of a stream is routed and shown to plugins (`dispatch`). Later frames are
//! checked by the engine and forwarded with their stream id rewritten (`inbound`, `outbound`). All
//! four interactions are one code path.
//!
//! | queue | bound | when full |
//! |---|---|---|
//! | outbox of a link | `outbox`, an eighth per source | new requests go elsewhere or are REJECTED; the source rests up to `pause` |
//! | the same | `outbox-hard` | the stream that produces is cancelled on both sides |
//! | socket writer | 64 KiB and one frame | the outbox waits |
//! | metadata of fragmented requests | `metadata`, `metadata-fragments`, `metadata-timeout` | INVALID |
//! | a message in fragments | `message`, `assembly-timeout` | its stream is cancelled on both sides |
//! | events that a connection pushes | 2000 per second, 256 KiB each | dropped and counted |
//! | events pushed to a connection | `outbox` | dropped and counted |
//! | fire-and-forget of a connection | `fire-and-forget` per second | dropped and counted |
//! | streams of a connection | `streams` per direction | REJECTED |
//! | routes remembered by a link | 512, 256 KiB of keys | begins anew |
//! | sessions without a transport | `parked-sessions`, `parked-bytes`, `resume-window` | the one parked longest ends |
//! | requests held on purpose | `held-requests`, `held-bytes`, `held-time`, of all links together | REJECTED |
//! | what one session keeps to send again | `resume-bytes` | the oldest is given up |
//! | half-open connections | `pending`, per address | the newest is refused |
//! | arrivals at a thread | 1024 | the listener waits |
//! | all memory | `memory`, measured by `server` | the stages of `pressure` |
//!
//! A connection never leaves its thread: the plane is `threads` single-threaded runtimes.
//!
//! Looks down at: chain, directory, identity. Looked at by: admin, server.

mod accept;
mod access;
mod asker;
mod assembly;
mod bucket;
mod calls;
mod control;
mod deadline;
mod departure;
mod direct;
mod dispatch;
mod dress;
mod ending;
mod errand;
mod events;
mod faults;
mod handle;
mod happenings;
mod holding;
mod inbound;
mod introduction;
mod item;
mod limits;
mod line;
mod link;
mod links;
mod metrics;
mod news;
mod outbound;
mod outbox;
mod pick;
mod plane;
mod pressure;
mod random;
mod refusal;
mod resume;
mod rewrite;
#[cfg(test)]
pub(crate) mod rooms;
mod routes;
mod routing;
mod sessions;
mod shaper;
mod speaking;
mod splice;
mod sticky;
mod ticket;
mod traced;
mod verdict;
mod vouching;
mod waiting;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use jackfield_rsocket::net::{FrameIo, ListenOptions, Listener, Uri};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::LocalSet,
};

pub use asker::Asker;
pub use direct::LAST_METRICS;
pub use dress::Caller;
pub use handle::{Handle, LinkId};
pub use limits::Limits;
pub use links::ConnectionView;
pub use metrics::Metrics;
pub use news::{NEWS_MAX, News};
pub use pressure::MemoryStage;
pub use refusal::{Outcome, Refusal};
pub use routing::{Routing, ServiceRule};

use accept::Arrival;
use plane::Plane;

use crate::{
    chain::{Chains, Happening},
    directory::{self, Instance},
    identity::{Credentials, Identity, Principal},
    telemetry::Exemplars,
};

/// The directory as the relay uses it: calls are delivered to links.
pub type Directory = directory::Directory<Arc<Handle>>;

/// Connections on their way to one thread.
const ARRIVALS_MAX: usize = 1024;

/// What the data plane is built from.
pub struct Config {
    pub threads: usize,
    pub limits: Limits,
    pub routing: Routing,
}

/// The running data plane.
pub struct Relay {
    plane: Arc<Plane>,
    threads: Vec<mpsc::Sender<Arrival>>,
    /// Of the thread that takes the next connection from inside.
    turn: AtomicUsize,
}

impl Relay {
    /// Starts the threads. They end when the last [`Relay`] and its listeners are gone.
    pub fn start(
        config: Config,
        directory: Arc<Directory>,
        chains: Arc<Chains>,
        identity: Arc<Identity>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let Config {
            threads,
            limits,
            routing,
        } = config;
        let plane = Arc::new(Plane::new(
            directory, chains, identity, metrics, limits, routing,
        ));
        let threads = (0..threads.max(1))
            .map(|number| spawn_thread(number, plane.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            plane,
            threads,
            turn: AtomicUsize::new(0),
        })
    }

    /// Binds, and accepts until the returned listener is dropped.
    pub async fn listen(&self, uri: &Uri, options: &ListenOptions) -> io::Result<Listening> {
        self.listen_for(uri, options, None).await
    }

    /// The same; who says nothing of himself there is an application of this name, which can be scraped.
    pub async fn listen_for(
        &self,
        uri: &Uri,
        options: &ListenOptions,
        scrape_only: Option<Arc<str>>,
    ) -> io::Result<Listening> {
        let listener = Listener::bind_with(uri, options).await?;
        let uri = listener.uri().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (plane, threads) = (self.plane.clone(), self.threads.clone());
        let accepting = accept::accept(listener, plane, threads, scrape_only);
        tokio::spawn(async move {
            tokio::select! {
                () = accepting => {}
                // Resolves when the sender is dropped.
                _ = stopped => {}
            }
        });
        Ok(Listening { uri, _stop: stop })
    }

    /// Takes over a connection to a part of the broker, which is trusted.
    pub async fn attach(&self, io: FrameIo) -> io::Result<()> {
        self.attach_as(io, Arc::new(Principal::broker())).await
    }

    /// The same for a plugin's own calls: the access rules hold for it, and no plugin is asked about them.
    pub async fn attach_plugin(&self, io: FrameIo, plugin: &str) -> io::Result<()> {
        self.attach_as(io, Arc::new(Principal::plugin(plugin)))
            .await
    }

    /// Who shows these credentials, of whatever transport: whom a plugin vouches for, or else whom the broker itself
    /// knows. None: nobody who is let in.
    pub async fn admit(&self, shown: Credentials<'_>, transport: &str) -> Option<Arc<Principal>> {
        self.plane.admit_shown(shown, transport).await.ok()
    }

    /// Takes over a connection by which a part of the broker calls in the name of somebody else.
    pub async fn attach_as(&self, io: FrameIo, who: Arc<Principal>) -> io::Result<()> {
        let refused = |_| io::Error::other("the broker takes no connections now");
        let admission = self.plane.links.admit(None).map_err(refused)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        self.threads[turn]
            .send(Arrival::Memory(io, admission, Some(who)))
            .await
            .map_err(|_| io::Error::other("the relay has ended"))
    }

    /// Who hears from now on which applications come and what they say to the broker; the first one who asks.
    pub fn hear(&self, listener: mpsc::Sender<News>) {
        self.plane.news.hear(listener);
    }

    pub fn connections(&self) -> Vec<ConnectionView> {
        self.plane.links.views()
    }

    /// Who is at the other end of a connection, as long as it lives.
    pub fn principal(&self, link: LinkId) -> Option<Arc<Principal>> {
        self.plane.links.principal(link)
    }

    /// Pushes metadata to an application, if it is known to bear that and reads what it is sent.
    pub fn push(&self, to: &Instance<Arc<Handle>>, metadata: Bytes) -> bool {
        let pushed = to.app.client.bears_push && to.link.push_metadata(metadata);
        self.plane.metrics.pushed(pushed);
        pushed
    }

    /// Brings gauges up to date, for a scrape.
    pub fn measure(&self) {
        let bytes = self.plane.links.outbox_bytes();
        self.plane
            .metrics
            .outbox_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let parked = self.plane.sessions.parked();
        self.plane
            .metrics
            .parked
            .set(i64::try_from(parked).unwrap_or(i64::MAX));
        let (requests, bytes) = self.plane.holding.held();
        self.plane.metrics.held(requests, bytes);
    }

    /// Calls that somebody keeps the trace of, for the histograms that count them.
    pub fn exemplars(&self) -> Exemplars {
        self.plane.metrics.exemplars()
    }

    /// From now on this much is given up for want of memory.
    pub fn set_memory_stage(&self, stage: MemoryStage) {
        self.plane.links.set_memory_stage(stage);
        self.plane.metrics.memory_stage.set(stage as i64);
    }

    /// Closes the link for which most is waiting, if that is `least` bytes or more. Returns how much
    /// it was.
    pub fn shed(&self, least: usize) -> Option<usize> {
        let shed = self.plane.links.shed(least)?;
        self.plane.metrics.slow_peer("shed");
        Some(shed)
    }

    /// New requests follow the new rules; running ones are not touched.
    pub fn set_routing(&self, routing: Routing) {
        self.plane.set_routing(routing);
    }

    /// Closes the connections whose credentials have been taken back. Returns how many.
    pub fn take_back(&self) -> usize {
        let identity = &self.plane.identity;
        self.plane.links.take_back(|who| identity.takes_back(who))
    }

    pub fn draining(&self) -> bool {
        self.plane.links.draining()
    }

    /// Takes no new connections and requests, closes each link after its last stream, and all of
    /// them at the end of `grace`. Returns how many calls were cut.
    pub async fn drain(&self, grace: Duration) -> usize {
        let chains = &self.plane.chains;
        let seconds = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX);
        chains.tell(Happening::DrainBegan { seconds });
        let cut = self.plane.links.drain(grace).await;
        chains.tell(Happening::DrainEnded);
        cut
    }
}

/// A bound listener; dropping it stops accepting.
pub struct Listening {
    uri: Uri,
    _stop: oneshot::Sender<()>,
}

impl Listening {
    /// Where clients find it, with the port it got.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }
}

fn spawn_thread(number: usize, plane: Arc<Plane>) -> io::Result<mpsc::Sender<Arrival>> {
    let (sender, mut arrivals) = mpsc::channel(ARRIVALS_MAX);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name(format!("data-{number}"))
        .spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, async move {
                while let Some(arrival) = arrivals.recv().await {
                    let serving = accept::serve(arrival, plane.clone());
                    tokio::task::spawn_local(serving);
                }
            });
        })?;
    Ok(sender)
}

#[cfg(test)]
mod tests;
