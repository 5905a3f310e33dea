use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::SocketOptions;

/// The byte stream under a connection, and how much has crossed it.
///
/// It lies under every transport, so that its counts are those of the network: what a layer above
/// holds back, or has not yet made a message of, is told apart from what has moved.
#[derive(Debug)]
pub(super) struct Socket {
    stream: ByteStream,
    read: u64,
    written: u64,
}

#[derive(Debug)]
enum ByteStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(DuplexStream),
}

impl Socket {
    pub(super) fn tcp(stream: TcpStream, options: &SocketOptions) -> io::Result<Self> {
        options.apply(&stream)?;
        Ok(Self::new(ByteStream::Tcp(stream)))
    }

    pub(super) const fn unix(stream: UnixStream) -> Self {
        Self::new(ByteStream::Unix(stream))
    }

    pub(super) const fn memory(stream: DuplexStream) -> Self {
        Self::new(ByteStream::Memory(stream))
    }

    const fn new(stream: ByteStream) -> Self {
        Self {
            stream,
            read: 0,
            written: 0,
        }
    }

    /// Bytes read since the connection was made.
    pub(super) const fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Bytes written since the connection was made.
    pub(super) const fn bytes_written(&self) -> u64 {
        self.written
    }

    const fn count_written(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(written) = &result {
            self.written += *written as u64;
        }
        Poll::Ready(result)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(match &mut this.stream {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            ByteStream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            ByteStream::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        });
        this.read += (buf.filled().len() - before) as u64;
        Poll::Ready(result)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(match &mut this.stream {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            ByteStream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            ByteStream::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        });
        this.count_written(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(match &mut this.stream {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            ByteStream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            ByteStream::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        });
        this.count_written(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            ByteStream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            ByteStream::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            ByteStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            ByteStream::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
