use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Path, RawQuery, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use jackfield_rsocket::{
    endpoint::{Budget, Message, Requester, Share},
    net::Peer,
};
use prometheus::Registry;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    Config, answer, archived,
    callers::Callers,
    fault::{BODIES_FULL, Fault},
    metrics::Metrics,
    question::{Named, Question, Wanted, credentials},
    stream::{self, Items},
};
use crate::{
    identity::{Credentials, Identity, Judgement, Principal, Right},
    relay::{Asker, Directory, Relay},
};

/// The door of the room.
#[derive(Clone)]
pub struct Gateway {
    desk: Arc<Desk>,
}

/// Where a gateway gets what it needs.
pub struct Parts<'r> {
    pub relay: Arc<Relay>,
    pub identity: Arc<Identity>,
    pub directory: Arc<Directory>,
    /// URIs of the brokers that tools are told of, as they are now.
    pub brokers: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    pub registry: &'r Registry,
}

/// What calls share.
pub(super) struct Desk {
    config: Config,
    identity: Arc<Identity>,
    pub(super) directory: Arc<Directory>,
    pub(super) brokers: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    pub(super) callers: Callers,
    /// Asks applications in the name of the broker.
    pub(super) asker: Asker,
    budget: Budget,
    room: Arc<Semaphore>,
    metrics: Metrics,
}

impl Gateway {
    pub fn new(config: Config, parts: Parts<'_>) -> prometheus::Result<Self> {
        let budget = Budget::new(config.memory);
        let desk = Desk {
            identity: parts.identity,
            directory: parts.directory,
            brokers: parts.brokers,
            asker: Asker::new(parts.relay.clone(), config.message, Some(budget.clone())),
            callers: Callers::new(parts.relay, budget.clone(), &config),
            budget,
            room: Arc::new(Semaphore::new(config.concurrency)),
            metrics: Metrics::register(parts.registry)?,
            config,
        };
        let desk = Arc::new(desk);
        Ok(Self { desk })
    }

    /// What is to be served. The calls are made on the runtime that serves it.
    pub fn routes(&self) -> Router {
        let methods = MethodFilter::GET
            .or(MethodFilter::POST)
            .or(MethodFilter::PUT)
            .or(MethodFilter::PATCH)
            .or(MethodFilter::DELETE);
        archived::routes(Router::new())
            .route(
                "/api/{service}/{method}",
                on(methods, call).head(not_for_calls),
            )
            .with_state(Arc::clone(&self.desk))
    }
}

#[cfg(test)]
impl Gateway {
    /// Callers that are remembered.
    pub(super) fn callers(&self) -> usize {
        self.desk.callers.len()
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

/// To ask for the head of an answer would be to make the call.
async fn not_for_calls() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

async fn call(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path((service, method)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let mut counted = Counted::new(&desk.metrics);
    let (head, body) = request.into_parts();
    let named = Named {
        service: &service,
        method: &method,
        query: query.as_deref().unwrap_or_default(),
    };
    let called = desk.call(named, &head.headers, remote, body, &mut counted);
    let response = called.await.unwrap_or_else(IntoResponse::into_response);
    counted.set(response.status());
    response
}

impl Desk {
    async fn call(
        &self,
        named: Named<'_>,
        headers: &HeaderMap,
        remote: SocketAddr,
        body: Body,
        counted: &mut Counted,
    ) -> Result<Response, Fault> {
        let busy = self.enter()?;
        let auth = credentials(headers)?;
        let who = self.admit(auth.as_deref(), remote).await?;
        let question = Question::read(named, headers)?;
        let end = Instant::now() + self.time(&question);
        let late = |_| {
            let text = "RST-910433: the body did not come in time";
            Fault::new(StatusCode::REQUEST_TIMEOUT, text)
        };
        let data = timeout_at(end, self.read(body)).await.map_err(late)??;
        let request = Message::new(data).with_metadata(question.metadata.clone());
        let answering = async {
            let requester = self.callers.requester(auth.as_deref(), who).await?;
            self.ask(&requester, request, &question, busy, counted)
                .await
        };
        timeout_at(end, answering)
            .await
            .map_err(|_| Fault::late())?
    }

    async fn ask(
        &self,
        requester: &Requester,
        request: Message,
        question: &Question,
        busy: Busy,
        counted: &mut Counted,
    ) -> Result<Response, Fault> {
        match question.wanted {
            Wanted::Nothing => {
                requester.fire_and_forget(request).await?;
                Ok(answer::accepted())
            }
            Wanted::Reply => {
                let reply = requester.request_response(request).await?;
                Ok(answer::reply(reply, &question.mime))
            }
            framing @ (Wanted::Events | Wanted::Lines) => {
                let incoming = requester.request_stream(request, stream::credit()).await?;
                let items = Items::begin(incoming, framing, busy, counted).await?;
                let body = Body::from_stream(items);
                let mime = Items::media_type(framing);
                Ok(answer::respond(StatusCode::OK, mime, body))
            }
        }
    }

    /// A place among the calls that are being made.
    pub(super) fn enter(&self) -> Result<Busy, Fault> {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.map_err(|_| Fault::full("http.concurrency calls are being made"))?;
        Ok(Busy::new(permit, &self.metrics))
    }

    /// Who asks, or a refusal that says no more than one over RSocket does.
    pub(super) async fn admit(
        &self,
        auth: Option<&[u8]>,
        remote: SocketAddr,
    ) -> Result<Arc<Principal>, Fault> {
        let shown = Credentials {
            auth,
            certificate: None,
            peer: Peer::Address(remote),
        };
        let admitted = self.callers.admit(shown).await;
        admitted.ok_or_else(Fault::not_authenticated)
    }

    pub(super) fn may_call(
        &self,
        who: &Principal,
        (service, method): (&str, &str),
        responder: &Principal,
    ) -> bool {
        let judged = self.identity.judge(who, Right::Call, service, method);
        judged.admits(who, responder)
    }

    pub(super) fn may_observe(&self, who: &Principal, service: &str) -> bool {
        self.identity.judge(who, Right::Observe, service, "") != Judgement::Refused
    }

    fn time(&self, question: &Question) -> Duration {
        let most = self.config.timeout;
        question.wait.map_or(most, |wait| wait.min(most))
    }

    /// The whole body, within the size of one and of all of them.
    async fn read(&self, body: Body) -> Result<Bytes, Fault> {
        let limit = self.config.message;
        let too_large = || {
            let text = format!("RST-910413: the body is larger than http.message: {limit}");
            Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let mut share: Option<Share> = None;
        let mut whole = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Fault::bad("the body breaks off"))?;
            if whole.len() + chunk.len() > limit {
                return Err(too_large());
            }
            let more = self.budget.take(chunk.len()).ok_or_else(full)?;
            match &mut share {
                Some(share) => share.add(more),
                None => share = Some(more),
            }
            whole.extend_from_slice(&chunk);
        }
        let whole = whole.freeze();
        Ok(match share {
            Some(share) => share.of(whole),
            None => whole,
        })
    }
}

fn full() -> Fault {
    Fault::full(BODIES_FULL)
}

/// A call that is being made.
pub(super) struct Busy {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Busy {
    fn new(permit: OwnedSemaphorePermit, metrics: &Metrics) -> Self {
        metrics.open.inc();
        Self {
            _permit: permit,
            metrics: metrics.clone(),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

/// Counts one call when it has ended, or its caller has gone.
pub(super) struct Counted {
    metrics: Option<Metrics>,
    status: StatusCode,
}

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: Some(metrics.clone()),
            // What nginx writes of those who do not wait for the answer.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        }
    }

    pub(super) fn set(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// The count goes on elsewhere.
    pub(super) fn leave(&mut self) -> Self {
        Self {
            metrics: self.metrics.take(),
            status: StatusCode::OK,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.answered(self.status);
        }
    }
}
