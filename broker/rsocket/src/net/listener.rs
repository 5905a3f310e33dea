use std::io;
use std::net::{self, SocketAddr};
use std::os::unix;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};

use super::channel::Channel;
use super::socket::Socket;
use super::unix::SocketFile;
use super::websocket::WebSocket;
use super::{
    FrameIo, ListenOptions, NetError, Peer, SocketOptions, TlsServer, TransportKind, Uri,
    unix as unix_socket,
};

/// A bound address.
///
/// Accepting is two steps: [`Self::accept`] takes a connection off the queue and never waits for
/// the peer, [`Accepted::open`] shakes hands, on whichever thread is to own the connection.
#[derive(Debug)]
pub struct Listener {
    door: Door,
    uri: Uri,
    ways: Ways,
}

#[derive(Debug)]
enum Door {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "kept until the listener goes")] SocketFile,
    ),
}

/// How connections of one listener are opened.
#[derive(Clone, Debug)]
struct Ways {
    kind: TransportKind,
    path: Arc<str>,
    socket: SocketOptions,
    tls: Option<Arc<TlsServer>>,
}

impl Listener {
    /// [`Self::bind_with`] the default options.
    pub async fn bind(uri: &Uri) -> io::Result<Self> {
        Self::bind_with(uri, &ListenOptions::default()).await
    }

    /// Binds the file, or the first address that the host stands for. Port 0 takes a free one, see
    /// [`Self::uri`].
    ///
    /// A Unix socket's file is removed with the listener. One that another process has left behind
    /// is replaced, one that is served is not.
    pub async fn bind_with(uri: &Uri, options: &ListenOptions) -> io::Result<Self> {
        if uri.kind().is_tls() && options.tls.is_none() {
            let text = "a listener with TLS needs a certificate";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (door, uri) = match uri.socket_file() {
            Some(file) => {
                let (listener, file) = unix_socket::bind(file, options)?;
                (Door::Unix(listener, file), uri.clone())
            }
            None => {
                let listener = bind_tcp(uri, options).await?;
                let port = listener.local_addr()?.port();
                (Door::Tcp(listener), uri.with_port(port))
            }
        };
        let ways = Ways {
            kind: uri.kind(),
            path: uri.path().into(),
            socket: options.socket,
            tls: options.tls.clone().filter(|_| uri.kind().is_tls()),
        };
        Ok(Self { door, uri, ways })
    }

    /// Where clients find it: the URI it was bound by, with the port it got.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The address it got; a Unix socket has none.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        match &self.door {
            Door::Tcp(listener) => listener.local_addr(),
            Door::Unix(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next connection. Errors are those of the listener, such as too many open files:
    /// wait a little and go on. Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let stream = match &self.door {
            Door::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Leaves this thread's reactor, so that any thread can open it.
                Arrived::Tcp(stream.into_std()?, address)
            }
            Door::Unix(listener, _) => Arrived::Unix(listener.accept().await?.0.into_std()?),
        };
        Ok(Accepted {
            stream,
            ways: self.ways.clone(),
        })
    }
}

async fn bind_tcp(uri: &Uri, options: &ListenOptions) -> io::Result<TcpListener> {
    let mut addresses = lookup_host((uri.host(), uri.port())).await?;
    let address = addresses
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Connections have the sizes of their listener.
    options.socket.size(&socket)?;
    socket.bind(address)?;
    socket.listen(options.backlog)
}

/// A connection before its handshake.
#[derive(Debug)]
pub struct Accepted {
    stream: Arrived,
    ways: Ways,
}

#[derive(Debug)]
enum Arrived {
    Tcp(net::TcpStream, SocketAddr),
    Unix(unix::net::UnixStream),
}

impl Accepted {
    pub const fn peer(&self) -> Peer {
        match &self.stream {
            Arrived::Tcp(_, address) => Peer::Address(*address),
            Arrived::Unix(_) => Peer::Unix,
        }
    }

    pub const fn kind(&self) -> TransportKind {
        self.ways.kind
    }

    /// Joins the current runtime and shakes hands where the transport wants it. Put a timeout
    /// around it: it waits for the peer.
    pub async fn open(self, frame_max: usize) -> Result<FrameIo, NetError> {
        let (peer, kind) = (self.peer(), self.kind());
        let (socket, local) = self.stream.join(&self.ways.socket)?;
        let channel = match &self.ways.tls {
            Some(tls) => Channel::accept(tls, socket).await?,
            None => Channel::Plain(socket),
        };
        if kind.is_websocket() {
            let socket = WebSocket::accept(channel, &self.ways.path, local, frame_max).await?;
            return Ok(FrameIo::websocket(socket, kind, peer));
        }
        Ok(FrameIo::stream(channel, kind, peer, frame_max))
    }
}

impl Arrived {
    /// The socket in the current runtime, and whether it was reached by a loopback address.
    fn join(self, options: &SocketOptions) -> io::Result<(Socket, bool)> {
        Ok(match self {
            Self::Tcp(stream, _) => {
                let local = stream.local_addr()?.ip().is_loopback();
                (Socket::tcp(TcpStream::from_std(stream)?, options)?, local)
            }
            Self::Unix(stream) => (Socket::unix(UnixStream::from_std(stream)?), true),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, rsocket\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
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
        // Compression is offered by every browser, and passed over.
        assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
    }

    #[tokio::test]
    async fn without_a_path_both_ends_mean_the_same() {
        let listener = bind("ws://127.0.0.1:0").await;
        assert_eq!(listener.uri().path(), "/rsocket");
        let bare = listener.uri().to_string().replace("/rsocket", "");
        let uri = bare.parse().unwrap();
        let accept = async { listener.accept().await.unwrap().open(100).await };
        let (near, far) = tokio::join!(connect(&uri, 100), accept);
        assert!(near.is_ok() && far.is_ok());
    }

    /// The beginning of a conversation, cut in every way; the client does not wait for the answer.
    #[tokio::test]
    async fn a_handshake_may_come_byte_by_byte_and_with_frames_behind() {
        let request = b"GET /rsocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
            Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Version: 13\r\n\r\n\x82\x86\0\0\0\0header";
        for size in [1, 7, request.len()] {
            let listener = bind("ws://127.0.0.1:0").await;
            let address = listener.local_address().unwrap();
            let client = async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                for piece in request.chunks(size) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                stream
            };
            let server = async { listener.accept().await.unwrap().open(100).await.unwrap() };
            let (_stream, mut io) = tokio::join!(client, server);
            assert_eq!(io.next_frame().await.unwrap().unwrap(), "header");
        }
    }

    #[tokio::test]
    async fn what_is_no_handshake_of_a_websocket_is_told() {
        for (request, status) in [
            ("GET /rsocket HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
            ("GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        ] {
            let listener = bind("ws://127.0.0.1:0").await;
            let address = listener.local_address().unwrap();
            let client = async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                answer
            };
            let server = async { listener.accept().await.unwrap().open(100).await };
            let (answer, opened) = tokio::join!(client, server);
            assert!(opened.is_err());
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert!(answer.contains("RSocket is spoken here"), "{answer}");
        }
        // A head without an end.
        let listener = bind("ws://127.0.0.1:0").await;
        let mut stream = TcpStream::connect(listener.local_address().unwrap())
            .await
            .unwrap();
        let endless = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(20_000));
        stream.write_all(endless.as_bytes()).await.unwrap();
        assert!(listener.accept().await.unwrap().open(100).await.is_err());
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
