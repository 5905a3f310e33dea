use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::socket::Socket;
use super::websocket::WebSocket;
use super::{FrameIo, NetError, Peer, TransportKind, Uri};

/// A bound address.
///
/// Accepting is two steps: [`Self::accept`] takes a connection off the queue and never waits for
/// the peer, [`Accepted::open`] shakes hands, on whichever thread is to own the connection.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    kind: TransportKind,
    path: Arc<str>,
    uri: Uri,
}

impl Listener {
    /// Binds the first address that the host stands for. Port 0 takes a free one, see
    /// [`Self::uri`].
    pub async fn bind(uri: &Uri) -> io::Result<Self> {
        let mut addresses = lookup_host((uri.host(), uri.port())).await?;
        let address = addresses
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))?;
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let uri = uri.with_port(listener.local_addr()?.port());
        Ok(Self {
            listener,
            kind: uri.kind(),
            path: uri.path().into(),
            uri,
        })
    }

    /// Where clients find it: the URI it was bound by, with the port it got.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. Errors are those of the listener, such as too many open files:
    /// wait a little and go on. Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let (stream, address) = self.listener.accept().await?;
        // Leaves this thread's reactor, so that any thread can open it.
        let stream = stream.into_std()?;
        Ok(Accepted {
            stream,
            address,
            kind: self.kind,
            path: Arc::clone(&self.path),
        })
    }
}

/// A connection before its handshake.
#[derive(Debug)]
pub struct Accepted {
    stream: std::net::TcpStream,
    address: SocketAddr,
    kind: TransportKind,
    path: Arc<str>,
}

impl Accepted {
    pub const fn peer(&self) -> Peer {
        Peer::Address(self.address)
    }

    pub const fn kind(&self) -> TransportKind {
        self.kind
    }

    /// Joins the current runtime and shakes hands where the transport wants it. Put a timeout
    /// around it: it waits for the peer.
    pub async fn open(self, frame_max: usize) -> Result<FrameIo, NetError> {
        let peer = self.peer();
        let local = self.stream.local_addr()?.ip().is_loopback();
        let socket = Socket::tcp(TcpStream::from_std(self.stream)?)?;
        match self.kind {
            TransportKind::WebSocket => {
                let socket = WebSocket::accept(socket, &self.path, local, frame_max).await?;
                Ok(FrameIo::websocket(socket, peer))
            }
            kind @ (TransportKind::Tcp | TransportKind::Memory) => {
                Ok(FrameIo::stream(socket, kind, peer, frame_max))
            }
        }
    }
}

/// Connections the kernel holds while nobody accepts; it takes the smaller of this and its own
/// limit.
const BACKLOG: u32 = 4096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_tungstenite::tungstenite;

    use super::super::{Body, FRAME_MAX, connect};
    use super::*;

    async fn bind(uri: &str) -> Listener {
        Listener::bind(&uri.parse().unwrap()).await.unwrap()
    }

    async fn pair(uri: &str, frame_max: usize) -> (FrameIo, FrameIo) {
        let listener = bind(uri).await;
        let dial = connect(listener.uri(), frame_max);
        let accept = async { listener.accept().await.unwrap().open(frame_max).await };
        let (near, far) = tokio::join!(dial, accept);
        (near.unwrap(), far.unwrap())
    }

    async fn echo(mut io: FrameIo) {
        while let Some(frame) = io.next_frame().await {
            io.push(b"echo: ", Body::Share(frame.unwrap()));
            io.flush().await.unwrap();
        }
        io.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn frames_cross_both_transports_both_ways() {
        for (uri, kind) in [
            ("tcp://127.0.0.1:0", "tcp"),
            ("ws://127.0.0.1:0/rsocket", "ws"),
        ] {
            let (mut near, far) = pair(uri, FRAME_MAX).await;
            assert_eq!((near.kind().as_str(), far.kind().as_str()), (kind, kind));
            let Peer::Address(address) = far.peer() else {
                panic!("an address")
            };
            assert!(address.ip().is_loopback());
            let far = tokio::spawn(echo(far));
            let large = Bytes::from(vec![5; 3 << 20]);
            for body in [&b""[..], b"+small", &large] {
                near.push(b"header", Body::Copy(body));
                near.flush().await.unwrap();
                let answer = near.next_frame().await.unwrap().unwrap();
                assert!(
                    answer[..12] == *b"echo: header" && answer[12..] == *body,
                    "{kind}"
                );
            }
            near.shutdown().await.unwrap();
            assert!(near.next_frame().await.is_none(), "{kind}");
            far.await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_largest_frame_crosses_a_websocket() {
        let (mut near, mut far) = pair("ws://127.0.0.1:0/", FRAME_MAX).await;
        let body = Bytes::from(vec![3; FRAME_MAX - 6]);
        near.push(b"header", Body::Share(body.clone()));
        let (flushed, frame) = tokio::join!(near.flush(), far.next_frame());
        flushed.unwrap();
        assert!(frame.unwrap().unwrap()[6..] == body);
    }

    #[tokio::test]
    async fn another_path_is_not_found() {
        let listener = bind("ws://127.0.0.1:0/rsocket").await;
        let uri = listener
            .uri()
            .to_string()
            .replace("/rsocket", "/other")
            .parse()
            .unwrap();
        let accept = async { listener.accept().await.unwrap().open(100).await };
        let (near, far) = tokio::join!(connect(&uri, 100), accept);
        assert!(far.is_err());
        let Err(NetError::WebSocket(error)) = near else {
            panic!("a refusal")
        };
        assert!(matches!(*error, tungstenite::Error::Http(answer) if answer.status() == 404));
    }

    #[tokio::test]
    async fn pages_of_other_machines_may_not_use_a_local_listener() {
        for (origin, status) in [
            ("http://localhost:3000", "101"),
            ("http://127.0.0.1", "101"),
            ("http://[::1]:8080", "101"),
            ("https://evil.example", "403"),
            ("null", "403"),
        ] {
            let listener = bind("ws://127.0.0.1:0/rsocket").await;
            let address = listener.local_address().unwrap();
            let server = async { listener.accept().await.unwrap().open(100).await.is_ok() };
            let client = async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let request = format!(
                    "GET /rsocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     Sec-WebSocket-Version: 13\r\nOrigin: {origin}\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = vec![0; 12];
                stream.read_exact(&mut answer).await.unwrap();
                String::from_utf8(answer).unwrap()
            };
            let (served, answer) = tokio::join!(server, client);
            assert_eq!(answer, format!("HTTP/1.1 {status}"), "{origin}");
            assert_eq!(served, status == "101", "{origin}");
        }
    }

    #[tokio::test]
    async fn an_offered_subprotocol_is_confirmed_and_a_query_is_no_path() {
        let listener = bind("ws://127.0.0.1:0/rsocket").await;
        let address = listener.local_address().unwrap();
        let server = async { listener.accept().await.unwrap().open(100).await.unwrap() };
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = "GET /rsocket?a=b HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, rsocket\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.unwrap());
            }
            String::from_utf8(answer).unwrap().to_ascii_lowercase()
        };
        let (_server, answer) = tokio::join!(server, client);
        assert!(answer.starts_with("http/1.1 101"), "{answer}");
        assert!(
            answer.contains("sec-websocket-protocol: rsocket\r\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn garbage_is_no_handshake() {
        let listener = bind("ws://127.0.0.1:0/rsocket").await;
        let mut stream = TcpStream::connect(listener.local_address().unwrap())
            .await
            .unwrap();
        stream.write_all(b"\0\0\x06not http\r\n\r\n").await.unwrap();
        assert!(listener.accept().await.unwrap().open(100).await.is_err());
    }

    /// Accepting on one thread and owning on another is how the broker uses it.
    #[tokio::test]
    async fn an_accepted_connection_opens_on_another_runtime() {
        let listener = bind("tcp://127.0.0.1:0").await;
        let uri = listener.uri().clone();
        let (near, accepted) = tokio::join!(connect(&uri, 100), listener.accept());
        let accepted = accepted.unwrap();
        let owner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build();
            runtime
                .unwrap()
                .block_on(async { echo(accepted.open(100).await.unwrap()).await });
        });
        let mut near = near.unwrap();
        near.push(b"header", Body::Copy(b""));
        near.flush().await.unwrap();
        assert_eq!(near.next_frame().await.unwrap().unwrap(), "echo: header");
        near.shutdown().await.unwrap();
        assert!(near.next_frame().await.is_none());
        owner.join().unwrap();
    }
}
