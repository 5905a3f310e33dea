use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::NetError;
use super::socket::Socket;
use super::tls::{TlsClient, TlsIdentity, TlsServer};

/// The byte stream that frames or messages travel on: a socket as it is, or TLS over one.
#[derive(Debug)]
pub(super) enum Channel {
    Plain(Socket),
    Tls(Box<TlsChannel>),
}

#[derive(Debug)]
pub(super) struct TlsChannel {
    stream: TlsStream<Socket>,
    /// Bytes taken since nothing was held back last: encrypted, and perhaps not yet written.
    unflushed: usize,
}

impl Channel {
    /// Shakes hands as the server.
    pub(super) async fn accept(tls: &TlsServer, socket: Socket) -> Result<Self, NetError> {
        let stream = Box::pin(tls.accept(socket)).await.map_err(NetError::Tls)?;
        Ok(Self::tls(stream.into()))
    }

    /// Shakes hands as the client.
    pub(super) async fn connect(
        tls: &TlsClient,
        host: &str,
        socket: Socket,
    ) -> Result<Self, NetError> {
        let stream = Box::pin(tls.connect(host, socket)).await;
        Ok(Self::tls(stream.map_err(NetError::Tls)?.into()))
    }

    fn tls(stream: TlsStream<Socket>) -> Self {
        Self::Tls(Box::new(TlsChannel {
            stream,
            unflushed: 0,
        }))
    }

    pub(super) fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.stream.get_ref().0,
        }
    }

    /// Bytes that were taken and may not be with the socket yet.
    pub(super) const fn unflushed(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.unflushed,
        }
    }

    /// Who the peer's certificate says it is.
    pub(super) fn identity(&self) -> Option<Arc<TlsIdentity>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => TlsIdentity::of_peer(tls.stream.get_ref().1.peer_certificates()),
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            // Many peers close without saying so in TLS. Frames have lengths: one that was cut is
            // found by whoever reads frames.
            Self::Tls(tls) => match ready!(Pin::new(&mut tls.stream).poll_read(cx, buf)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
        }
    }
}

impl TlsChannel {
    const fn count(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(taken) = &result {
            self.unflushed += *taken;
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(tls) => {
                let result = ready!(Pin::new(&mut tls.stream).poll_write(cx, buf));
                tls.count(result)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => {
                let result = ready!(Pin::new(&mut tls.stream).poll_write_vectored(cx, bufs));
                tls.count(result)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => {
                ready!(Pin::new(&mut tls.stream).poll_flush(cx))?;
                tls.unflushed = 0;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
