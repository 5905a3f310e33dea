//! One socket with its two buffers.
//!
//! A turn writes what is waiting in one `write` and reads what has come in one `read`, so that a
//! batch of frames costs the generator two system calls. Reading goes through `poll_read`, which
//! on a short read knows the socket is empty and saves the call that would only say so.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::frame::Garbled;

/// Enough for a whole window of small frames; grows only for one frame that needs more.
const INPUT: usize = 64 * 1024;
/// With less room than this behind the last byte a read would be a waste of a call.
const ROOM: usize = 4 * 1024;

/// Both buffers of one connection, and its socket.
pub(crate) struct Wire {
    socket: TcpStream,
    input: Vec<u8>,
    head: usize,
    tail: usize,
    out: Vec<u8>,
    written: usize,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?)
    }

    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let input = vec![0; INPUT];
        Ok(Self {
            socket,
            input,
            head: 0,
            tail: 0,
            out: Vec::new(),
            written: 0,
        })
    }

    /// Bytes received and not yet taken, and where to append what shall be sent.
    pub(crate) fn split(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.input[self.head..self.tail], &mut self.out)
    }

    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes appended but not yet taken by the kernel.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() - self.written
    }

    /// Marks the first `taken` received bytes as dealt with.
    pub(crate) fn take(&mut self, taken: usize) {
        self.head += taken;
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
    }

    /// Writes what waits, then waits for bytes to read.
    pub(crate) async fn turn(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// A turn that also ends, with `true`, as soon as `nudge` is ready.
    pub(crate) async fn turn_or(
        &mut self,
        mut nudge: Pin<&mut impl Future<Output = ()>>,
    ) -> io::Result<bool> {
        poll_fn(|cx| match self.poll_turn(cx) {
            Poll::Ready(turn) => Poll::Ready(turn.map(|()| false)),
            Poll::Pending => nudge.as_mut().poll(cx).map(|()| Ok(true)),
        })
        .await
    }

    /// A turn for a side with more to say: it also ends when all that waited is written.
    pub(crate) async fn turn_or_written(&mut self) -> io::Result<()> {
        poll_fn(|cx| match self.poll_write(cx) {
            Poll::Pending => self.poll_read(cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => match self.poll_read(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
            },
        })
        .await
    }

    /// Writes all that waits and reads nothing.
    pub(crate) async fn write_all(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What the socket does not take now goes out on a later turn: `poll_write` has left its
        // waker behind, and reading must go on meanwhile or two full sides would wait for each
        // other.
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        self.poll_read(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let waiting = &self.out[self.written..];
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, waiting))?;
            self.written += count;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.make_room();
        let mut room = ReadBuf::new(&mut self.input[self.tail..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.tail += count;
        Poll::Ready(Ok(()))
    }

    fn make_room(&mut self) {
        if self.input.len() - self.tail >= ROOM {
            return;
        }
        if self.head == 0 {
            self.input.resize(2 * self.input.len(), 0);
            return;
        }
        self.input.copy_within(self.head..self.tail, 0);
        self.tail -= self.head;
        self.head = 0;
    }
}

impl From<Garbled> for io::Error {
    fn from(Garbled: Garbled) -> Self {
        Self::new(
            io::ErrorKind::InvalidData,
            "the peer sent something that is not the protocol",
        )
    }
}
