//! What an application answered, as an HTTP response.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use jackfield_rsocket::{
    endpoint::Message,
    metadata::{Composite, Mime, decode_mime_type},
};

/// One reply. `mime` is what it is when it does not say.
pub(super) fn reply(reply: Message, mime: &str) -> Response {
    let named = type_of(&reply);
    respond(
        StatusCode::OK,
        named.as_deref().unwrap_or(mime),
        Body::from(reply.data),
    )
}

/// Fire-and-forget: it is on its way.
pub(super) fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    let applied = HeaderValue::from_static("respond-async");
    response.headers_mut().insert("preference-applied", applied);
    response
}

/// Answers belong to who asked, and are what they say they are.
pub(super) fn respond(status: StatusCode, mime: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let octets = HeaderValue::from_static("application/octet-stream");
    let mime = HeaderValue::from_str(mime).unwrap_or(octets);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, mime);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn type_of(reply: &Message) -> Option<String> {
    let entry = Composite::new(reply.metadata.as_deref()?).find_mime(Mime::MIME_TYPE);
    let entry = entry.ok()??;
    let mime = decode_mime_type(entry.content).ok()?;
    mime.name().map(str::to_owned)
}
