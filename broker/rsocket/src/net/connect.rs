use tokio::io::duplex;
use tokio::net::TcpStream;

use super::socket::Socket;
use super::websocket::WebSocket;
use super::{FrameIo, NetError, Peer, TransportKind, Uri};

/// Dials, and shakes hands where the transport wants it. Frames over `frame_max` are refused.
///
/// It waits as long as the network lets it; put a timeout around it.
pub async fn connect(uri: &Uri, frame_max: usize) -> Result<FrameIo, NetError> {
    let stream = TcpStream::connect((uri.host(), uri.port())).await?;
    let peer = Peer::Address(stream.peer_addr()?);
    let socket = Socket::tcp(stream)?;
    match uri.kind() {
        TransportKind::WebSocket => {
            let socket = WebSocket::connect(socket, uri, frame_max).await?;
            Ok(FrameIo::websocket(socket, peer))
        }
        kind @ (TransportKind::Tcp | TransportKind::Memory) => {
            Ok(FrameIo::stream(socket, kind, peer, frame_max))
        }
    }
}

/// Two ends of one connection inside this process.
pub fn memory(frame_max: usize) -> (FrameIo, FrameIo) {
    let (near, far) = duplex(PIPE);
    let end = |stream| {
        FrameIo::stream(
            Socket::memory(stream),
            TransportKind::Memory,
            Peer::Memory,
            frame_max,
        )
    };
    (end(near), end(far))
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
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let uri = format!("tcp://{}", socket.local_addr().unwrap())
            .parse()
            .unwrap();
        assert!(matches!(connect(&uri, 100).await, Err(NetError::Io(_))));
    }
}
