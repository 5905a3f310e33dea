use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};

use super::channel::Channel;
use super::socket::Socket;
use super::websocket::WebSocket;
use super::{
    DialOptions, FrameIo, NetError, Peer, SocketOptions, TlsClient, TlsClientOptions,
    TransportKind, Uri,
};

/// [`connect_with`] the default options.
pub async fn connect(uri: &Uri, frame_max: usize) -> Result<FrameIo, NetError> {
    connect_with(uri, frame_max, &DialOptions::default()).await
}

/// Dials, and shakes hands where the transport wants it. Frames over `frame_max` are refused.
///
/// It waits as long as the network lets it; put a timeout around it.
pub async fn connect_with(
    uri: &Uri,
    frame_max: usize,
    options: &DialOptions,
) -> Result<FrameIo, NetError> {
    let (socket, peer) = match uri.socket_file() {
        Some(file) => (dial_unix(file).await?, Peer::Unix),
        None => dial_tcp(uri, &options.socket).await?,
    };
    let channel = match &options.tls {
        _ if !uri.kind().is_tls() => Channel::Plain(socket),
        Some(tls) => Channel::connect(tls, uri.host(), socket).await?,
        None => {
            let tls = TlsClient::new(&TlsClientOptions::default())?;
            Channel::connect(&tls, uri.host(), socket).await?
        }
    };
    if uri.kind().is_websocket() {
        let socket = WebSocket::connect(channel, uri, frame_max).await?;
        return Ok(FrameIo::websocket(socket, uri.kind(), peer));
    }
    Ok(FrameIo::stream(channel, uri.kind(), peer, frame_max))
}

async fn dial_unix(file: &Path) -> io::Result<Socket> {
    Ok(Socket::unix(UnixStream::connect(file).await?))
}

/// Tries every address that the host stands for.
async fn dial_tcp(uri: &Uri, options: &SocketOptions) -> io::Result<(Socket, Peer)> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((uri.host(), uri.port())).await? {
        match dial_address(address, options).await {
            Ok(stream) => return Ok((Socket::tcp(stream, options)?, Peer::Address(address))),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn dial_address(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    options.size(&socket)?;
    socket.connect(address).await
}

/// Two ends of one connection inside this process.
pub fn memory(frame_max: usize) -> (FrameIo, FrameIo) {
    memory_of(frame_max, PIPE)
}

/// The same; each direction holds so many bytes. What fits there as a whole wakes the other end once.
pub fn memory_of(frame_max: usize, pipe: usize) -> (FrameIo, FrameIo) {
    let (near, far) = duplex(pipe);
    let end = |stream| {
        FrameIo::stream(
            Channel::Plain(Socket::memory(stream)),
            TransportKind::Memory,
            Peer::Memory,
            frame_max,
        )
    };
    (end(near), end(far))
}

/// One end of a connection inside this process, still to shake hands, and the bytes of the other:
/// for tests that speak the transport themselves.
pub fn memory_bytes(
    kind: TransportKind,
    frame_max: usize,
) -> (
    impl Future<Output = Result<FrameIo, NetError>>,
    DuplexStream,
) {
    let (near, far) = duplex(PIPE);
    let channel = Channel::Plain(Socket::memory(near));
    let opening = async move {
        if kind.is_websocket() {
            let socket = WebSocket::accept(channel, "/rsocket", true, frame_max).await?;
            return Ok(FrameIo::websocket(socket, kind, Peer::Memory));
        }
        Ok(FrameIo::stream(channel, kind, Peer::Memory, frame_max))
    };
    (opening, far)
}

/// What one direction of an in-memory connection holds, like a socket buffer.
const PIPE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::*;

    #[tokio::test]
    async fn memory_carries_frames_both_ways_and_half_closes() {
        let (mut near, mut far) = memory(100);
        assert_eq!(
            (near.kind().as_str(), near.peer()),
            ("memory", Peer::Memory)
        );
        near.push(b"header", Body::Copy(b"+ping"));
        near.shutdown().await.unwrap();
        assert_eq!(far.next_frame().await.unwrap().unwrap(), "header+ping");
        assert!(far.next_frame().await.is_none());
        far.push(b"header", Body::Copy(b"+pong"));
        far.flush().await.unwrap();
        assert_eq!(near.next_frame().await.unwrap().unwrap(), "header+pong");
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        // Bound, so that nobody else gets the port, and not listening.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let uri = format!("tcp://{}", socket.local_addr().unwrap())
            .parse()
            .unwrap();
        assert!(matches!(connect(&uri, 100).await, Err(NetError::Io(_))));
    }
}
