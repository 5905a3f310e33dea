//! Who may talk to the admin face: the right Host, the face's own Origin, a token, and its role.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use serde_json::Value;
use tokio::time::timeout;

use super::{
    api::{ANSWER_TIMEOUT, too_slow},
    audit::{Audit, Deed, UNHEARD, shortened},
    hosts::{Hosts, one},
    operators::{Operator, Operators, Role},
    reply::Refusal,
};

#[derive(Debug)]
pub(super) struct Guard {
    operators: Operators,
    hosts: Hosts,
    audit: Audit,
}

/// Of an action's body, which is read to be written down.
const BODY_MAX: usize = 64 << 10;

impl Guard {
    pub(super) const fn new(operators: Operators, hosts: Hosts, audit: Audit) -> Self {
        Self {
            operators,
            hosts,
            audit,
        }
    }

    /// Whether the request carries a token that may read.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let operator = bearer(headers).and_then(|given| self.operators.find(given));
        operator.is_some_and(|operator| operator.has(Role::Read))
    }

    fn check(&self, headers: &HeaderMap) -> Result<&Operator, Refusal> {
        self.hosts.check(headers)?;
        let given = bearer(headers);
        given
            .and_then(|given| self.operators.find(given))
            .ok_or_else(|| {
                let what = match given {
                    Some(_) => "the token is not an admin token",
                    None => "the admin token is missing",
                };
                let todo = "send Authorization: Bearer with the text of admin.token-file";
                Refusal::new(StatusCode::UNAUTHORIZED, what, todo)
            })
    }
}

/// Lets a request through or refuses it, and writes the audit log. The role is for [`check_role`] to look at.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let action = format!("{} {path}", request.method());
    let operator = match guard.check(request.headers()) {
        Ok(operator) => operator.clone(),
        Err(refusal) => {
            let response = refusal.into_response();
            let status = response.status().as_u16();
            guard.audit.turned_away(&action, remote, status);
            return response;
        }
    };
    let who = operator.name.clone();
    let reads = reads(request.method());
    request.extensions_mut().insert(operator);
    if reads {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        guard.audit.read(&who, &action, remote, status);
        return response;
    }
    let mut line = Line {
        audit: &guard.audit,
        who: who.to_string(),
        remote,
        action,
        what: String::new(),
        status: UNHEARD,
    };
    let response = next.run(request).await;
    line.status = response.status().as_u16();
    if let Some(said) = response.extensions().get::<Said>() {
        line.what.clone_from(&said.0);
    }
    response
}

/// The line about an action. It is written when this is dropped: an action goes on when nobody waits for it any more.
struct Line<'g> {
    audit: &'g Audit,
    who: String,
    remote: SocketAddr,
    action: String,
    what: String,
    status: u16,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.audit.acted(&Deed {
            who: &self.who,
            remote: self.remote,
            action: &self.action,
            what: &self.what,
            status: self.status,
        });
    }
}

/// Stands before one route.
pub(super) async fn check_role(role: Role, request: Request, next: Next) -> Response {
    let operator = request.extensions().get::<Operator>();
    if !operator.is_some_and(|operator| operator.has(role)) {
        let (name, role) = (operator.map_or("", |it| &it.name), role.as_str());
        let what = format!("the token `{name}` does not have the role `{role}`");
        let todo = "use a token that has it, or add it to the roles of its [[admin.token]]";
        return Refusal::new(StatusCode::FORBIDDEN, what, todo).into_response();
    }
    match reads(request.method()) {
        true => next.run(request).await,
        false => act(request, next).await,
    }
}

/// What an action's body said, for the audit log.
#[derive(Clone, Debug)]
struct Said(String);

async fn act(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = match timeout(ANSWER_TIMEOUT, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let (what, todo) = (
                "the body is too large, or breaks off",
                "send at most 64 KiB",
            );
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, what, todo).into_response();
        }
        Err(_) => return too_slow(),
    };
    let said = said(&body);
    let request = Request::from_parts(head, Body::from(body));
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Said(said));
    response
}

/// The beginning of a body. What an event carries is not written down: it may be configuration, with secrets in it.
fn said(body: &[u8]) -> String {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return shortened(body);
    };
    match value.pointer_mut("/event/data") {
        Some(data) => {
            *data = format!("{} bytes", data.to_string().len()).into();
            shortened(value.to_string().as_bytes())
        }
        None => shortened(body),
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = one(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
