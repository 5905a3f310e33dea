//! A load: connections, a pace, and a beginning and an end.
//!
//! One thread drives all connections of a load, as a runtime of one thread would in an
//! application. In a closed loop every connection keeps its window full, and the answers set the
//! pace. In an open loop calls are due at fixed times whatever the answers do, and latency counts
//! from the moment a call was due: a stall shows in every call it delayed, not just in one.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    cpu,
    dialect::{Nats, RSocket, Raw},
    session::Session,
    tally::Tally,
    wire::Wire,
};

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Who is called, and in which protocol.
#[derive(Debug, Clone)]
pub enum Target {
    /// RSocket over TCP, with `route` in every request.
    RSocket { address: SocketAddr, route: String },
    /// A NATS server, request and reply on `subject`.
    Nats {
        address: SocketAddr,
        subject: String,
    },
    /// An echo of bytes.
    Raw { address: SocketAddr },
}

impl Target {
    fn address(&self) -> SocketAddr {
        match self {
            Self::RSocket { address, .. } | Self::Nats { address, .. } | Self::Raw { address } => {
                *address
            }
        }
    }
}

/// What makes the next call go out.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// An answer; so many calls are under way on each connection.
    Closed { window: usize },
    /// The clock; so many calls a second over all connections.
    Open { rate: f64 },
}

/// What to do. The fields are the whole interface; [`Load::new`] has a default for each.
#[derive(Debug, Clone)]
pub struct Load {
    pub target: Target,
    pub connections: usize,
    pub pace: Pace,
    /// Bytes of data in a request, at least eight.
    pub size: usize,
    /// Calls before the measured part; they count, but not in rate and latency.
    pub warm_up: Duration,
    /// How long calls under way may take to end after the last was sent.
    pub grace: Duration,
    /// Length of the slices in [`Tally::windows`]; zero for none.
    pub slice: Duration,
    /// Processes whose CPU time over the measured part is wanted, see [`Tally::watched`].
    pub watch: Vec<u32>,
}

impl Load {
    pub fn new(target: Target) -> Self {
        Self {
            target,
            connections: 1,
            pace: Pace::Closed { window: 1 },
            size: 100,
            warm_up: Duration::ZERO,
            grace: Duration::from_secs(5),
            slice: Duration::ZERO,
            watch: Vec::new(),
        }
    }

    /// Runs on the calling thread for the warm-up and `duration`, and waits for the last answers.
    pub fn run(self, duration: Duration) -> io::Result<Tally> {
        self.drive(&Arc::new(Shared::new(&self)), Some(duration), |_| {})
    }

    /// Runs on a thread of its own until told to stop; returns when all connections stand.
    pub fn start(self) -> io::Result<Running> {
        let shared = Arc::new(Shared::new(&self));
        let theirs = Arc::clone(&shared);
        let (ready, connected) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("load".into())
            .spawn(move || self.drive(&theirs, None, |result| drop(ready.try_send(result))))?;
        connected
            .recv()
            .map_err(|_| io::Error::other("the load ended before it began"))??;
        Ok(Running {
            shared,
            thread: Some(thread),
        })
    }

    fn drive(
        &self,
        shared: &Arc<Shared>,
        duration: Option<Duration>,
        ready: impl FnOnce(io::Result<()>),
    ) -> io::Result<Tally> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let wires = match timeout(CONNECT_MAX, self.connect()).await {
                Ok(Ok(wires)) => wires,
                Ok(Err(error)) => {
                    ready(Err(io::Error::new(error.kind(), error.to_string())));
                    return Err(error);
                }
                Err(_) => {
                    ready(Err(io::ErrorKind::TimedOut.into()));
                    return Err(io::ErrorKind::TimedOut.into());
                }
            };
            shared.now();
            ready(Ok(()));
            let mut sessions = JoinSet::new();
            for (index, wire) in wires.into_iter().enumerate() {
                self.spawn(&mut sessions, index, wire, shared);
            }
            let pacer = Pacer::start(self.pace, shared)?;
            self.phases(shared, duration).await?;
            pacer.stop();
            let all = async { while sessions.join_next().await.is_some() {} };
            let _ = timeout(self.grace, all).await;
            Ok(shared.tally().clone())
        })
    }

    async fn connect(&self) -> io::Result<Vec<Wire>> {
        let mut wires = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            wires.push(Wire::connect(self.target.address()).await?);
        }
        Ok(wires)
    }

    fn spawn(&self, sessions: &mut JoinSet<()>, index: usize, wire: Wire, shared: &Arc<Shared>) {
        let shared = Arc::clone(shared);
        let id = index as u32;
        match &self.target {
            Target::RSocket { route, .. } => {
                let dialect = RSocket::new(id, self.size, route);
                sessions.spawn(Session::new(dialect, wire, shared, index).run())
            }
            Target::Nats { subject, .. } => {
                let dialect = Nats::new(id, self.size, subject);
                sessions.spawn(Session::new(dialect, wire, shared, index).run())
            }
            Target::Raw { .. } => {
                let dialect = Raw::new(id, self.size);
                sessions.spawn(Session::new(dialect, wire, shared, index).run())
            }
        };
    }

    /// Warm-up, measured part, and the readings at its two edges.
    async fn phases(&self, shared: &Shared, duration: Option<Duration>) -> io::Result<()> {
        sleep(self.warm_up).await;
        let used = self.readings()?;
        let began = Instant::now();
        shared.phase.store(MEASURE, Relaxed);
        match duration {
            Some(duration) => sleep(duration).await,
            None => shared.stop.notified().await,
        }
        let elapsed = began.elapsed();
        shared.phase.store(DRAIN, Relaxed);
        let mut spent = self
            .readings()?
            .into_iter()
            .zip(used)
            .map(|(after, before)| after - before);
        let mut tally = shared.tally();
        tally.elapsed = elapsed;
        tally.cpu = spent.next().unwrap_or_default();
        tally.watched = spent.collect();
        Ok(())
    }

    /// CPU time of this thread, then of each watched process.
    fn readings(&self) -> io::Result<Vec<Duration>> {
        let own = cpu::thread_cpu_time();
        std::iter::once(own)
            .chain(self.watch.iter().map(|pid| cpu::cpu_time(*pid)))
            .collect()
    }
}

/// A load on a thread of its own. Dropping it stops the load.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<io::Result<Tally>>>,
}

impl Running {
    /// From now on only `label` may answer, or anyone. Judged are the calls that begin and end
    /// between two calls of this method: around a swap say `None` before, the new label after.
    pub fn allow_only(&self, label: Option<&str>) {
        let mut allowed = self
            .shared
            .allowed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *allowed = label.map(|label| label.as_bytes().to_vec());
        self.shared.epoch.fetch_add(1, SeqCst);
    }

    /// What was counted so far.
    pub fn so_far(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Answers so far, and failures of any kind.
    pub fn counts(&self) -> (u64, u64) {
        let tally = self.shared.tally();
        (
            tally.answered,
            tally.failed + tally.lost + tally.wrong + tally.stray + tally.closed,
        )
    }

    /// Sends no more calls, waits for those under way, and returns the count.
    pub fn stop(mut self) -> io::Result<Tally> {
        self.shared.stop.notify_one();
        let thread = self
            .thread
            .take()
            .ok_or_else(|| io::Error::other("already stopped"))?;
        thread
            .join()
            .map_err(|_| io::Error::other("the load's thread panicked"))?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const WARM: u8 = 0;
pub(crate) const MEASURE: u8 = 1;
pub(crate) const DRAIN: u8 = 2;

/// What the connections of a load have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// When all connections stood; times of calls count from here.
    began: OnceLock<Instant>,
    pub(crate) pace: Pace,
    pub(crate) connections: usize,
    pub(crate) slice: Duration,
    pub(crate) phase: AtomicU8,
    pub(crate) epoch: AtomicU32,
    pub(crate) allowed: Mutex<Option<Vec<u8>>>,
    /// One per connection; wakes those that have no answer to wait for.
    pub(crate) nudges: Vec<Notify>,
    tally: Mutex<Tally>,
    stop: Notify,
}

impl Shared {
    fn new(load: &Load) -> Self {
        Self {
            began: OnceLock::new(),
            pace: load.pace,
            connections: load.connections,
            slice: load.slice,
            phase: AtomicU8::new(WARM),
            epoch: AtomicU32::new(0),
            allowed: Mutex::new(None),
            nudges: (0..load.connections).map(|_| Notify::new()).collect(),
            tally: Mutex::new(Tally::new()),
            stop: Notify::new(),
        }
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the load began, which it does with the first call of this.
    pub(crate) fn now(&self) -> u64 {
        self.began.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    /// When call number `ordinal` of connection `index` is due in an open loop of `rate`.
    pub(crate) fn due(&self, rate: f64, ordinal: u64, index: usize) -> u64 {
        let call = ordinal * self.connections as u64 + index as u64;
        (call as f64 * 1e9 / rate) as u64
    }
}

/// The clock of an open loop: a thread, because the runtime's own timers tick in milliseconds.
struct Pacer(Option<Arc<Shared>>);

impl Pacer {
    fn start(pace: Pace, shared: &Arc<Shared>) -> io::Result<Self> {
        let Pace::Open { rate } = pace else {
            return Ok(Self(None));
        };
        let theirs = Arc::clone(shared);
        thread::Builder::new()
            .name("pacer".into())
            .spawn(move || nudge_all(&theirs, rate))?;
        Ok(Self(Some(Arc::clone(shared))))
    }

    fn stop(self) {
        for nudge in self.0.iter().flat_map(|shared| &shared.nudges) {
            nudge.notify_one();
        }
    }
}

fn nudge_all(shared: &Shared, rate: f64) {
    for ordinal in 0.. {
        for (index, nudge) in shared.nudges.iter().enumerate() {
            let due = shared.due(rate, ordinal, index);
            while let Some(early) = due.checked_sub(shared.now()).filter(|early| *early > 0) {
                if shared.phase.load(Relaxed) == DRAIN {
                    return;
                }
                // In pieces, so that the end of a slow load is noticed.
                thread::sleep(Duration::from_nanos(early.min(100_000_000)));
            }
            nudge.notify_one();
        }
        if shared.phase.load(Relaxed) == DRAIN {
            return;
        }
    }
}
