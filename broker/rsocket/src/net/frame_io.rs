use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::Channel;
use super::framed::Framed;
use super::outgoing::Outgoing;
use super::socket::Socket;
use super::websocket::WebSocket;
use super::{NetError, TlsIdentity};

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
    tls_identity: Option<Arc<TlsIdentity>>,
    /// What comes is no longer understood.
    failed: bool,
}

impl FrameIo {
    pub(super) fn stream(
        channel: Channel,
        kind: TransportKind,
        peer: Peer,
        frame_max: usize,
    ) -> Self {
        let tls_identity = channel.identity();
        let stream = Stream {
            channel,
            framed: Framed::new(frame_max),
            out: Outgoing::default(),
        };
        Self {
            transport: Transport::Stream(stream),
            kind,
            peer,
            tls_identity,
            failed: false,
        }
    }

    pub(super) fn websocket(socket: WebSocket, kind: TransportKind, peer: Peer) -> Self {
        Self {
            tls_identity: socket.channel().identity(),
            transport: Transport::WebSocket(Box::new(socket)),
            kind,
            peer,
            failed: false,
        }
    }

    /// The next frame, whole and without a length prefix; none when the peer has closed.
    ///
    /// After an error no more frames come. What still arrives is read and thrown away until the
    /// peer closes, so that whoever waits for that after [`Self::poll_shutdown`] does not reset the
    /// connection under the last words to the peer.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, NetError>>> {
        if self.failed {
            return self.poll_discard(cx).map(|()| None);
        }
        let frame = ready!(match &mut self.transport {
            Transport::Stream(stream) => stream.framed.poll_frame(&mut stream.channel, cx),
            Transport::WebSocket(socket) => socket.poll_frame(cx),
        });
        self.failed = matches!(frame, Some(Err(_)));
        Poll::Ready(frame)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let channel = match &mut self.transport {
            Transport::Stream(stream) => &mut stream.channel,
            Transport::WebSocket(socket) => socket.channel_mut(),
        };
        let mut room = [0; 4096];
        loop {
            let mut room = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut *channel).poll_read(cx, &mut room));
            if read.is_err() || room.filled().is_empty() {
                return Poll::Ready(());
            }
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
            Transport::Stream(stream) => stream.out.queued() + stream.channel.unflushed(),
            Transport::WebSocket(socket) => socket.queued(),
        }
    }

    /// Bytes that have come in since the connection was made, those of a frame that is not whole
    /// yet and those that are no frames among them: any byte is a sign of life.
    pub fn bytes_read(&self) -> u64 {
        self.socket().bytes_read()
    }

    /// Bytes that the socket has taken since the connection was made: any byte is progress, also
    /// while [`Self::queued`] stands still because TLS has taken what the socket has not.
    pub fn bytes_written(&self) -> u64 {
        self.socket().bytes_written()
    }

    /// Writes what is queued; ready when all of it is with the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Stream(stream) => stream.out.poll_flush(&mut stream.channel, cx),
            Transport::WebSocket(socket) => socket.poll_flush(cx),
        }
    }

    /// Flushes and closes the sending half. What the peer still sends can be read, and should be
    /// for a while: dropping a socket with unread bytes resets it and may take the last frames
    /// away from the peer.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        match &mut self.transport {
            Transport::Stream(stream) => Pin::new(&mut stream.channel).poll_shutdown(cx),
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

    /// Frames over `frame_max` are refused from now on. What was read ahead is judged by it too.
    pub const fn set_frame_max(&mut self, frame_max: usize) {
        match &mut self.transport {
            Transport::Stream(stream) => stream.framed.set_frame_max(frame_max),
            Transport::WebSocket(socket) => socket.set_frame_max(frame_max),
        }
    }

    pub const fn peer(&self) -> Peer {
        self.peer
    }

    pub const fn kind(&self) -> TransportKind {
        self.kind
    }

    /// Who the peer's certificate says it is; none without TLS, or when it showed none.
    pub const fn tls_identity(&self) -> Option<&Arc<TlsIdentity>> {
        self.tls_identity.as_ref()
    }

    fn socket(&self) -> &Socket {
        match &self.transport {
            Transport::Stream(stream) => stream.channel.socket(),
            Transport::WebSocket(socket) => socket.channel().socket(),
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
    /// Somebody on this machine who may open the socket's file.
    Unix,
    /// Somebody in this process.
    Memory,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    Tcp,
    /// Over TCP.
    Tls,
    WebSocket,
    /// Over TLS.
    WebSocketTls,
    /// A socket with a file for its address.
    Unix,
    Memory,
}

impl TransportKind {
    /// The URI scheme, also the value of the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "ws",
            Self::WebSocketTls => "wss",
            Self::Unix => "unix",
            Self::Memory => "memory",
        }
    }

    /// Whether one message is one frame.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::WebSocketTls)
    }

    /// Whether the bytes are encrypted and the listener needs a certificate.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::WebSocketTls)
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
    channel: Channel,
    framed: Framed,
    out: Outgoing,
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tungstenite::protocol::Role;

    use super::super::FRAME_MAX;
    use super::super::read_buffer::ReadBuffer;
    use super::*;

    const MESSAGE: usize = 300_000;
    const PIPE: usize = 1000;

    async fn websocket() -> (FrameIo, DuplexStream) {
        let (near, far) = duplex(PIPE);
        let near = Channel::Plain(Socket::memory(near));
        let near = WebSocket::new(near, Role::Server, ReadBuffer::default(), FRAME_MAX);
        (
            FrameIo::websocket(near, TransportKind::WebSocket, Peer::Memory),
            far,
        )
    }

    fn stream() -> (FrameIo, DuplexStream) {
        let (near, far) = duplex(PIPE);
        let near = Channel::Plain(Socket::memory(near));
        (
            FrameIo::stream(near, TransportKind::Memory, Peer::Memory, FRAME_MAX),
            far,
        )
    }

    fn poll<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn what_follows_a_fault_is_read_to_its_end() {
        let (mut io, mut far) = stream();
        // A frame shorter than any header, and much behind it.
        let far = tokio::spawn(async move {
            far.write_all(&[0, 0, 1]).await.unwrap();
            far.write_all(&[7; 50 * PIPE]).await.unwrap();
            far.shutdown().await.unwrap();
            let mut words = Vec::new();
            far.read_to_end(&mut words).await.unwrap();
            words
        });
        assert!(io.next_frame().await.unwrap().is_err());
        io.push(b"header", Body::Copy(b""));
        io.shutdown().await.unwrap();
        assert!(io.next_frame().await.is_none());
        assert_eq!(io.bytes_read(), 50 * PIPE as u64 + 3);
        assert_eq!(far.await.unwrap(), b"\0\0\x06header");
    }

    #[tokio::test]
    async fn a_slow_reader_of_one_large_message_is_seen_to_read() {
        for (mut io, mut far) in [websocket().await, stream()] {
            io.push(b"header", Body::Share(vec![1; MESSAGE].into()));
            assert_eq!(io.bytes_written(), 0, "queued is not written");
            let queued = io.queued();
            let mut room = [0; PIPE];
            for turn in 1..100 {
                assert!(poll(|cx| io.poll_flush(cx)).is_pending());
                assert_eq!(io.bytes_written(), (turn * PIPE) as u64);
                assert_eq!(io.queued(), queued - turn * PIPE);
                far.read_exact(&mut room).await.unwrap();
                tokio::task::yield_now().await;
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
