//! The one task of a connection: reads frames, acts on what they mean, runs the handler, writes.
//!
//! A turn is: read, take what callers ask, run the user's futures and streams, flush once. What a
//! turn does is bounded, and it yields after a few. Nothing is started while more than
//! [`OUT_HIGH`] bytes wait for the socket, so a peer that does not read holds up its own answers
//! and nothing else.

mod inbound;
mod outbound;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::Abortable;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Sleep, sleep_until, timeout};

use super::call::{Call, Work};
use super::incoming::Queue;
use super::sender::Sender;
use super::shared::Shared;
use super::{Closed, Handler, Limits};
use crate::engine::{Connection, KeepaliveTimer, Terms, Timeout};
use crate::net::FrameIo;
use crate::wire::Side;

/// One connection that is set up.
pub(super) struct Driver {
    out: Sender,
    connection: Connection<Call>,
    work: FuturesUnordered<Abortable<Work>>,
    /// Fire-and-forget futures among the work.
    quiet: usize,
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    side: Side,
    timer: Pin<Box<Sleep>>,
    /// The queue whose slow reader keeps us from reading.
    held: Option<Arc<Queue>>,
    /// Nobody calls any more: end with the last stream.
    closing: bool,
}

impl Driver {
    pub(super) fn new(
        out: Sender,
        side: Side,
        keepalive: KeepaliveTimer,
        shared: Arc<Shared>,
        handler: Arc<dyn Handler>,
        limits: Limits,
    ) -> Self {
        let terms = Terms {
            side,
            keepalive,
            streams_max: limits.streams,
        };
        let connection = Connection::new(terms);
        Self {
            out,
            timer: Box::pin(sleep_until(deadline(&connection))),
            connection,
            work: FuturesUnordered::new(),
            quiet: 0,
            shared,
            handler,
            limits,
            side,
            held: None,
            closing: false,
        }
    }

    /// Drives the connection to its end, tells everybody why it ended, and takes leave.
    pub(super) async fn run(mut self) -> Closed {
        let reason = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.shared.finish(reason.clone());
        self.connection.drain().for_each(drop);
        self.work.clear();
        // Without an end a dropped socket could reset and take our last words along.
        let _ = timeout(LINGER, take_leave(&mut self.out.io)).await;
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
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn; false when there is nothing to do but wait.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
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
        if !progress {
            self.poll_timer(cx)?;
            if self.closing && self.is_idle() {
                return Err(Closed::Local);
            }
        }
        Ok(progress)
    }

    fn is_full(&self) -> bool {
        self.out.queued() >= OUT_HIGH
    }

    fn is_idle(&self) -> bool {
        self.connection.is_empty()
            && self.quiet == 0
            && self.out.queued() == 0
            && self.shared.is_idle()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = now();
            if self.held.is_some() {
                // It is we who do not listen.
                self.connection.heard(now);
            }
            match self.connection.handle_timeout(now) {
                Timeout::Nothing => {}
                Timeout::SendKeepalive => {
                    self.out.keepalive(true, &[]);
                    // The turn's flush is over.
                    cx.waker().wake_by_ref();
                }
                Timeout::PeerGone => return Err(Closed::Silent),
            }
            self.timer.as_mut().reset(deadline(&self.connection));
        }
        Ok(())
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

fn deadline(connection: &Connection<Call>) -> tokio::time::Instant {
    let never = now() + Duration::from_secs(86_400);
    connection.next_timeout().unwrap_or(never).into()
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
