//! Who may talk to the admin face: the right Host, the face's own Origin, the token.
//!
//! Host and Origin keep a web page in the operator's browser from reaching a broker on loopback.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::telemetry::{AUDIT, RateLimit};

use super::{reply::Refusal, token::Token};

#[derive(Debug)]
pub(super) struct Guard {
    token: Token,
    /// Besides loopback names and bare addresses; in lower case.
    hosts: Vec<String>,
    refusals: RateLimit,
}

impl Guard {
    pub(super) fn new(token: Token, hosts: Vec<String>) -> Self {
        Self {
            token,
            hosts,
            refusals: RateLimit::default(),
        }
    }

    /// Whether the request carries the token.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|given| self.token.matches(given))
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = one(headers, &header::HOST).and_then(|host| host.parse::<Authority>().ok());
        let host = host.filter(|host| self.is_ours(host)).ok_or_else(|| {
            let todo = "use a loopback address, or list the name in admin.hosts";
            Refusal::new(StatusCode::FORBIDDEN, "this Host is not served here", todo)
        })?;
        if headers.contains_key(header::ORIGIN) && !self.is_own_origin(headers, &host) {
            let todo = "call from a program or from the broker's own pages";
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "this Origin may not call here",
                todo,
            ));
        }
        if !self.knows(headers) {
            let what = match bearer(headers) {
                Some(_) => "the token is not the admin token",
                None => "the admin token is missing",
            };
            let todo = "send Authorization: Bearer with the text of admin.token-file";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, what, todo));
        }
        Ok(())
    }

    /// A page that rebinds its name to our address still sends its name; a bare address is no name.
    fn is_ours(&self, authority: &Authority) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok()
            || self
                .hosts
                .iter()
                .any(|known| *known == host || known == authority.as_str())
    }

    fn is_own_origin(&self, headers: &HeaderMap, host: &Authority) -> bool {
        let Some(origin) = one(headers, &header::ORIGIN) else {
            return false;
        };
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        let Some(Ok(authority)) = authority.map(str::parse::<Authority>) else {
            return false;
        };
        let configured = self
            .hosts
            .iter()
            .any(|known| known == &authority.host().to_ascii_lowercase());
        authority == *host || configured
    }
}

/// Lets a request through or refuses it, and writes the audit log.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(200).collect();
    let refused = guard.check(request.headers()).err();
    let allowed = refused.is_none();
    let response = match refused {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    let status = response.status().as_u16();
    if !allowed {
        if let Some(passed) = guard.refusals.pass("admin-refused", Instant::now()) {
            let suppressed = passed.suppressed;
            tracing::warn!(target: AUDIT, %method, path, %remote, status, suppressed, "refused");
        }
    } else if method == Method::GET || method == Method::HEAD {
        tracing::debug!(target: AUDIT, %method, path, %remote, status, "read");
    } else {
        tracing::info!(target: AUDIT, %method, path, %remote, status, "action");
    }
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = one(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The header's text when it is there once: two could be read differently by two readers.
fn one<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}
