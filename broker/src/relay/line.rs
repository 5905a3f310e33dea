//! The transport that a session has now.
//!
//! A link is a session: its streams, its outbox and its place in the directory are not the
//! transport's. This is the seam between the two, and what can be seen of the peer's life through it:
//! any byte that came in is a sign of life, any byte the socket took is progress, whole frame or not.

use std::{
    io,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use jackfield_rsocket::net::{Body, FrameIo, NetError};

pub(super) struct Line {
    io: FrameIo,
    read: u64,
    written: u64,
    /// Since when the socket has owed progress.
    stalled_since: Option<Instant>,
}

impl Line {
    pub(super) const fn new(io: FrameIo) -> Self {
        Self {
            io,
            read: 0,
            written: 0,
            stalled_since: None,
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, NetError>>> {
        self.io.poll_frame(cx)
    }

    /// Whether anything has come in since this was asked last.
    pub(super) fn heard(&mut self) -> bool {
        let read = self.io.bytes_read();
        std::mem::replace(&mut self.read, read) != read
    }

    /// Queues a frame for the socket.
    pub(super) fn push(&mut self, head: &[u8], body: Body<'_>) {
        self.io.push(head, body);
    }

    /// Bytes queued that the socket has not taken.
    pub(super) fn queued(&self) -> usize {
        self.io.queued()
    }

    /// Gives the socket what is queued, as far as it takes it.
    pub(super) fn flush(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<()> {
        let flushed = self.io.poll_flush(cx);
        let written = self.io.bytes_written();
        let moved = std::mem::replace(&mut self.written, written) != written;
        self.stalled_since = match self.stalled_since {
            _ if self.io.queued() == 0 => None,
            Some(since) if !moved => Some(since),
            _ => Some(now),
        };
        match flushed {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Since when the socket has taken nothing, though there is something for it.
    pub(super) const fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    pub(super) const fn io(&mut self) -> &mut FrameIo {
        &mut self.io
    }
}
