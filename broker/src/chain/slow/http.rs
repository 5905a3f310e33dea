//! One HTTP request of a plugin: only to an allowed host, only to an address that was checked after the name was looked
//! up, without redirects, bounded in size. Time is bounded by the caller.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Uri,
    body::{Body, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use jackfield_plugin_host::{HttpFailure, HttpRequest, HttpResponse};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

use super::Outbound;

/// Of an answer's body.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 100;

/// Set by the host: they frame the message or name its place.
const OURS: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// What a URL says, as far as it was allowed.
struct Place {
    secure: bool,
    host: String,
    port: u16,
    uri: Uri,
}

pub(super) async fn send(
    outbound: &Outbound,
    request: HttpRequest,
) -> Result<HttpResponse, HttpFailure> {
    let place = allowed(outbound, &request.url)?;
    let request = prepared(&place, request)?;
    let socket = connect(outbound, &place).await?;
    if !place.secure {
        return ask(socket, request).await;
    }
    let name = ServerName::try_from(place.host).map_err(broken)?;
    let config = TLS.clone().map_err(HttpFailure::Broken)?;
    let tls = TlsConnector::from(config).connect(name, socket).await;
    ask(tls.map_err(broken)?, request).await
}

fn allowed(outbound: &Outbound, url: &str) -> Result<Place, HttpFailure> {
    let denied = |why: &str| HttpFailure::Denied(why.to_owned());
    let uri: Uri = url.parse().map_err(|_| denied("that is no URL"))?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(denied("only http:// and https:// are spoken")),
    };
    let authority = uri.authority().ok_or_else(|| denied("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(denied("no user and password may be in the URL"));
    }
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = authority
        .port_u16()
        .unwrap_or(if secure { 443 } else { 80 });
    if !outbound.allows(host, port) {
        let why = format!("{host}:{port} is not in the plugin's `http-hosts`");
        return Err(HttpFailure::Denied(why));
    }
    let host = host.to_ascii_lowercase();
    Ok(Place {
        secure,
        host,
        port,
        uri,
    })
}

fn prepared(place: &Place, request: HttpRequest) -> Result<Request<Whole>, HttpFailure> {
    let denied = |why: String| HttpFailure::Denied(why);
    let method: Method = { request.method.parse() }
        .map_err(|_| denied(format!("`{}` is no method", request.method)))?;
    if method == Method::CONNECT {
        return Err(denied("CONNECT is not spoken".into()));
    }
    if request.headers.len() > HEADERS_MAX {
        return Err(denied(format!("more than {HEADERS_MAX} headers")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers {
        let (Ok(name), Ok(value)) = (
            HeaderName::try_from(&name),
            HeaderValue::try_from(value.as_str()),
        ) else {
            return Err(denied(format!("the header `{name}` cannot be sent")));
        };
        if OURS.contains(&name) || name.as_str().starts_with("proxy-") {
            return Err(denied(format!("the header `{name}` is the host's to set")));
        }
        headers.append(name, value);
    }
    let authority = place.uri.authority().map_or("", |it| it.as_str());
    let host = HeaderValue::try_from(authority).map_err(broken)?;
    headers.insert(header::HOST, host);
    let path = place.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut prepared = Request::new(Whole(Some(request.body.into())));
    *prepared.method_mut() = method;
    *prepared.uri_mut() = path.parse().map_err(broken)?;
    *prepared.headers_mut() = headers;
    Ok(prepared)
}

/// What is connected to is what was checked: the name is looked up once.
async fn connect(outbound: &Outbound, place: &Place) -> Result<TcpStream, HttpFailure> {
    let found = match place.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, place.port)],
        Err(_) => { lookup_host((&*place.host, place.port)).await }
            .map_err(broken)?
            .collect(),
    };
    if let Some(forbidden) = found.iter().find(|found| !outbound.admits(found.ip())) {
        let (host, ip) = (&place.host, forbidden.ip());
        let why = format!("{host} is {ip}, which is not public; `http-private = true` allows it");
        return Err(HttpFailure::Denied(why));
    }
    TcpStream::connect(&*found).await.map_err(broken)
}

async fn ask<S>(socket: S, request: Request<Whole>) -> Result<HttpResponse, HttpFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    // The connection works only while it is polled.
    let mut connection = std::pin::pin!(connection);
    let answered = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        Ok(HttpResponse {
            status: head.status.as_u16(),
            headers: texts(&head.headers),
            body: collect(body).await?,
        })
    };
    let mut answered = std::pin::pin!(answered);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            result = &mut answered => return result,
            // What it ends with shows in the answer.
            _ = &mut connection, if open => open = false,
        }
    }
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, HttpFailure> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(broken)?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(HttpFailure::TooLarge);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn broken(error: impl ToString) -> HttpFailure {
    HttpFailure::Broken(error.to_string())
}

/// Read once: it takes milliseconds.
static TLS: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
});

/// A body in one piece.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        let whole = self.0.take().filter(|bytes| !bytes.is_empty());
        std::task::Poll::Ready(whole.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn get(url: &str) -> HttpRequest {
        HttpRequest {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    fn outbound(port: u16, private: bool) -> Outbound {
        let hosts = ["127.0.0.1", "localhost"].map(|host| (host.to_owned(), port));
        Outbound {
            hosts: hosts.to_vec(),
            private,
        }
    }

    /// Answers one request with these bytes, and gives back what it read.
    async fn server(answer: Vec<u8>) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut some = [0; 1024];
                let len = socket.read(&mut some).await.unwrap();
                read.extend_from_slice(&some[..len]);
            }
            // A client that has had enough closes early.
            let _ = socket.write_all(&answer).await;
            String::from_utf8(read).unwrap()
        });
        (port, served)
    }

    #[tokio::test]
    async fn an_allowed_host_is_asked_and_a_redirect_is_an_answer() {
        let answer =
            "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 2\r\n\r\nhi";
        let (port, served) = server(answer.into()).await;
        let mut request = get(&format!("http://127.0.0.1:{port}/path?x=1"));
        request.headers.push(("Authorization".into(), "x".into()));
        let response = send(&outbound(port, true), request).await.unwrap();
        assert_eq!((response.status, &*response.body), (302, &b"hi"[..]));
        let location = ("location".to_owned(), "http://10.0.0.1/".to_owned());
        assert!(response.headers.contains(&location));
        let read = served.await.unwrap();
        assert!(read.starts_with("GET /path?x=1 HTTP/1.1\r\n"), "{read}");
        assert!(read.contains(&format!("host: 127.0.0.1:{port}\r\n")));
        assert!(read.contains("authorization: x\r\n"));
    }

    #[tokio::test]
    async fn an_address_is_checked_after_its_name_is_looked_up() {
        for host in ["127.0.0.1", "localhost"] {
            let request = get(&format!("http://{host}:9/"));
            let failure = send(&outbound(9, false), request).await.unwrap_err();
            assert!(
                matches!(&failure, HttpFailure::Denied(why) if why.contains("not public")),
                "{failure:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_allowed_is_not_sent() {
        let denied = |request: HttpRequest| async move {
            let failure = send(&outbound(9, true), request).await.unwrap_err();
            assert!(matches!(failure, HttpFailure::Denied(_)), "{failure:?}");
        };
        for url in [
            "http://other.example/",
            "http://127.0.0.1:10/",
            "http://user:secret@127.0.0.1:9/",
            "http://127.0.0.1:9@other.example/",
            "ftp://127.0.0.1:9/",
            "/path",
            "",
        ] {
            denied(get(url)).await;
        }
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Proxy-Authorization",
            "a b",
        ] {
            let mut request = get("http://127.0.0.1:9/");
            request.headers.push((name.into(), "x".into()));
            denied(request).await;
        }
        let mut split = get("http://127.0.0.1:9/");
        split.headers.push(("x".into(), "1\r\nhost: evil".into()));
        denied(split).await;
        let mut connect = get("http://127.0.0.1:9/");
        connect.method = "CONNECT".into();
        denied(connect).await;
    }

    #[tokio::test]
    async fn a_giant_answer_is_cut_off() {
        let mut answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        answer.resize(answer.len() + ANSWER_BYTES_MAX + 1, b'x');
        let (port, _served) = server(answer).await;
        let request = get(&format!("http://127.0.0.1:{port}/"));
        let failure = send(&outbound(port, true), request).await.unwrap_err();
        assert_eq!(failure, HttpFailure::TooLarge);
    }
}
