//! The clients: connected, introduced, answered once, and then silent.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::BufMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, IpAddr, ServerName, pem::PemObject},
    },
};

use crate::frame;

/// Handshakes at a time; the broker admits twice as many from one address.
const AT_ONCE: usize = 32;
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Longer than any measurement: nobody has to say KEEPALIVE meanwhile.
const LIFETIME_MILLIS: u32 = 600_000;

const UPGRADE: &str = "GET /rsocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// How the broker is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Tls,
    WebSocket,
}

impl Transport {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::WebSocket];

    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "ws",
        }
    }
}

/// What to open.
#[derive(Debug, Clone)]
pub struct Dial {
    pub transport: Transport,
    pub address: SocketAddr,
    pub connections: usize,
    /// The certificate that a TLS listener must show; PEM.
    pub ca: Option<PathBuf>,
}

/// Connections that are held open.
#[derive(Debug)]
pub struct Held(Vec<Socket>);

impl Held {
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[derive(Debug)]
enum Socket {
    Plain(#[expect(dead_code, reason = "held open")] TcpStream),
    Tls(#[expect(dead_code, reason = "held open")] Box<TlsStream<TcpStream>>),
}

impl Dial {
    /// Opens all of them. Each has been answered once, so the broker knows each.
    pub async fn open(&self) -> io::Result<Held> {
        let tls = self.tls()?;
        let mut opening = JoinSet::new();
        let mut held = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            if opening.len() >= AT_ONCE {
                held.extend(joined(opening.join_next().await)?);
            }
            let (transport, address, tls) = (self.transport, self.address, tls.clone());
            opening.spawn(async move {
                let one = Box::pin(open(transport, address, tls));
                timeout(OPEN_MAX, one)
                    .await
                    .map_err(|_| io::ErrorKind::TimedOut)?
            });
        }
        while !opening.is_empty() {
            held.extend(joined(opening.join_next().await)?);
        }
        Ok(Held(held))
    }

    fn tls(&self) -> io::Result<Option<TlsConnector>> {
        let Some(file) = &self.ca else {
            return Ok(None);
        };
        let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(io::Error::other)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }
}

fn joined(
    opened: Option<Result<io::Result<Socket>, tokio::task::JoinError>>,
) -> io::Result<Option<Socket>> {
    opened
        .map(|opened| opened.map_err(io::Error::other)?)
        .transpose()
}

async fn open(
    transport: Transport,
    address: SocketAddr,
    tls: Option<TlsConnector>,
) -> io::Result<Socket> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match transport {
        Transport::Tcp => introduce(&mut stream).await?,
        Transport::WebSocket => introduce_by_websocket(&mut stream).await?,
        Transport::Tls => {
            let text = "a TLS listener is believed by its certificate: --ca FILE";
            let tls = tls.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, text))?;
            let name = ServerName::IpAddress(IpAddr::from(address.ip()));
            let mut stream = Box::new(tls.connect(name, stream).await?);
            introduce(&mut stream).await?;
            return Ok(Socket::Tls(stream));
        }
    }
    Ok(Socket::Plain(stream))
}

/// SETUP, and a KEEPALIVE whose answer says that it was taken.
async fn introduce(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut out = Vec::new();
    frame::put_setup_for(&mut out, b"", LIFETIME_MILLIS);
    frame::put_keepalive(&mut out, frame::RESPOND, b"");
    stream.write_all(&out).await?;
    stream.flush().await?;
    let mut answer = [0; 3 + 6 + 8];
    stream.read_exact(&mut answer).await?;
    check(&answer[3..])
}

async fn introduce_by_websocket(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(UPGRADE.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(
            String::from_utf8_lossy(&head).into_owned(),
        ));
    }
    let (mut setup, mut keepalive) = (Vec::new(), Vec::new());
    frame::put_setup_for(&mut setup, b"", LIFETIME_MILLIS);
    frame::put_keepalive(&mut keepalive, frame::RESPOND, b"");
    let mut out = Vec::new();
    for frame in [setup, keepalive] {
        // A message is a frame without its length; a mask of zeros is a mask.
        let frame = &frame[3..];
        out.put_slice(&[0x82, 0x80 | frame.len() as u8, 0, 0, 0, 0]);
        out.put_slice(frame);
    }
    stream.write_all(&out).await?;
    let mut answer = [0; 2 + 6 + 8];
    stream.read_exact(&mut answer).await?;
    check(&answer[2..])
}

fn check(frame: &[u8]) -> io::Result<()> {
    match frame[4] >> 2 {
        frame::KEEPALIVE => Ok(()),
        other => Err(io::Error::other(format!(
            "answered with a frame of type {other:#x}"
        ))),
    }
}
