use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{pool, wake_behind_others};

/// What has been read and not yet been taken.
///
/// It owns memory only while bytes are in it. Reads are large, so one system call usually brings
/// several frames; a read that does not fill the buffer has drained the socket, and tokio then
/// answers the next attempt without a system call.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    buffer: BytesMut,
    /// The buffer was made for one large frame and must not end in the pool.
    oversize: bool,
    /// Bytes of a large frame read in this turn.
    in_turn: usize,
}

impl ReadBuffer {
    /// Goes on with what has been read into a buffer of the pool.
    pub(super) const fn of(buffer: BytesMut) -> Self {
        Self {
            buffer,
            oversize: false,
            in_turn: 0,
        }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer
    }

    pub(super) fn skip(&mut self, len: usize) {
        self.buffer.advance(len);
    }

    /// The first `len` bytes, which are there, in the memory they were read into.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        let taken = self.buffer.split_to(len);
        if self.oversize {
            self.leave_oversize();
        }
        taken
    }

    /// Reads once, with room for at least `missing` more bytes; 0 at the end of the stream. Pending, and woken
    /// again, when others should have their turn before more of a large frame is read.
    pub(super) fn poll_fill(
        &mut self,
        missing: usize,
        socket: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room(missing);
        if self.in_turn >= TURN {
            self.in_turn = 0;
            wake_behind_others(cx);
            return Poll::Pending;
        }
        let read = pin!(socket.read_buf(&mut (&mut self.buffer).limit(TURN))).poll(cx);
        self.in_turn = match &read {
            Poll::Ready(Ok(read)) if self.oversize => self.in_turn + read,
            _ => 0,
        };
        if !matches!(read, Poll::Ready(Ok(1..))) {
            self.release();
        }
        read
    }

    /// Room for the rest of the frame that is being read: in an ordinary buffer if it fits there,
    /// else exactly what is missing.
    fn make_room(&mut self, missing: usize) {
        if self.buffer.capacity() == 0 {
            self.buffer = pool::take();
        }
        let len = self.buffer.len();
        let spare = self.buffer.capacity() - len;
        if len + missing > pool::BUFFER {
            if spare < missing {
                self.oversize = true;
                self.buffer.reserve(missing);
            }
        } else if spare < missing.max(READ_MIN.saturating_sub(len)) {
            self.replace();
        }
    }

    /// A fresh buffer with the beginning of the frame that is being read.
    fn replace(&mut self) {
        let old = std::mem::replace(&mut self.buffer, pool::take());
        self.buffer.extend_from_slice(&old);
        if !std::mem::take(&mut self.oversize) {
            pool::put(old);
        }
    }

    /// Lets go of a large frame's buffer; what came behind the frame moves to an ordinary one.
    fn leave_oversize(&mut self) {
        let rest = std::mem::take(&mut self.buffer);
        self.oversize = rest.len() > pool::BUFFER;
        if !rest.is_empty() {
            self.buffer = pool::take();
            self.buffer.extend_from_slice(&rest);
        }
    }

    fn release(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            let buffer = std::mem::take(&mut self.buffer);
            if !std::mem::take(&mut self.oversize) {
                pool::put(buffer);
            }
        }
    }
}

#[cfg(test)]
impl ReadBuffer {
    pub(super) fn owns_nothing(&self) -> bool {
        self.buffer.capacity() == 0
    }

    pub(super) const fn is_oversize(&self) -> bool {
        self.oversize
    }
}

/// Bytes of large frames that are read at a time: what copying them takes, everybody else waits.
const TURN: usize = 128 * 1024;

/// A read is offered at least this much room, unless most of a frame is already here.
const READ_MIN: usize = pool::BUFFER / 4;
