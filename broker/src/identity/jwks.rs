//! Fetches a JSON Web Key Set: https, or http on loopback; no redirects, bounded in size and time.

use std::{fs, future::poll_fn, path::Path, pin::Pin, sync::Arc, time::Duration};

use hyper::{
    Request, StatusCode, Uri,
    body::{Body, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

const TIME_MAX: Duration = Duration::from_secs(4);
const BYTES_MAX: usize = 256 * 1024;

/// Whether a key set may be fetched from there; if not, what to write instead.
pub fn check_url(url: &str) -> Result<(), String> {
    let todo = || "write an https:// URL; http:// is for loopback only".to_owned();
    let uri: Uri = url.parse().map_err(|_| todo())?;
    let host = uri.host().filter(|host| !host.is_empty());
    match (uri.scheme_str(), host) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(()),
        _ => Err(todo()),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

pub(super) async fn fetch(url: &str, authorities: Option<&Path>) -> Result<Vec<u8>, String> {
    check_url(url)?;
    let uri: Uri = url.parse().map_err(|_| "is no URL".to_owned())?;
    timeout(TIME_MAX, get(&uri, authorities))
        .await
        .map_err(|_| format!("no answer within {} s", TIME_MAX.as_secs()))?
}

async fn get(uri: &Uri, authorities: Option<&Path>) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let host = uri.host().unwrap_or_default();
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let socket = TcpStream::connect((plain, port))
        .await
        .map_err(|error| text(&error))?;
    if !secure {
        return ask(socket, uri).await;
    }
    let name = ServerName::try_from(plain.to_owned()).map_err(|error| text(&error))?;
    let tls = TlsConnector::from(client(authorities)?)
        .connect(name, socket)
        .await
        .map_err(|error| text(&error))?;
    ask(tls, uri).await
}

fn client(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let pem = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

async fn ask<S>(socket: S, uri: &Uri) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // The connection works only while it is polled, and ends with the answer.
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(String::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("answered {}", answer.status()));
    }
    let body = collect(answer.into_body()).await;
    connection.abort();
    body
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > BYTES_MAX {
            return Err(format!("is longer than {BYTES_MAX} bytes"));
        }
    }
    Ok(bytes)
}
