//! The transport that a session has now, if any.
//!
//! A link is a session: its streams, its outbox and its place in the directory are not the
//! transport's. This is the seam between the two. A session that can be resumed keeps what it sends
//! until the peer has it, so that the next transport can begin where this one ended; any other ends
//! with its transport.
//!
//! What can be seen of the peer's life is counted here too: any byte that came in is a sign of life,
//! any byte the socket took is progress, whole frame or not.

use std::{
    io,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    engine::{
        Violation,
        resume::{Session, UNKNOWN_TOKEN},
    },
    net::{Body, FrameIo, NetError},
    wire::Resume,
};

use super::inbound::pinned_by;

pub(super) struct Line {
    io: Option<FrameIo>,
    session: Option<Box<Session>>,
    read: u64,
    written: u64,
    /// Since when the socket has owed progress.
    stalled_since: Option<Instant>,
}

/// No other transport can go on with the session.
#[derive(Debug)]
pub(super) struct CannotResume {
    pub(super) io: FrameIo,
    pub(super) why: Violation,
}

impl Line {
    pub(super) fn new(io: FrameIo, session: Option<Session>) -> Self {
        Self {
            io: Some(io),
            session: session.map(Box::new),
            read: 0,
            written: 0,
            stalled_since: None,
        }
    }

    // ---- transports come and go

    pub(super) const fn is_attached(&self) -> bool {
        self.io.is_some()
    }

    /// What outlives the transport, if anything does.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// Takes the transport away. What it did not carry is still kept.
    pub(super) fn detach(&mut self) -> Option<FrameIo> {
        self.stalled_since = None;
        self.io.take()
    }

    /// Goes on over `io`: answers RESUME, and sends again what the peer has not received. Gives the
    /// transport back that was still attached.
    pub(super) fn attach(
        &mut self,
        mut io: FrameIo,
        resume: &Resume<'_>,
    ) -> Result<Option<FrameIo>, Box<CannotResume>> {
        let Some(session) = &mut self.session else {
            let why = UNKNOWN_TOKEN;
            return Err(Box::new(CannotResume { io, why }));
        };
        let ok = match session.accept(resume) {
            Ok(ok) => ok,
            Err(why) => return Err(Box::new(CannotResume { io, why })),
        };
        let mut frame = BytesMut::new();
        ok.encode(&mut frame);
        io.push(&frame, Body::Copy(b""));
        for kept in session.replay() {
            let body = match kept.body.len() {
                0 => Body::Copy(b""),
                _ => Body::Share(kept.body.clone()),
            };
            io.push(&kept.head, body);
        }
        (self.read, self.written, self.stalled_since) = (io.bytes_read(), io.bytes_written(), None);
        Ok(self.io.replace(io))
    }

    // ---- frames

    /// The next frame; pending while no transport is attached.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, NetError>>> {
        let Some(io) = &mut self.io else {
            return Poll::Pending;
        };
        let polled = io.poll_frame(cx);
        if let (Some(session), Poll::Ready(Some(Ok(frame)))) = (&mut self.session, &polled) {
            session.on_received(frame);
        }
        polled
    }

    /// Queues a frame for the socket.
    pub(super) fn push(&mut self, head: &[u8], body: Body<'_>) {
        if let Some(session) = &mut self.session {
            let body = match &body {
                Body::Copy(body) => Bytes::copy_from_slice(body),
                Body::Share(body) => body.clone(),
            };
            let pinned = pinned_by(&body);
            // What is given up when it is full is the oldest, which the peer has most likely; if it has not, that
            // shows when it comes back.
            session.on_sent(head, body, pinned);
        }
        if let Some(io) = &mut self.io {
            io.push(head, body);
        }
    }

    /// Bytes queued that the socket has not taken.
    pub(super) fn queued(&self) -> usize {
        self.io.as_ref().map_or(0, FrameIo::queued)
    }

    /// Gives the socket what is queued, as far as it takes it.
    pub(super) fn flush(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(io) = &mut self.io else {
            return Ok(());
        };
        let flushed = io.poll_flush(cx);
        let written = io.bytes_written();
        let moved = std::mem::replace(&mut self.written, written) != written;
        self.stalled_since = match self.stalled_since {
            _ if io.queued() == 0 => None,
            Some(since) if !moved => Some(since),
            _ => Some(now),
        };
        match flushed {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    // ---- signs of life

    /// Whether anything has come in since this was asked last.
    pub(super) fn heard(&mut self) -> bool {
        let read = self.io.as_ref().map_or(self.read, FrameIo::bytes_read);
        std::mem::replace(&mut self.read, read) != read
    }

    /// Since when the socket has taken nothing, though there is something for it.
    pub(super) const fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    // ---- positions

    /// What has been received, for a KEEPALIVE; zero says nothing.
    pub(super) fn received(&self) -> u64 {
        self.session
            .as_ref()
            .map_or(0, |session| session.received())
    }

    /// The peer has received so much: that need not be kept any more.
    pub(super) fn acknowledge(&mut self, position: u64) -> Result<(), Violation> {
        match &mut self.session {
            Some(session) => session.on_position(position),
            None => Ok(()),
        }
    }

    /// Bytes kept to be sent again.
    pub(super) fn kept(&self) -> usize {
        self.session
            .as_ref()
            .map_or(0, |session| session.sent().bytes())
    }
}
