//! What an HTTP request asks for: path, query and headers become a route, MIME types and a way to answer.
//!
//! | HTTP | RSocket |
//! |---|---|
//! | `/api/{service}/{method}`, `?group=`, `?version=` | the route, `[group!]service.method[:version]` |
//! | `X-Endpoint` | the tag `e=` |
//! | `Content-Type` | entry 0x7A; without one, or a form's as curl sends it, JSON |
//! | `Accept` | entry 0x7B; `text/event-stream` and `application/x-ndjson`: a stream |
//! | `Prefer: respond-async` | fire-and-forget |
//! | `Prefer: wait=5` | the time for the call, in seconds |

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use bytes::Bytes;
use jackfield_rsocket::metadata::{
    Auth, CompositeBuilder, EntryMime, Mime, encode_accept_mime_types, encode_mime_type,
    encode_tags,
};
use percent_encoding::percent_decode_str;

use super::fault::Fault;

const ENDPOINT: HeaderName = HeaderName::from_static("x-endpoint");
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Types of `Accept` that are passed on.
const ACCEPT_MAX: usize = 8;
const FORM: &str = "application/x-www-form-urlencoded";
const EVENTS: &str = "text/event-stream";
const LINES: [&str; 2] = ["application/x-ndjson", "application/jsonl"];

/// One call to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) metadata: Bytes,
    pub(super) wanted: Wanted,
    /// What the answer is when it does not say.
    pub(super) mime: String,
    pub(super) wait: Option<Duration>,
}

/// How the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Reply,
    Nothing,
    /// Server-sent events.
    Events,
    /// One item a line.
    Lines,
}

/// What is called, from the path and the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'r> {
    pub(super) service: &'r str,
    pub(super) method: &'r str,
    pub(super) query: &'r str,
}

impl Question {
    pub(super) fn read(named: Named<'_>, headers: &HeaderMap) -> Result<Self, Fault> {
        let route = route(named)?;
        let endpoint = text(headers, &ENDPOINT)?.map(|rule| format!("e={rule}"));
        let tags = [Some(route.as_str()), endpoint.as_deref()];
        let sent = content_type(headers)?;
        let (framing, mut accepted) = accepted(headers)?;
        if accepted.is_empty() {
            accepted.push(match framing {
                Some(_) => known(Mime::JSON),
                None => sent.clone(),
            });
        }
        let types = accepted.iter().map(|name| entry(name));
        let metadata = CompositeBuilder::new()
            .try_push(Mime::ROUTING, encode_tags(tags.into_iter().flatten()))
            .try_push(Mime::MIME_TYPE, encode_mime_type(entry(&sent)))
            .try_push(Mime::ACCEPT_MIME_TYPES, encode_accept_mime_types(types))
            .finish()
            .map_err(Fault::bad)?;
        let prefer = Prefer::of(headers)?;
        let wanted = match framing {
            Some(framing) => framing,
            None if prefer.asynchronous => Wanted::Nothing,
            None => Wanted::Reply,
        };
        Ok(Self {
            metadata,
            wanted,
            mime: accepted.swap_remove(0),
            wait: prefer.wait,
        })
    }
}

/// The grammar of routes has no escapes, so what would be read as something else is refused.
fn route(named: Named<'_>) -> Result<String, Fault> {
    let Named {
        service,
        method,
        query,
    } = named;
    let group = parameter(query, "group")?.unwrap_or_default();
    let version = parameter(query, "version")?.unwrap_or_default();
    for (what, part, but) in [
        ("the service", service, "!:?&"),
        ("the method", method, ".!:?&"),
        ("group", &group, "!:?&"),
        ("version", &version, "!:?&"),
    ] {
        let odd = |c: char| c.is_control() || c.is_whitespace() || but.contains(c);
        if part.contains(odd) || (part.is_empty() && what.starts_with("the")) {
            return Err(Fault::bad(format!("{what} cannot be named {part:?}")));
        }
    }
    let mut route = String::new();
    if !group.is_empty() {
        route = format!("{group}!");
    }
    route = format!("{route}{service}.{method}");
    if !version.is_empty() {
        route = format!("{route}:{version}");
    }
    Ok(route)
}

/// The first value of a name in a query.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Fault> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    });
    let Some(value) = value else {
        return Ok(None);
    };
    let bad = |_| Fault::bad(format!("{name} is no UTF-8"));
    percent_decode_str(value)
        .decode_utf8()
        .map(Some)
        .map_err(bad)
}

fn content_type(headers: &HeaderMap) -> Result<String, Fault> {
    let unsupported = |what: &str| {
        let text = format!("RST-910415: {what}");
        Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
    };
    let encoding = text(headers, &header::CONTENT_ENCODING)?;
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return unsupported("a body with Content-Encoding is not taken");
    }
    let Some(given) = text(headers, &header::CONTENT_TYPE)? else {
        return Ok(known(Mime::JSON));
    };
    match media_type(given) {
        // What curl says of any text.
        Some(name) if name == FORM => Ok(known(Mime::JSON)),
        Some(name) => Ok(name),
        None => unsupported("Content-Type is no media type"),
    }
}

/// The framing of a stream, and the types of what is answered, in the order given.
fn accepted(headers: &HeaderMap) -> Result<(Option<Wanted>, Vec<String>), Fault> {
    let mut framing = None;
    let mut types = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        let value = value.to_str();
        let value = value.map_err(|_| Fault::bad("Accept is no ASCII"))?;
        for item in value.split(',') {
            match media_type(item) {
                Some(name) if name == EVENTS => {
                    framing.get_or_insert(Wanted::Events);
                }
                Some(name) if LINES.contains(&name.as_str()) => {
                    framing.get_or_insert(Wanted::Lines);
                }
                Some(name) if !name.contains('*') && types.len() < ACCEPT_MAX => types.push(name),
                _ => {}
            }
        }
    }
    Ok((framing, types))
}

/// `Type/Sub; parameter=x` as `type/sub`, if it is one that can be passed on.
fn media_type(text: &str) -> Option<String> {
    let name = text.split(';').next()?.trim();
    let (main, sub) = name.split_once('/')?;
    let token = |part: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !part.is_empty() && part.bytes().all(legal)
    };
    let fits = token(main) && token(sub) && name.len() <= 127;
    fits.then(|| name.to_ascii_lowercase())
}

fn entry(name: &str) -> EntryMime<'_> {
    Mime::from_name(name).map_or(EntryMime::Named(name), EntryMime::WellKnown)
}

fn known(mime: Mime) -> String {
    mime.name().unwrap_or_default().to_owned()
}

/// RFC 7240.
#[derive(Debug, Default)]
struct Prefer {
    asynchronous: bool,
    wait: Option<Duration>,
}

impl Prefer {
    fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut prefer = Self::default();
        for value in headers.get_all(PREFER) {
            let value = value.to_str();
            let value = value.map_err(|_| Fault::bad("Prefer is no ASCII"))?;
            for item in value.split(',').map(str::trim) {
                if item.eq_ignore_ascii_case("respond-async") {
                    prefer.asynchronous = true;
                } else if let Some(seconds) = item.strip_prefix("wait=") {
                    let bad = |_| Fault::bad("wait is a number of seconds");
                    let seconds: u32 = seconds.trim_matches('"').parse().map_err(bad)?;
                    prefer.wait = Some(Duration::from_secs(seconds.max(1).into()));
                }
            }
        }
        Ok(prefer)
    }
}

/// The content of entry 0x7C that says what `Authorization` does. Of a token the scheme is not looked at, as in the
/// archived broker.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Fault> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let Some(given) = text(headers, &header::AUTHORIZATION)? else {
        return Ok(None);
    };
    let given = given.trim();
    let (scheme, value) = given.rsplit_once(' ').unwrap_or(("", given));
    let auth = if scheme.trim().eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(value).ok().map(String::from_utf8);
        let Some(Ok(decoded)) = decoded else {
            return Err(Fault::not_authenticated());
        };
        let (username, password) = decoded
            .split_once(':')
            .ok_or_else(Fault::not_authenticated)?;
        Auth::Simple { username, password }.encode()
    } else {
        Auth::Bearer(value).encode()
    };
    auth.map(Some).map_err(|_| Fault::not_authenticated())
}

/// A header that may be there once: two could be read differently by two readers.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        _ => Err(Fault::bad(format!("{name} is there twice, or no ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use jackfield_rsocket::metadata::{AcceptMimeTypes, Composite, Route, decode_mime_type};

    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn read(path: [&str; 3], given: &[(&'static str, &str)]) -> Result<Question, Fault> {
        let [service, method, query] = path;
        let named = Named {
            service,
            method,
            query,
        };
        Question::read(named, &headers(given))
    }

    fn entry_of(question: &Question, mime: Mime) -> Vec<u8> {
        let found = Composite::new(&question.metadata).find_mime(mime).unwrap();
        found.unwrap().content.to_vec()
    }

    #[test]
    fn path_query_and_endpoint_are_the_route() {
        for (path, given, expected) in [
            (["a.S", "m", ""], &[][..], ("", "a.S", "m", "", "")),
            (
                ["a.S", "m", "x=1&group=g%2e1&version=1.0.0"],
                &[("x-endpoint", "ip:10.0.0.1")],
                ("g.1", "a.S", "m", "1.0.0", "ip:10.0.0.1"),
            ),
        ] {
            let question = read(path, given).unwrap();
            let tags = entry_of(&question, Mime::ROUTING);
            let route = Route::from_tags(&tags).unwrap().unwrap();
            let found = (
                route.group,
                route.service,
                route.method,
                route.version,
                route.endpoint,
            );
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn names_that_would_be_read_as_something_else_are_refused() {
        for path in [
            ["a!b", "m", ""],
            ["a:1", "m", ""],
            ["a?e=ip:1", "m", ""],
            ["a&sticky=1", "m", ""],
            ["a", "m.n", ""],
            ["a", "m:2", ""],
            ["a", "", ""],
            ["a\n", "m", ""],
            ["a", "m", "group=a!b"],
            ["a", "m", "version=1%3Fe=ip:1"],
            ["a", "m", "version=%ff"],
            ["a", &"m".repeat(300), ""],
        ] {
            let fault = read(path, &[]).unwrap_err();
            assert_eq!(fault.status, StatusCode::BAD_REQUEST, "{path:?}");
        }
    }

    #[test]
    fn types_are_passed_on() {
        let json = "application/json";
        for (given, sent, accepted) in [
            (&[][..], json, json),
            (&[("content-type", FORM), ("accept", "*/*")], json, json),
            (
                &[("content-type", "Application/JSON; charset=utf-8")],
                json,
                json,
            ),
            (
                &[("content-type", "application/x-protobuf")],
                "application/x-protobuf",
                "application/x-protobuf",
            ),
            (
                &[("content-type", json), ("accept", "text/plain;q=0.5, */*")],
                json,
                "text/plain",
            ),
        ] {
            let question = read(["a", "m", ""], given).unwrap();
            let named = entry_of(&question, Mime::MIME_TYPE);
            assert_eq!(decode_mime_type(&named).unwrap().name(), Some(sent));
            let named = entry_of(&question, Mime::ACCEPT_MIME_TYPES);
            let first = AcceptMimeTypes::new(&named).next().unwrap().unwrap();
            assert_eq!(first.name(), Some(accepted));
            assert_eq!(question.mime, accepted);
        }
        for given in [
            ("content-type", "json"),
            ("content-type", "a/b/c"),
            ("content-encoding", "gzip"),
        ] {
            let fault = read(["a", "m", ""], &[given]).unwrap_err();
            assert_eq!(fault.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }

    #[test]
    fn preferences_say_how_it_is_answered() {
        let wait = |seconds| Some(Duration::from_secs(seconds));
        for (given, wanted, waits) in [
            (&[][..], Wanted::Reply, None),
            (&[("prefer", "respond-async")], Wanted::Nothing, None),
            (&[("prefer", "wait=5, x=y")], Wanted::Reply, wait(5)),
            (&[("prefer", "wait=0")], Wanted::Reply, wait(1)),
            (&[("accept", EVENTS)], Wanted::Events, None),
            (
                &[("accept", "application/x-ndjson, application/json")],
                Wanted::Lines,
                None,
            ),
            (
                &[("accept", EVENTS), ("prefer", "respond-async")],
                Wanted::Events,
                None,
            ),
        ] {
            let question = read(["a", "m", ""], given).unwrap();
            assert_eq!((question.wanted, question.wait), (wanted, waits));
        }
        assert!(read(["a", "m", ""], &[("prefer", "wait=soon")]).is_err());
    }

    #[test]
    fn credentials_are_read_like_the_archived_broker_reads_them() {
        let read = |given: &str| credentials(&headers(&[("authorization", given)]));
        let bearer = |token| Auth::Bearer(token).encode().unwrap();
        for (given, token) in [
            ("Bearer abc", "abc"),
            ("bearer  abc", "abc"),
            ("JWT abc", "abc"),
            ("abc", "abc"),
        ] {
            assert_eq!(read(given).unwrap().unwrap(), bearer(token));
        }
        let (username, password) = ("a", "b:c");
        let simple = Auth::Simple { username, password }.encode().unwrap();
        assert_eq!(read("Basic YTpiOmM=").unwrap().unwrap(), simple);
        for given in ["Basic !", "Basic YQ=="] {
            assert_eq!(read(given).unwrap_err().status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(credentials(&HeaderMap::new()).unwrap(), None);
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert!(credentials(&twice).is_err());
    }
}
