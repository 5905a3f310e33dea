//! One session and the task that owns it.
//!
//! ```text
//! socket ──► on_frame ──► other links' outboxes          (inbound.rs, dispatch.rs)
//! socket ◄── on_item  ◄── this link's outbox             (outbound.rs)
//! clock  ──► expire    what is late ends                    (deadline.rs)
//! ```
//!
//! Rules of the loop
//! 1. The task owns the connection's state; nobody locks it, and it never waits for another link.
//! 2. Reading may pause, for at most `limits.pause` and only because what was read last found a full
//!    outbox; writing never does, so no circle of waiting links can form.
//! 3. At most [`FRAMES_PER_TURN`] frames are read, for about [`TURN_MAX`], and [`BYTES_PER_TURN`]
//!    written per turn.
//! 4. What the connection itself says (KEEPALIVE, ERROR on stream zero) goes ahead of streams.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    engine::{
        Connection, Terms,
        lease::{Grant, Permits},
        resume::Session,
    },
    metadata::Mime,
    net::{FrameIo, wake_behind_others},
};
use tokio::time::Sleep;

use super::{
    bucket::Bucket,
    deadline::{SWEEP, now},
    ending::{Ended, Ending},
    errand::Errand,
    events::EVENTS_PER_SECOND,
    handle::Handle,
    introduction::{Introduced, MetadataKind},
    item::Item,
    line::Line,
    plane::Plane,
    random::Random,
    routes::Routes,
    speaking::Speakers,
    splice::Splice,
    sticky::Sticky,
    waiting::Held,
};
use crate::{directory::Instance, identity::Principal};

const FRAMES_PER_TURN: usize = 128;
/// What every other link of the thread may have to wait for, once on the way to a responder and once on the
/// way back.
const TURN_MAX: Duration = Duration::from_micros(25);
/// Frames, and bytes, between two looks at the clock.
const FRAMES_PER_LOOK: usize = 8;
const BYTES_PER_LOOK: u64 = 32 * 1024;
const BYTES_PER_TURN: usize = 32 * 1024;
/// More is not handed to the socket's writer before it has taken what it has.
pub(super) const WRITER_MAX: usize = 64 * 1024;

pub(super) struct Link {
    pub(super) line: Line,
    pub(super) me: Arc<Handle>,
    pub(super) plane: Arc<Plane>,
    pub(super) connection: Connection<Splice>,
    pub(super) routes: Routes,
    pub(super) metadata_kind: MetadataKind,
    pub(super) app_name: Arc<str>,
    /// Where the peer is seen, as text for plugins; empty inside the process.
    pub(super) address: Box<str>,
    pub(super) instance: Option<Arc<Instance<Arc<Handle>>>>,
    /// Whose request is being decided, when it is not the connection's own.
    pub(super) on_behalf: Option<Arc<Principal>>,
    /// Asks again who the peer is.
    pub(super) renewal: Option<Errand>,
    /// Whom its requests are known to speak for.
    pub(super) speakers: Speakers,
    /// How often plugins were asked about that.
    pub(super) words: u64,
    /// When what the peer showed in SETUP ends.
    pub(super) expires: Option<Instant>,
    pub(super) random: Random,
    pub(super) now: Instant,
    /// A keepalive answer the writer had no room for; a newer one replaces it.
    pub(super) ping: Option<Bytes>,
    pub(super) pause: Option<Pause>,
    /// What requests with metadata in pieces hold.
    pub(super) held: Held,
    pub(super) told: Bucket,
    /// Events that the peer may push.
    pub(super) events: Bucket,
    pub(super) sticky: Sticky,
    /// How the peer encodes data when it does not say.
    pub(super) encoding: Option<Mime>,
    /// What the peer lets us start.
    pub(super) permits: Permits,
    /// What we let the peer start, if it asked for leases.
    pub(super) grant: Option<Grant>,
    /// Until when the session waits for a transport.
    pub(super) parked_until: Option<Instant>,
    /// What the parked session was last said to hold.
    pub(super) weighed: Option<usize>,
    pub(super) ending: Option<Ending>,
    pub(super) counts: Counts,
    /// Frames built here, before they go to the writer.
    pub(super) scratch: BytesMut,
    items: Vec<Item>,
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) timer_at: Instant,
    pub(super) sweep_at: Instant,
}

/// Reading rests until there is room in `target`'s outbox, or until the time.
pub(super) struct Pause {
    pub(super) target: Arc<Handle>,
    pub(super) until: Instant,
}

/// Counted per turn, added to the metrics once.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) frames_in: u64,
    pub(super) bytes_in: u64,
    pub(super) frames_out: u64,
    pub(super) bytes_out: u64,
}

impl Link {
    pub(super) fn new(
        io: FrameIo,
        me: Arc<Handle>,
        plane: Arc<Plane>,
        introduced: Introduced,
    ) -> Self {
        let now = now();
        let told_per_second = plane.limits.fire_and_forget;
        let terms = Terms {
            side: jackfield_rsocket::wire::Side::Server,
            keepalive: introduced.keepalive,
            streams_max: plane.limits.streams,
        };
        let limits = plane.limits.clone();
        let session = introduced.token;
        let session = session.map(|token| Session::new(token, limits.resume_bytes));
        let lease = introduced.lease;
        me.set_barred(lease);
        let mut link = Self {
            on_behalf: None,
            renewal: None,
            speakers: Speakers::default(),
            words: 0,
            expires: None,
            random: Random::new(me.id),
            line: Line::new(io, session),
            address: me
                .remote
                .map_or_else(String::new, |ip| ip.to_string())
                .into(),
            me,
            plane,
            permits: if lease {
                Permits::none()
            } else {
                Permits::unlimited()
            },
            grant: lease.then(|| Grant::new(limits.lease)),
            connection: Connection::new(terms).with_leases(lease),
            routes: Routes::default(),
            metadata_kind: introduced.metadata_kind,
            app_name: introduced.app_name,
            instance: None,
            now,
            ping: None,
            pause: None,
            held: Held::new(&limits),
            told: Bucket::new(told_per_second, now),
            events: Bucket::new(EVENTS_PER_SECOND, now),
            sticky: Sticky::default(),
            encoding: introduced.encoding,
            parked_until: None,
            weighed: None,
            ending: None,
            counts: Counts::default(),
            scratch: BytesMut::new(),
            items: Vec::new(),
            timer: Box::pin(tokio::time::sleep_until(now.into())),
            timer_at: now,
            sweep_at: now + SWEEP,
        };
        let expires = link.me.principal.expires;
        link.expires = expires.and_then(|expires| link.moment_of(expires));
        link
    }

    /// Serves the connection until it ends, and tells everybody whom that concerns.
    ///
    /// It is lent, because a future that owned it would hold it more than once.
    pub(super) async fn run(&mut self) -> Ended {
        poll_fn(|cx| {
            self.me.owned_by(cx.waker());
            Poll::Ready(())
        })
        .await;
        let ending = poll_fn(|cx| self.poll(cx)).await;
        let cut = self.close_streams();
        self.say_goodbye(&ending).await;
        Ended { ending, cut }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.now = now();
        #[cfg(test)]
        TURNS.set(TURNS.get() + 1);
        if let Some(returning) = self.me.answer_door() {
            self.on_returning(*returning);
        }
        // What waits in the socket is read before anybody is called silent.
        let mut busy = self.turn(cx);
        if self.line.heard() {
            self.connection.heard(self.now);
        }
        if self.ending.is_none() {
            self.expire();
        }
        self.grant_lease();
        if self.line.is_attached() {
            busy |= self.ending.is_none() && self.write_items(cx);
            if self.ending.is_none() && self.line.queued() > 0 {
                self.flush(cx);
            }
        }
        self.obey();
        if let Some(Err(ending)) = self.ending.take().map(|ending| self.park(ending)) {
            self.ending = Some(ending);
        }
        if !self.line.is_attached() && self.ending.is_none() {
            self.keep_parked(cx);
        }
        self.me.set_queued(self.line.queued() + self.line.kept());
        self.count();
        if let Some(ending) = self.ending.take() {
            return Poll::Ready(ending);
        }
        if busy {
            wake_behind_others(cx);
        }
        self.arm(cx);
        Poll::Pending
    }

    /// Reads and handles frames. True when there may be more at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let mut looked_at = self.counts.bytes_in;
        for frames in 1..=FRAMES_PER_TURN {
            if self.ending.is_some() || self.paused(cx) {
                return false;
            }
            // Plugins may make frames dear, so time counts too; the clock is looked at now and then.
            if frames % FRAMES_PER_LOOK == 0 || self.counts.bytes_in > looked_at + BYTES_PER_LOOK {
                looked_at = self.counts.bytes_in;
                if now() > self.now + TURN_MAX {
                    return true;
                }
            }
            match self.line.poll_frame(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => {
                    self.counts.frames_in += 1;
                    self.counts.bytes_in += frame.len() as u64;
                    self.on_frame(&frame);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ending = Some(Ending::of(&error));
                }
                Poll::Ready(None) => self.ending = Some(Ending::Lost("closed by peer".into())),
            }
        }
        true
    }

    fn paused(&mut self, cx: &Context<'_>) -> bool {
        let Some(pause) = &self.pause else {
            return false;
        };
        if pause.target.outbox.has_room(self.me.id) || self.now >= pause.until {
            self.pause = None;
            return false;
        }
        pause.target.outbox.wait_for_room(cx.waker());
        true
    }

    /// Rests if what was just placed in `target`'s outbox filled this link's share of it.
    pub(super) fn rest_if_full(&mut self, target: &Arc<Handle>) {
        if !target.outbox.has_room(self.me.id) {
            self.plane
                .metrics
                .slow_peers
                .with_label_values(&["source_paused"])
                .inc();
            let until = self.now + self.plane.limits.pause;
            self.pause = Some(Pause {
                target: target.clone(),
                until,
            });
        }
    }

    /// Moves items from the outbox to the writer. True when there may be more at once.
    fn write_items(&mut self, cx: &mut Context<'_>) -> bool {
        let mut written = 0;
        while written < BYTES_PER_TURN && self.ending.is_none() {
            if self.line.queued() >= WRITER_MAX {
                self.flush(cx);
                if self.line.queued() >= WRITER_MAX {
                    // The socket wakes us; nobody else needs to.
                    return false;
                }
            }
            if let Some(data) = self.ping.take() {
                self.answer_ping(&data);
            }
            let mut items = std::mem::take(&mut self.items);
            self.me.outbox.take(BYTES_PER_TURN, &mut items, cx.waker());
            let none = items.is_empty();
            let before = self.counts.bytes_out;
            items.drain(..).for_each(|item| self.on_item(item));
            written += (self.counts.bytes_out - before) as usize;
            self.items = items;
            if none {
                return false;
            }
        }
        true
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        if let Err(error) = self.line.flush(self.now, cx) {
            self.ending = Some(Ending::Lost(error.to_string()));
        }
        let left = self.line.queued();
        // Refusals and keepalive answers pass by the outbox; a peer that causes them and does not
        // read them is not waited for.
        if left > self.plane.limits.outbox_hard + self.plane.limits.frame {
            self.plane
                .metrics
                .slow_peers
                .with_label_values(&["closed"])
                .inc();
            let text = "more waits for the peer than it may hold, and it does not read";
            self.ending = Some(Ending::Peer(text.into()));
        }
    }

    fn count(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        let metrics = &self.plane.metrics;
        if counts.frames_in > 0 {
            metrics.frames_in.inc_by(counts.frames_in);
            metrics.bytes_in.inc_by(counts.bytes_in);
        }
        if counts.frames_out > 0 {
            metrics.frames_out.inc_by(counts.frames_out);
            metrics.bytes_out.inc_by(counts.bytes_out);
        }
    }
}

#[cfg(test)]
thread_local! {
    static TURNS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How often links of this thread have been woken.
#[cfg(test)]
pub(super) fn turns() -> usize {
    TURNS.get()
}
