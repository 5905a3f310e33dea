//! The one task of a connection: reads frames, acts on what they mean, runs the handler, writes.
//!
//! A turn is: read, take what callers ask, run the user's futures and streams, flush once. What a
//! turn does is bounded, and it yields after a few. Nothing is started while more than
//! [`OUT_HIGH`] bytes wait for the socket, so a peer that does not read holds up its own answers
//! and nothing else. Nothing is started either while there is no transport.

mod deadlines;
mod inbound;
mod leases;
mod line;
mod outbound;
mod serving;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::Abortable;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Sleep, sleep_until, timeout};

use super::budget::Budget;
use super::call::{Call, Work};
use super::incoming::Queue;
use super::opening::Opening;
use super::sender::Sender;
use super::sessions::Held;
use super::shared::Shared;
use super::{Closed, ConnectError, Handler, LeaseOptions, Limits};
use crate::engine::resume::Session;
use crate::engine::{Connection, KeepaliveTimer, Terms};
use crate::net::{FrameIo, wake_behind_others};
use crate::wire::{ErrorCode, Side, StreamId};

pub(super) use inbound::not_a_frame;
use leases::Leases;
use line::Line;
pub(super) use line::Recovery;
pub(super) use serving::guarded;

/// One connection, over as many transports as it takes.
pub(super) struct Driver {
    out: Sender,
    connection: Connection<Call>,
    work: FuturesUnordered<Abortable<Work>>,
    /// Fire-and-forget futures among the work.
    quiet: usize,
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    memory: Option<Budget>,
    side: Side,
    timer: Pin<Box<Sleep>>,
    /// The queue whose slow reader keeps us from reading.
    held: Option<Arc<Queue>>,
    /// Nobody calls any more: end with the last stream.
    closing: bool,
    leases: Leases,
    line: Line,
    recovery: Recovery,
    /// Transports in a row that did not last.
    failed: u32,
    /// When to look for messages that were begun and not finished.
    sweep: Option<Instant>,
    /// A server's session, for as long as somebody may come back to it.
    _held: Option<Held>,
}

/// What a server's SETUP led to.
pub(super) struct Accepted {
    pub(super) keepalive: KeepaliveTimer,
    pub(super) session: Option<(Session, Duration)>,
    pub(super) lease: Option<LeaseOptions>,
}

impl Driver {
    /// The client's end. Without a transport it dials for the first one.
    pub(super) fn client(
        opening: Opening,
        io: Option<FrameIo>,
        shared: Arc<Shared>,
        handler: Arc<dyn Handler>,
        limits: Limits,
    ) -> Result<Self, ConnectError> {
        let keepalive = opening.keepalive();
        let redial = match io {
            None => opening.first_dial(),
            Some(_) => None,
        };
        let recovery = Recovery::Dial(Box::new(opening));
        let mut driver = Self::new(Side::Client, keepalive, shared, handler, limits, recovery);
        driver.line = Line::Down {
            until: None,
            redial,
        };
        if let Some(io) = io {
            driver.begin(io).map_err(|_| ConnectError::Random)?;
        }
        Ok(driver)
    }

    /// The server's end, after a SETUP that it accepts.
    pub(super) fn server(
        io: FrameIo,
        accepted: Accepted,
        shared: Arc<Shared>,
        handler: Arc<dyn Handler>,
        limits: Limits,
    ) -> Self {
        let recovery = match &accepted.session {
            Some((_, window)) => Recovery::Park(*window),
            None => Recovery::Never,
        };
        let keepalive = accepted.keepalive;
        let mut driver = Self::new(Side::Server, keepalive, shared, handler, limits, recovery);
        driver.lease(accepted.lease);
        driver.out.attach(io);
        driver.out.session = accepted.session.map(|(session, _)| session);
        driver.shared.set_up(true);
        driver.grant();
        driver
    }

    fn new(
        side: Side,
        keepalive: KeepaliveTimer,
        shared: Arc<Shared>,
        handler: Arc<dyn Handler>,
        limits: Limits,
        recovery: Recovery,
    ) -> Self {
        let terms = Terms {
            side,
            keepalive,
            streams_max: limits.streams,
        };
        Self {
            out: Sender::new(&limits),
            timer: Box::pin(sleep_until(now().into())),
            connection: Connection::new(terms),
            work: FuturesUnordered::new(),
            quiet: 0,
            shared,
            handler,
            limits,
            memory: None,
            side,
            held: None,
            closing: false,
            leases: Leases::new(None),
            line: Line::Up { since: now() },
            recovery,
            failed: 0,
            sweep: None,
            _held: None,
        }
    }

    fn lease(&mut self, options: Option<LeaseOptions>) {
        self.leases = Leases::new(options);
        self.connection.set_leases(options.is_some());
    }

    /// Messages of the peer take their room from `memory`.
    pub(super) fn within(mut self, memory: Option<Budget>) -> Self {
        self.memory = memory;
        self
    }

    pub(super) fn holding(mut self, held: Option<Held>) -> Self {
        self._held = held;
        self
    }

    /// Drives the connection to its end, tells everybody why it ended, and takes leave.
    pub(super) async fn run(mut self) -> Closed {
        let reason = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.shared.finish(reason.clone());
        self.fail_all(&reason);
        self.work.clear();
        if self.out.session.take().is_some() && matches!(reason, Closed::Local) {
            // Else the peer would wait for us to come back.
            self.out
                .error(StreamId::CONNECTION, ErrorCode::CONNECTION_CLOSE, "closed");
        }
        if let Some(mut io) = self.out.detach() {
            // Without an end a dropped socket could reset and take our last words along.
            let _ = timeout(LINGER, take_leave(&mut io)).await;
        }
        reason
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.shared.register(cx);
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        wake_behind_others(cx);
        Poll::Pending
    }

    /// One turn; false when there is nothing to do but wait.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let turned = if self.is_down() {
            self.turn_down(cx)
        } else {
            match self.turn_up(cx) {
                Err(reason) => self.lose(reason).map(|()| true),
                turned => turned,
            }
        };
        if let Ok(false) = turned {
            return self.wait(cx);
        }
        turned
    }

    fn turn_up(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut progress = self.poll_read(cx)?;
        progress |= self.take_inbox()?;
        progress |= self.poll_work(cx);
        let full = self.is_full();
        if let Poll::Ready(Err(error)) = self.out.poll_flush(cx) {
            return Err(Closed::Net(Arc::new(error.into())));
        }
        if self.out.queued() > OUT_HARD + self.limits.message {
            return Err(Closed::Stalled);
        }
        progress |= full && !self.is_full();
        if !progress && self.closing && self.is_idle() {
            return Err(Closed::Local);
        }
        if !progress && self.moves_on() && self.connection.is_empty() && self.out.queued() == 0 {
            self.leave();
            return Err(Closed::Peer);
        }
        Ok(progress)
    }

    fn is_full(&self) -> bool {
        self.is_down() || self.out.queued() >= OUT_HIGH || self.out.must_wait()
    }

    fn is_idle(&self) -> bool {
        self.connection.is_empty()
            && self.quiet == 0
            && self.out.queued() == 0
            && self.shared.is_idle()
    }
}

impl Drop for Driver {
    /// A driver that is stopped from outside leaves nobody waiting.
    fn drop(&mut self) {
        self.shared.finish(Closed::Local);
    }
}

async fn take_leave(io: &mut FrameIo) -> std::io::Result<()> {
    io.shutdown().await?;
    while let Some(Ok(_)) = io.next_frame().await {}
    Ok(())
}

/// The runtime's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Frames read, and pieces of work done, before a turn goes on.
const FRAMES: usize = 64;

/// Requests taken from callers in one turn.
const OPENS: usize = 256;

/// Turns before other tasks get theirs.
const TURNS: usize = 8;

/// With so many bytes waiting for the socket nothing new is started.
const OUT_HIGH: usize = 1 << 20;

/// With so many more than one message the peer is given up: it asks and does not read.
const OUT_HARD: usize = 16 << 20;

/// How long to wait for the peer's end after ours.
const LINGER: Duration = Duration::from_secs(1);
