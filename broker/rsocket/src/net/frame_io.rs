use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::NetError;
use super::framed::Framed;
use super::outgoing::Outgoing;
use super::socket::Socket;
use super::websocket::WebSocket;

/// One connection: frames in, frames out.
///
/// The methods poll, so that whoever drives the connection can look at several things in one
/// turn; a plain caller uses the `async` ones. The order of a turn is: [`Self::poll_frame`] until
/// it is pending or enough was done, [`Self::push`] what there is to say, [`Self::poll_flush`]
/// once.
#[derive(Debug)]
pub struct FrameIo {
    transport: Transport,
    kind: TransportKind,
    peer: Peer,
}

impl FrameIo {
    pub(super) fn stream(
        socket: Socket,
        kind: TransportKind,
        peer: Peer,
        frame_max: usize,
    ) -> Self {
        let stream = Stream {
            socket,
            framed: Framed::new(frame_max),
            out: Outgoing::default(),
        };
        Self {
            transport: Transport::Stream(stream),
            kind,
            peer,
        }
    }

    pub(super) fn websocket(socket: WebSocket, peer: Peer) -> Self {
        Self {
            transport: Transport::WebSocket(Box::new(socket)),
            kind: TransportKind::WebSocket,
            peer,
        }
    }

    /// The next frame, whole and without a length prefix; none when the peer has closed.
    ///
    /// After an error nothing more can be read.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, NetError>>> {
        match &mut self.transport {
            Transport::Stream(stream) => stream.framed.poll_frame(&mut stream.socket, cx),
            Transport::WebSocket(socket) => socket.poll_frame(cx),
        }
    }

    /// Queues one frame: `head` followed by `body`, together at most 16,777,215 bytes.
    ///
    /// It always takes the frame; look at [`Self::queued`] to hold back. A longer frame, which is
    /// the caller's mistake, fails the next flush.
    pub fn push(&mut self, head: &[u8], body: Body<'_>) {
        match &mut self.transport {
            Transport::Stream(stream) => stream.out.push(head, body),
            Transport::WebSocket(socket) => socket.push(head, body),
        }
    }

    /// Bytes taken by [`Self::push`] and not yet by the socket.
    pub fn queued(&self) -> usize {
        match &self.transport {
            Transport::Stream(stream) => stream.out.queued(),
            Transport::WebSocket(socket) => socket.queued(),
        }
    }

    /// Bytes that have come in since the connection was made, those of a frame that is not whole
    /// yet and those that are no frames among them: any byte is a sign of life.
    pub fn bytes_read(&self) -> u64 {
        self.socket().bytes_read()
    }

    /// Bytes that the socket has taken since the connection was made: any byte is progress, also
    /// while [`Self::queued`] stands still because one large message is on its way.
    pub fn bytes_written(&self) -> u64 {
        self.socket().bytes_written()
    }

    /// Writes what is queued; ready when all of it is with the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Stream(stream) => stream.out.poll_flush(&mut stream.socket, cx),
            Transport::WebSocket(socket) => socket.poll_flush(cx),
        }
    }

    /// Flushes and closes the sending half. What the peer still sends can be read, and should be
    /// for a while: dropping a socket with unread bytes resets it and may take the last frames
    /// away from the peer.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        match &mut self.transport {
            Transport::Stream(stream) => Pin::new(&mut stream.socket).poll_shutdown(cx),
            Transport::WebSocket(socket) => socket.poll_shutdown(cx),
        }
    }

    /// [`Self::poll_frame`] as a future. Dropping it loses nothing.
    pub async fn next_frame(&mut self) -> Option<Result<Bytes, NetError>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// [`Self::poll_flush`] as a future. Dropping it loses nothing.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// [`Self::poll_shutdown`] as a future.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    pub const fn peer(&self) -> Peer {
        self.peer
    }

    pub const fn kind(&self) -> TransportKind {
        self.kind
    }

    fn socket(&self) -> &Socket {
        match &self.transport {
            Transport::Stream(stream) => &stream.socket,
            Transport::WebSocket(socket) => socket.socket(),
        }
    }
}

/// How the bytes of a frame reach the queue.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Copied: right for small ones, which then pin no buffer and need no slice of their own.
    Copy(&'a [u8]),
    /// Chained as it is: right from about 4 KiB.
    Share(Bytes),
}

impl Body<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Copy(body) => body.len(),
            Self::Share(body) => body.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    Address(SocketAddr),
    /// Somebody in this process.
    Memory,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Memory => f.write_str("memory"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    Tcp,
    WebSocket,
    Memory,
}

impl TransportKind {
    /// The URI scheme, also the value of the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug)]
enum Transport {
    Stream(Stream),
    WebSocket(Box<WebSocket>),
}

/// Frames behind 24-bit lengths on a byte stream.
#[derive(Debug)]
struct Stream {
    socket: Socket,
    framed: Framed,
    out: Outgoing,
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::super::FRAME_MAX;
    use super::*;

    const MESSAGE: usize = 300_000;
    const PIPE: usize = 1000;

    async fn websocket() -> (FrameIo, DuplexStream) {
        let (near, far) = duplex(PIPE);
        let near = Socket::memory(near);
        let near = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        (FrameIo::websocket(WebSocket::new(near), Peer::Memory), far)
    }

    fn stream() -> (FrameIo, DuplexStream) {
        let (near, far) = duplex(PIPE);
        let near = Socket::memory(near);
        (
            FrameIo::stream(near, TransportKind::Memory, Peer::Memory, FRAME_MAX),
            far,
        )
    }

    fn poll<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_slow_reader_of_one_large_message_is_seen_to_read() {
        for (mut io, mut far) in [websocket().await, stream()] {
            io.push(b"header", Body::Share(vec![1; MESSAGE].into()));
            assert_eq!(io.bytes_written(), 0, "queued is not written");
            let mut room = [0; PIPE];
            for turn in 1..100 {
                assert!(poll(|cx| io.poll_flush(cx)).is_pending());
                assert_eq!(io.bytes_written(), (turn * PIPE) as u64);
                far.read_exact(&mut room).await.unwrap();
                tokio::task::yield_now().await;
            }
            if matches!(io.transport, Transport::WebSocket(_)) {
                assert_eq!(io.queued(), MESSAGE + 6, "the message is not out");
            }
        }
    }

    #[tokio::test]
    async fn a_slow_sender_of_one_large_message_is_heard() {
        let (websocket, websocket_far) = websocket().await;
        // A binary message of 300,000 bytes, masked with zeros; a frame of as many.
        let message = [0x82, 0xFF, 0, 0, 0, 0, 0, 0x04, 0x93, 0xE0, 0, 0, 0, 0];
        let (stream, stream_far) = stream();
        for (mut io, mut far, head) in [
            (websocket, websocket_far, &message[..]),
            (stream, stream_far, &[0x04, 0x93, 0xE0]),
        ] {
            far.write_all(head).await.unwrap();
            for turn in 0..MESSAGE / 500 {
                assert!(poll(|cx| io.poll_frame(cx)).is_pending());
                assert_eq!(io.bytes_read(), (head.len() + turn * 500) as u64);
                far.write_all(&[0; 500]).await.unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(io.next_frame().await.unwrap().unwrap().len(), MESSAGE);
        }
    }
}
