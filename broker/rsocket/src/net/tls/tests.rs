use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::net::{
    Body, DialOptions, FRAME_MAX, FrameIo, ListenOptions, Listener, NetError, Peer, connect_with,
};

/// An authority, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

struct Signed {
    certificate: Vec<u8>,
    key: Vec<u8>,
    fingerprint: [u8; 32],
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn sign(&self, names: &[&str]) -> Signed {
        self.sign_until(names, 2096)
    }

    fn sign_until(&self, names: &[&str], year: i32) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "orders");
        params
            .subject_alt_names
            .push(SanType::URI("spiffe://example/orders".try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let fingerprint = ring_digest(certificate.der());
        Signed {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            fingerprint,
        }
    }
}

fn ring_digest(bytes: &[u8]) -> [u8; 32] {
    let hash = ::ring::digest::digest(&::ring::digest::SHA256, bytes);
    hash.as_ref().try_into().unwrap()
}

impl Signed {
    fn material(&self, clients: ClientAuth<'_>) -> TlsMaterial {
        TlsMaterial::new(&self.certificate, &self.key, clients).unwrap()
    }
}

fn client(trust: &Authority, show: Option<&Signed>) -> DialOptions {
    named_client(trust, show, None)
}

fn named_client(trust: &Authority, show: Option<&Signed>, name: Option<&str>) -> DialOptions {
    let tls = TlsClient::new(&TlsClientOptions {
        authorities: Some(trust.pem.clone()),
        certificate: show.map(|it| (it.certificate.clone(), it.key.clone())),
        server_name: name.map(str::to_owned),
    });
    DialOptions {
        tls: Some(tls.unwrap()),
        ..DialOptions::default()
    }
}

async fn bind(uri: &str, server: &Arc<TlsServer>) -> Listener {
    let options = ListenOptions {
        tls: Some(Arc::clone(server)),
        ..ListenOptions::default()
    };
    let uri = uri.parse().unwrap();
    Listener::bind_with(&uri, &options).await.unwrap()
}

fn server(material: TlsMaterial) -> Arc<TlsServer> {
    Arc::new(TlsServer::new(material))
}

type Opened = Result<FrameIo, NetError>;

async fn join(listener: &Listener, options: &DialOptions) -> (Opened, Opened) {
    let dial = connect_with(listener.uri(), FRAME_MAX, options);
    let accept = async { listener.accept().await.unwrap().open(FRAME_MAX).await };
    tokio::join!(dial, accept)
}

async fn echo(mut io: FrameIo) {
    while let Some(frame) = io.next_frame().await {
        io.push(b"echo: ", Body::Share(frame.unwrap()));
        io.flush().await.unwrap();
    }
    io.shutdown().await.unwrap();
}

async fn ask(io: &mut FrameIo, body: &[u8]) -> Bytes {
    io.push(b"header", Body::Copy(body));
    io.flush().await.unwrap();
    assert_eq!(io.queued(), 0);
    io.next_frame().await.unwrap().unwrap()
}

#[tokio::test]
async fn frames_cross_both_ways_and_the_server_is_known() {
    let authority = Authority::new();
    let signed = authority.sign(&["127.0.0.1"]);
    for kind in ["tls", "wss"] {
        let server = server(signed.material(ClientAuth::None));
        let listener = bind(&format!("{kind}://127.0.0.1:0"), &server).await;
        let (near, far) = join(&listener, &client(&authority, None)).await;
        let (mut near, far) = (near.unwrap(), far.unwrap());
        assert_eq!((near.kind().as_str(), far.kind().as_str()), (kind, kind));
        assert!(matches!(far.peer(), Peer::Address(_)));
        assert!(far.tls_identity().is_none(), "the client showed nothing");
        let seen = near.tls_identity().unwrap();
        assert_eq!(seen.fingerprint, signed.fingerprint);
        let far = tokio::spawn(echo(far));
        let large = vec![5; 3 << 20];
        for body in [&b""[..], b"+small", &large] {
            let answer = ask(&mut near, body).await;
            assert!(answer[..12] == *b"echo: header" && answer[12..] == *body);
        }
        near.shutdown().await.unwrap();
        assert!(near.next_frame().await.is_none(), "{kind}");
        far.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_shows_a_certificate_is_known_by_it() {
    let authority = Authority::new();
    let signed = authority.sign(&["127.0.0.1"]);
    let orders = authority.sign(&["orders.example", "10.1.2.3"]);
    for clients in [
        ClientAuth::Required(&authority.pem),
        ClientAuth::Optional(&authority.pem),
    ] {
        let server = server(signed.material(clients));
        let listener = bind("tls://127.0.0.1:0", &server).await;
        let (near, far) = join(&listener, &client(&authority, Some(&orders))).await;
        let far = far.unwrap();
        let identity = far.tls_identity().unwrap();
        assert_eq!(identity.fingerprint, orders.fingerprint);
        assert!(identity.subject.contains("CN=orders"), "{identity:?}");
        let names: Vec<String> = identity.names.iter().map(AltName::to_string).collect();
        let expected = [
            "DNS:orders.example",
            "IP:10.1.2.3",
            "URI:spiffe://example/orders",
        ];
        assert_eq!(names, expected);
        drop(near);
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_refused_at_the_handshake() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let signed = authority.sign(&["127.0.0.1"]);
    let foreign = stranger.sign(&["orders.example"]);
    let expired = authority.sign_until(&["orders.example"], 2001);
    let (required, optional) = (
        ClientAuth::Required(&authority.pem),
        ClientAuth::Optional(&authority.pem),
    );
    for (clients, show, served) in [
        (required, None, false),
        (required, Some(&foreign), false),
        (required, Some(&expired), false),
        (optional, None, true),
        (optional, Some(&foreign), false),
        (ClientAuth::None, Some(&foreign), true),
    ] {
        let server = server(signed.material(clients));
        let listener = bind("tls://127.0.0.1:0", &server).await;
        let (near, far) = join(&listener, &client(&authority, show)).await;
        assert_eq!(far.is_ok(), served);
        if let Err(error) = far {
            assert!(matches!(error, NetError::Tls(_)), "{error}");
            // In TLS 1.3 the client learns it when it reads.
            let mut near = near.unwrap();
            assert!(near.next_frame().await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn a_client_trusts_its_authorities_and_the_name_only() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let signed = authority.sign(&["broker.example"]);
    let server = server(signed.material(ClientAuth::None));
    let listener = bind("tls://127.0.0.1:0", &server).await;
    for (trust, name, served) in [
        (&authority, Some("broker.example"), true),
        (&authority, Some("other.example"), false),
        (&authority, None, false),
        (&stranger, Some("broker.example"), false),
    ] {
        let options = named_client(trust, None, name);
        let (near, _far) = join(&listener, &options).await;
        assert_eq!(near.is_ok(), served, "{name:?}");
    }
    let wrong = TlsClient::new(&TlsClientOptions {
        authorities: Some(authority.pem.clone()),
        server_name: Some("no name".to_owned()),
        ..TlsClientOptions::default()
    });
    assert_eq!(wrong.unwrap_err().part, TlsPart::ServerName);
}

#[tokio::test]
async fn a_replaced_certificate_is_for_new_connections() {
    let authority = Authority::new();
    let (old, new) = (
        authority.sign(&["127.0.0.1"]),
        authority.sign(&["127.0.0.1"]),
    );
    let server = server(old.material(ClientAuth::None));
    let listener = bind("tls://127.0.0.1:0", &server).await;
    // The same client each time: it would resume the session if it could.
    let options = client(&authority, None);
    let (living, far) = join(&listener, &options).await;
    let mut living = living.unwrap();
    tokio::spawn(echo(far.unwrap()));
    assert_eq!(ask(&mut living, b"+1").await, "echo: header+1");

    assert!(!server.replace(old.material(ClientAuth::None)), "the same");
    assert!(server.replace(new.material(ClientAuth::None)));
    let (next, _far) = join(&listener, &options).await;
    let next = next.unwrap();
    let fingerprint = |io: &FrameIo| io.tls_identity().unwrap().fingerprint;
    assert_eq!(fingerprint(&next), new.fingerprint);
    assert_eq!(ask(&mut living, b"+2").await, "echo: header+2");
    assert_eq!(fingerprint(&living), old.fingerprint);
}

/// No handshake meets half of one certificate and half of another.
#[tokio::test]
async fn a_hundred_replacements_fail_no_handshake() {
    let authority = Authority::new();
    let both = [
        authority.sign(&["127.0.0.1"]),
        authority.sign(&["127.0.0.1"]),
    ];
    let server = server(both[0].material(ClientAuth::None));
    let listener = bind("tls://127.0.0.1:0", &server).await;
    let options = client(&authority, None);
    for turn in 1..=100 {
        let dial = connect_with(listener.uri(), FRAME_MAX, &options);
        let accept = async { listener.accept().await.unwrap().open(FRAME_MAX).await };
        let replace = async { server.replace(both[turn % 2].material(ClientAuth::None)) };
        let (near, far, replaced) = tokio::join!(dial, accept, replace);
        assert!(far.is_ok() && replaced);
        let seen = near.unwrap().tls_identity().unwrap().fingerprint;
        assert!(both.iter().any(|it| it.fingerprint == seen));
    }
}

#[test]
fn material_that_does_not_work_is_refused_with_its_part() {
    let authority = Authority::new();
    let (one, other) = (authority.sign(&["a"]), authority.sign(&["a"]));
    let none: &[u8] = b"no PEM in here";
    let cut = &one.key[..one.key.len() - 40];
    let bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate, key, clients, part, words) in [
        (
            &one.certificate[..],
            &other.key[..],
            None,
            TlsPart::Key,
            "does not belong",
        ),
        (none, &one.key, None, TlsPart::Certificate, "no certificate"),
        (&one.certificate, none, None, TlsPart::Key, "no private key"),
        (
            &one.certificate,
            &one.certificate,
            None,
            TlsPart::Key,
            "no private key",
        ),
        (&one.certificate, cut, None, TlsPart::Key, "PEM"),
        (bad, &one.key, None, TlsPart::Certificate, "cannot be used"),
        (
            &one.certificate,
            &one.key,
            Some(none),
            TlsPart::Authorities,
            "no certificate",
        ),
        (
            &one.certificate,
            &one.key,
            Some(&bad[..]),
            TlsPart::Authorities,
            "cannot be used",
        ),
    ] {
        let clients = clients.map_or(ClientAuth::None, ClientAuth::Required);
        let error = TlsMaterial::new(certificate, key, clients).unwrap_err();
        assert_eq!(error.part, part, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("BEGIN"), "no secrets");
    }
}

#[test]
fn a_chain_ends_with_the_first_of_its_certificates() {
    let authority = Authority::new();
    let long = authority.sign_until(&["a"], 2090);
    let short = authority.sign_until(&["a"], 2030);
    let both = [&long.certificate[..], &short.certificate].concat();
    let material = TlsMaterial::new(&both, &long.key, ClientAuth::None).unwrap();
    // 2030-01-01T00:00:00Z
    let end = std::time::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
    assert_eq!(material.not_after(), end);
    assert!(material.not_before() < end);
}

#[tokio::test]
async fn a_listener_with_tls_has_a_certificate() {
    let uri = "tls://127.0.0.1:0".parse().unwrap();
    let error = Listener::bind(&uri).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn who_speaks_no_tls_is_no_peer() {
    let authority = Authority::new();
    let server = server(authority.sign(&["a"]).material(ClientAuth::None));
    let listener = bind("tls://127.0.0.1:0", &server).await;
    let mut stream = TcpStream::connect(listener.local_address().unwrap())
        .await
        .unwrap();
    stream.write_all(b"\0\0\x06\0\0\0\0\x04\0").await.unwrap();
    let opened = listener.accept().await.unwrap().open(100).await;
    assert!(matches!(opened, Err(NetError::Tls(_))));
    let mut answer = Vec::new();
    // An alert, then the end.
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&21));
}

#[tokio::test]
async fn an_end_without_goodbye_is_an_end_and_a_cut_frame_is_an_error() {
    let authority = Authority::new();
    let server = server(authority.sign(&["127.0.0.1"]).material(ClientAuth::None));
    let listener = bind("tls://127.0.0.1:0", &server).await;
    let dial = client(&authority, None).tls.unwrap();
    for cut in [false, true] {
        let client = async {
            let address = listener.local_address().unwrap();
            let socket = TcpStream::connect(address).await.unwrap();
            let mut tls = dial.connect("127.0.0.1", socket).await.unwrap();
            tls.write_all(b"\0\0\x06header\0\0\x06").await.unwrap();
            if !cut {
                tls.write_all(b"header").await.unwrap();
            }
            tls.flush().await.unwrap();
            // The socket closes, TLS does not.
            drop(tls);
        };
        let accept = async { listener.accept().await.unwrap().open(100).await.unwrap() };
        let (mut far, ()) = tokio::join!(accept, client);
        assert_eq!(far.next_frame().await.unwrap().unwrap(), "header");
        if cut {
            let end = far.next_frame().await.unwrap();
            assert!(matches!(end, Err(NetError::Truncated)));
        } else {
            assert_eq!(far.next_frame().await.unwrap().unwrap(), "header");
            assert!(far.next_frame().await.is_none());
        }
    }
}

/// What TLS has taken and the socket has not is still queued, and bytes are counted where the
/// network is.
#[tokio::test]
async fn what_tls_holds_back_is_queued() {
    let authority = Authority::new();
    let server = server(authority.sign(&["127.0.0.1"]).material(ClientAuth::None));
    for kind in ["tls", "wss"] {
        let listener = bind(&format!("{kind}://127.0.0.1:0"), &server).await;
        let (near, far) = join(&listener, &client(&authority, None)).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        let (before, body) = (near.bytes_written(), Bytes::from(vec![1; 12 << 20]));
        near.push(b"header", Body::Share(body.clone()));
        let once = poll_fn(|cx| Poll::Ready(near.poll_flush(cx))).await;
        assert!(
            once.is_pending(),
            "{kind}: no socket buffer holds that much"
        );
        let moved = near.bytes_written() - before;
        assert!(moved > 0 && near.queued() > 0);
        assert!(near.queued() + moved as usize > body.len(), "{kind}");
        let (flushed, frame) = tokio::join!(near.flush(), far.next_frame());
        flushed.unwrap();
        assert_eq!(near.queued(), 0);
        assert!(frame.unwrap().unwrap()[6..] == body);
        assert!(near.bytes_written() - before > body.len() as u64, "{kind}");
        assert!(far.bytes_read() > body.len() as u64, "{kind}");
    }
}
