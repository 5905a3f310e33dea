//! The HTTP exchange that a WebSocket begins with.

use std::net::IpAddr;

use bytes::Buf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{
    ErrorResponse, Request, Response, create_response, write_response,
};
use tungstenite::handshake::{client, derive_accept_key};
use tungstenite::http::{HeaderMap, HeaderValue, StatusCode, Uri as HttpUri, header};

use super::super::channel::Channel;
use super::super::read_buffer::ReadBuffer;
use super::super::{NetError, Uri, pool};

/// Reads a client's request and answers it; what came behind it is returned.
pub(super) async fn accept(
    channel: &mut Channel,
    path: &str,
    local: bool,
) -> Result<ReadBuffer, NetError> {
    let (request, rest) = read_head::<Request>(channel).await?;
    let response = create_response(&request).map_err(|fault| {
        let text = format!("RSocket is spoken here over WebSocket: {fault}\n");
        refusal(StatusCode::BAD_REQUEST, text)
    });
    match response.and_then(|response| answer(path, local, &request, response)) {
        Ok(response) => write_head(channel, &response, "").await?,
        Err(refusal) => {
            let text = refusal.body().as_deref().unwrap_or_default();
            write_head(channel, &refusal, text).await?;
            channel.shutdown().await?;
            let bytes = refusal.map(|text| text.map(String::into_bytes));
            return Err(failed(tungstenite::Error::Http(Box::new(bytes))));
        }
    }
    Ok(rest)
}

/// Asks a server, and checks that it has understood; what came behind its answer is returned.
pub(super) async fn connect(channel: &mut Channel, uri: &Uri) -> Result<ReadBuffer, NetError> {
    let request = uri.to_string().into_client_request().map_err(failed)?;
    let (request, key) = client::generate_request(request).map_err(failed)?;
    channel.write_all(&request).await?;
    channel.flush().await?;
    let (response, rest) = read_head::<client::Response>(channel).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(failed(tungstenite::Error::Http(Box::new(response))));
    }
    let fault = if !names(response.headers(), &header::UPGRADE, "websocket") {
        ProtocolError::MissingUpgradeWebSocketHeader
    } else if !names(response.headers(), &header::CONNECTION, "upgrade") {
        ProtocolError::MissingConnectionUpgradeHeader
    } else if response
        .headers()
        .get(header::SEC_WEBSOCKET_ACCEPT)
        .map(HeaderValue::as_bytes)
        != Some(derive_accept_key(key.as_bytes()).as_bytes())
    {
        ProtocolError::SecWebSocketAcceptKeyMismatch
    } else if let Some(unasked) = [
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_PROTOCOL,
    ]
    .into_iter()
    .find(|name| response.headers().contains_key(name))
    {
        ProtocolError::InvalidHeader(Box::new(unasked))
    } else {
        return Ok(rest);
    };
    Err(failed(fault.into()))
}

/// Reads to the end of a request or an answer.
async fn read_head<T: TryParse>(channel: &mut Channel) -> Result<(T, ReadBuffer), NetError> {
    let mut buffer = pool::take();
    let mut seen = 0_usize;
    loop {
        if channel.read_buf(&mut buffer).await? == 0 {
            return Err(NetError::Truncated);
        }
        // Read as a whole only at first, when it shows whether this is HTTP at all, and at its end:
        // a head that comes byte by byte is not read over and over.
        let is_first = seen == 0;
        let fresh = &buffer[seen.saturating_sub(END.len() - 1)..];
        let worth_it = is_first || fresh.windows(END.len()).any(|bytes| bytes == END);
        if worth_it && let Some((size, head)) = T::try_parse(&buffer).map_err(failed)? {
            buffer.advance(size);
            return Ok((head, ReadBuffer::of(buffer)));
        }
        seen = buffer.len();
        if seen >= HEAD_MAX {
            return Err(failed(tungstenite::Error::AttackAttempt));
        }
    }
}

async fn write_head<T>(
    channel: &mut Channel,
    response: &tungstenite::http::Response<T>,
    text: &str,
) -> Result<(), NetError> {
    let mut bytes = Vec::new();
    write_response(&mut bytes, response).map_err(failed)?;
    bytes.extend_from_slice(text.as_bytes());
    channel.write_all(&bytes).await?;
    Ok(channel.flush().await?)
}

/// Whether a header holds this word, in any case, alone or in a list.
fn names(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    values.any(|list| {
        list.split(',')
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    })
}

fn refusal(status: StatusCode, text: String) -> Box<ErrorResponse> {
    let len = HeaderValue::from(text.len());
    let mut refusal = ErrorResponse::new(Some(text));
    *refusal.status_mut() = status;
    let headers = refusal.headers_mut();
    headers.insert(header::CONTENT_LENGTH, len);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Box::new(refusal)
}

fn failed(error: tungstenite::Error) -> NetError {
    NetError::WebSocket(Box::new(error))
}

const END: &[u8] = b"\r\n\r\n";

/// The longest request or answer.
const HEAD_MAX: usize = pool::BUFFER;

/// The answer to a client's handshake. No subprotocol is asked for; one called `rsocket` is
/// confirmed, because a browser that offered it hangs up otherwise.
fn answer(
    path: &str,
    local: bool,
    request: &Request,
    mut response: Response,
) -> Result<Response, Box<ErrorResponse>> {
    if request.uri().path() != path {
        let text = format!("RSocket is at {path}\n");
        return Err(refusal(StatusCode::NOT_FOUND, text));
    }
    if local && !origin_is_local(request) {
        let text = "pages of other machines may not use this listener\n".to_owned();
        return Err(refusal(StatusCode::FORBIDDEN, text));
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok());
    if offered.any(|list| list.split(',').any(|name| name.trim() == "rsocket")) {
        let rsocket = HeaderValue::from_static("rsocket");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, rsocket);
    }
    Ok(response)
}

/// Whether no page asks, or one of this machine. A browser lets any page open a WebSocket to
/// loopback, so who can reach a local listener is not decided by its address alone.
fn origin_is_local(request: &Request) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<HttpUri>().ok());
    let Some(host) = origin.as_ref().and_then(HttpUri::host) else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
