//! One connection and the task that owns it.
//!
//! ```text
//! socket ──► on_frame ──► other links' outboxes          (inbound.rs, dispatch.rs)
//! socket ◄── on_item  ◄── this link's outbox             (outbound.rs)
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
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    engine::{
        Connection, Opener, Terms, Timeout,
        lease::{Grant, Permits},
        resume::Session,
    },
    net::{Body, FrameIo, NetError},
    wire::{ErrorCode, ErrorFrame, Keepalive, StreamId},
};
use tokio::time::Sleep;

use super::{
    bucket::Bucket,
    handle::{Handle, Order},
    introduction::{Introduced, MetadataKind},
    item::Item,
    line::Line,
    plane::Plane,
    random::Random,
    refusal::Refusal,
    routes::Routes,
    splice::Splice,
    waiting::Held,
};
use crate::directory::Instance;

const FRAMES_PER_TURN: usize = 128;
const TURN_MAX: Duration = Duration::from_millis(1);
const BYTES_PER_TURN: usize = 256 * 1024;
/// More is not handed to the socket's writer before it has taken what it has.
const WRITER_MAX: usize = 128 * 1024;
/// How often deadlines of streams are looked at.
const SWEEP: Duration = Duration::from_millis(100);
/// How long a closing connection waits for the peer to read the last ERROR.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Link {
    pub(super) line: Line,
    pub(super) me: Arc<Handle>,
    pub(super) plane: Arc<Plane>,
    pub(super) connection: Connection<Splice>,
    pub(super) routes: Routes,
    pub(super) metadata_kind: MetadataKind,
    pub(super) app_name: Arc<str>,
    pub(super) instance: Option<Arc<Instance<Arc<Handle>>>>,
    pub(super) random: Random,
    pub(super) thread: usize,
    pub(super) now: Instant,
    /// A keepalive answer the writer had no room for; a newer one replaces it.
    pub(super) ping: Option<Bytes>,
    pub(super) pause: Option<Pause>,
    /// What requests with metadata in pieces hold.
    pub(super) held: Held,
    pub(super) told: Bucket,
    /// What the peer lets us start.
    pub(super) permits: Permits,
    /// What we let the peer start, if it asked for leases.
    pub(super) grant: Option<Grant>,
    /// Until when the session waits for a transport.
    pub(super) parked_until: Option<Instant>,
    pub(super) ending: Option<Ending>,
    pub(super) counts: Counts,
    /// Frames built here, before they go to the writer.
    pub(super) scratch: BytesMut,
    items: Vec<Item>,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
    sweep_at: Instant,
}

/// Reading rests until there is room in `target`'s outbox, or until the time.
pub(super) struct Pause {
    pub(super) target: Arc<Handle>,
    pub(super) until: Instant,
}

/// Why the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The transport failed, or closed without a word.
    Lost(String),
    /// The peer ended the connection, or is made to without being told.
    Peer(String),
    /// We say why on stream zero.
    Error { code: ErrorCode, text: String },
}

impl Ending {
    /// What a transport could not read: the peer's doing is said, the network's is not.
    pub(super) fn of(error: &NetError) -> Self {
        let code = ErrorCode::CONNECTION_ERROR;
        match error {
            NetError::FrameTooLong { .. }
            | NetError::FrameTooShort { .. }
            | NetError::TextMessage => Self::Error {
                code,
                text: format!("RST-910400: {error}"),
            },
            _ => Self::Lost(match std::error::Error::source(error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            }),
        }
    }
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
        thread: usize,
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
        Self {
            random: Random::new(me.id),
            line: Line::new(io, session),
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
            thread,
            now,
            ping: None,
            pause: None,
            held: Held::new(&limits),
            told: Bucket::new(told_per_second, now),
            parked_until: None,
            ending: None,
            counts: Counts::default(),
            scratch: BytesMut::new(),
            items: Vec::new(),
            timer: Box::pin(tokio::time::sleep_until(now.into())),
            timer_at: now,
            sweep_at: now + SWEEP,
        }
    }

    /// Serves the connection until it ends, and tells everybody whom that concerns.
    pub(super) async fn run(mut self) -> Ended {
        let ending = poll_fn(|cx| self.poll(cx)).await;
        let cut = self.close_streams();
        self.say_goodbye(&ending).await;
        Ended { ending, cut }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.now = now();
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
            cx.waker().wake_by_ref();
        }
        self.arm(cx);
        Poll::Pending
    }

    /// Reads and handles frames. True when there may be more at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        for frames in 1..=FRAMES_PER_TURN {
            if self.ending.is_some() || self.paused(cx) {
                return false;
            }
            // Plugins may make frames dear, so time counts too; the clock is looked at now and then.
            if frames % 16 == 0 && now() > self.now + TURN_MAX {
                return true;
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
            self.me.outbox.take(WRITER_MAX, &mut items, cx.waker());
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

    /// Queues a frame built by us.
    pub(super) fn send(&mut self, frame: &[u8]) {
        self.counts.frames_out += 1;
        self.counts.bytes_out += frame.len() as u64;
        self.line.push(frame, Body::Copy(b""));
    }

    /// An ERROR of one of the peer's streams.
    pub(super) fn send_error(&mut self, id: StreamId, code: ErrorCode, text: &[u8]) {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        ErrorFrame::new(code, text).encode(id, &mut frame);
        self.send(&frame);
        self.scratch = frame;
    }

    pub(super) fn on_ping(&mut self, data: &[u8]) {
        if self.line.queued() < WRITER_MAX {
            self.answer_ping(data);
        } else {
            self.ping = Some(Bytes::copy_from_slice(data));
        }
    }

    fn answer_ping(&mut self, data: &[u8]) {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        Keepalive {
            respond: false,
            position: self.line.received(),
            data,
        }
        .encode(&mut frame);
        self.send(&frame);
        self.scratch = frame;
    }

    /// Sends a LEASE if one is due.
    fn grant_lease(&mut self) {
        let Some(grant) = &mut self.grant else { return };
        if !self.line.is_attached() || self.ending.is_some() {
            return;
        }
        if let Some(lease) = grant.issue(self.now) {
            let mut frame = std::mem::take(&mut self.scratch);
            frame.clear();
            lease.encode(&mut frame);
            self.send(&frame);
            self.scratch = frame;
        }
    }

    /// Over a new transport no lease of the old one is good.
    pub(super) fn begin_leases_anew(&mut self) {
        self.permits.reset();
        if let Some(grant) = &mut self.grant {
            grant.reset();
            self.me.set_barred(true);
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

    fn obey(&mut self) {
        let text = |text: &str| text.to_owned();
        let ending = match self.me.order() {
            Order::Serve => return,
            // Nobody can come back to a session without a transport: nothing is accepted now.
            Order::Drain if self.line.is_attached() && !self.idle() => return,
            Order::Drain => Ending::Error {
                code: ErrorCode::CONNECTION_CLOSE,
                text: text("RST-910503: broker is draining"),
            },
            Order::GiveWay => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-500409: a newer connection of this application takes over"),
            },
            Order::Forget => Ending::Peer("too many sessions without a transport".into()),
            Order::Shed => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text(
                    "RST-910508: broker is short of memory, and most of it waits for you to read",
                ),
            },
            Order::Close => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-910503: broker is stopping"),
            },
        };
        self.ending.get_or_insert(ending);
    }

    /// No stream is open and nothing waits to be written.
    fn idle(&self) -> bool {
        self.connection.is_empty() && self.line.queued() == 0 && self.me.outbox.bytes() == 0
    }

    // ---- time

    /// Has the clock wake us at the next deadline.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let next = self.next_deadline();
        if next != self.timer_at {
            self.timer_at = next;
            self.timer.as_mut().reset(next.into());
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn next_deadline(&self) -> Instant {
        let alive = match self.parked_until {
            Some(until) => Some(until),
            None => self.connection.next_timeout(),
        };
        let mut next = alive.unwrap_or(self.now + Duration::from_secs(60));
        if let Some(due) = self.grant.as_ref().and_then(Grant::next_timeout) {
            next = next.min(due.max(self.now + Duration::from_millis(1)));
        }
        // Every frame moves the keepalive deadline; a timer that is early costs less than resetting it.
        if self.timer_at > self.now && self.timer_at < next {
            next = self.timer_at;
        }
        if !self.connection.is_empty() {
            next = next.min(self.sweep_at.max(self.now + Duration::from_millis(1)));
        }
        if let Some(pause) = &self.pause {
            next = next.min(pause.until);
        }
        if let Some(since) = self.line.stalled_since() {
            next = next.min(since + self.plane.limits.stall);
        }
        next
    }

    fn expire(&mut self) {
        if self.line.is_attached() && self.connection.handle_timeout(self.now) == Timeout::PeerGone
        {
            let text = "RST-910408: nothing heard for the max lifetime of SETUP".to_owned();
            // A session that can be resumed loses its transport only.
            self.ending = Some(match self.line.session() {
                Some(_) => Ending::Lost(text),
                None => Ending::Error {
                    code: ErrorCode::CONNECTION_ERROR,
                    text,
                },
            });
        }
        if let Some(since) = self.line.stalled_since()
            && self.now >= since + self.plane.limits.stall
        {
            self.plane
                .metrics
                .slow_peers
                .with_label_values(&["closed"])
                .inc();
            self.ending = Some(Ending::Lost(
                "no progress on the socket: peer does not read".into(),
            ));
        }
        if self.now >= self.sweep_at {
            self.sweep_at = self.now + SWEEP;
            self.sweep();
        }
    }

    /// Ends the streams whose time is up.
    fn sweep(&mut self) {
        let (now, assembly) = (self.now, self.plane.limits.assembly_timeout);
        let late: Vec<(StreamId, Refusal)> = self
            .connection
            .iter_mut()
            .filter_map(|(id, _, splice)| match splice {
                Splice::Near(near) if near.deadline.is_some_and(|deadline| now >= deadline) => {
                    Some((id, Refusal::Timeout))
                }
                Splice::Near(near) if near.message.overdue(now, assembly) => {
                    Some((id, Refusal::MessageUnfinished))
                }
                Splice::Far(far) if far.message.overdue(now, assembly) => {
                    Some((id, Refusal::MessageUnfinished))
                }
                Splice::Waiting(waiting) if now >= waiting.deadline => {
                    Some((id, Refusal::MetadataTooLong))
                }
                _ => None,
            })
            .collect();
        for (id, refusal) in late {
            if let Some(Splice::Far(_)) = self.connection.get(id) {
                self.cut_far(id, &refusal);
                continue;
            }
            let silent = self.connection.get(id).is_some_and(Splice::is_silent);
            if let Some(Splice::Near(near)) = self.connection.forget(id) {
                near.cancel(refusal.outcome(), now);
            }
            self.plane.metrics.refused(&refusal);
            if !silent {
                self.send_error(id, refusal.code(), refusal.text().as_bytes());
            }
        }
    }

    // ---- the end

    /// Ends every stream for the other side. Returns how many calls were cut.
    fn close_streams(&mut self) -> usize {
        self.me.stop_requests();
        if let Some(instance) = self.instance.take() {
            self.plane.directory.withdraw(&instance);
        }
        if let Some(session) = self.line.session() {
            self.plane.sessions.leave(session.token(), self.me.id);
        }
        drop(self.me.shut_door());
        // Requests not sent yet go back to their links, which may pick again.
        drop(self.me.outbox.close());
        let ends: Vec<(StreamId, Opener, Splice)> = self.connection.drain().collect();
        let cut = ends.iter().filter(|(_, _, splice)| splice.cut()).count();
        drop(ends);
        cut
    }

    async fn say_goodbye(&mut self, ending: &Ending) {
        if let Ending::Error { code, text } = ending {
            self.send_error(StreamId::CONNECTION, *code, text.as_bytes());
        }
        if let Some(mut io) = self.line.detach() {
            close_gently(&mut io).await;
        }
    }
}

impl Drop for Link {
    /// However the task ends, nobody is left waiting for it.
    fn drop(&mut self) {
        self.close_streams();
    }
}

/// Flushes, half-closes, and waits a little for the peer to close: a socket closed with unread bytes
/// is reset, and a reset can overtake the last ERROR.
pub(super) async fn close_gently(io: &mut FrameIo) {
    let goodbye = async {
        if poll_fn(|cx| io.poll_shutdown(cx)).await.is_ok() {
            while let Some(Ok(_)) = poll_fn(|cx| io.poll_frame(cx)).await {}
        }
    };
    // A peer that does not close in time is closed on.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}

/// What is left to tell of a link.
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) cut: usize,
}

/// The runtime's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
