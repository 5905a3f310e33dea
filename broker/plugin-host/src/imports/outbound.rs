//! `call` and `http`: what a slow hook may wait for. In a hot hook both only say that they cannot.

use std::time::Duration;

use super::{AsksFor, CallFailure, HttpFailure, HttpRequest, HttpResponse, OutgoingCall, Waiting};
use crate::{
    Payload,
    bindings::{
        call::jackfield::plugin::call, call_denied::jackfield::plugin::call as call_denied,
        http::jackfield::plugin::http, http_denied::jackfield::plugin::http as http_denied,
        shared::jackfield::plugin::message,
    },
    state::State,
};

const ONLY_SLOW: &str = "only slow hooks can wait for an answer";

impl call::Host for State {
    async fn request_response(
        &mut self,
        request: call::Outgoing,
    ) -> Result<message::Payload, call::Failure> {
        let mut replies = self.send(request, AsksFor::One).await?;
        let reply = replies.pop().ok_or_else(|| {
            call::Failure::Refused(message::Refusal {
                code: 0x201,
                text: "the reply had no payload".into(),
            })
        })?;
        Ok(reply.into())
    }

    async fn fire_and_forget(&mut self, request: call::Outgoing) -> Result<(), call::Failure> {
        self.send(request, AsksFor::Nothing).await.map(drop)
    }

    async fn request_stream(
        &mut self,
        request: call::Outgoing,
        items_max: u32,
    ) -> Result<Vec<message::Payload>, call::Failure> {
        let replies = self.send(request, AsksFor::Many(items_max)).await?;
        Ok(replies.into_iter().map(Into::into).collect())
    }
}

impl State {
    fn send(
        &self,
        request: call::Outgoing,
        asks_for: AsksFor,
    ) -> impl Future<Output = Result<Vec<Payload>, call::Failure>> + Send + use<> {
        let call::Outgoing {
            route,
            tags,
            entries,
            data,
            timeout_ms,
        } = request;
        let request = OutgoingCall {
            asks_for,
            route,
            tags,
            entries,
            data,
            timeout: timeout(timeout_ms),
        };
        let answer: Waiting<_, CallFailure> = self.host.call(&self.plugin, request);
        async { answer.await.map_err(Into::into) }
    }
}

impl http::Host for State {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, http::Failure> {
        let http::Request {
            method,
            url,
            headers,
            body,
            timeout_ms,
        } = request;
        let request = HttpRequest {
            method,
            url,
            headers,
            body,
            timeout: timeout(timeout_ms),
        };
        let HttpResponse {
            status,
            headers,
            body,
        } = self.host.http(&self.plugin, request).await?;
        Ok(http::Response {
            status,
            headers,
            body,
        })
    }
}

impl call_denied::Host for State {
    fn request_response(
        &mut self,
        _: call_denied::Outgoing,
    ) -> Result<message::Payload, call_denied::Failure> {
        Err(call_denied::Failure::Denied(ONLY_SLOW.into()))
    }

    fn fire_and_forget(&mut self, _: call_denied::Outgoing) -> Result<(), call_denied::Failure> {
        Err(call_denied::Failure::Denied(ONLY_SLOW.into()))
    }

    fn request_stream(
        &mut self,
        _: call_denied::Outgoing,
        _: u32,
    ) -> Result<Vec<message::Payload>, call_denied::Failure> {
        Err(call_denied::Failure::Denied(ONLY_SLOW.into()))
    }
}

impl http_denied::Host for State {
    fn send(
        &mut self,
        _: http_denied::Request,
    ) -> Result<http_denied::Response, http_denied::Failure> {
        Err(http_denied::Failure::Denied(ONLY_SLOW.into()))
    }
}

fn timeout(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

impl From<CallFailure> for call::Failure {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Denied(why) => Self::Denied(why),
            CallFailure::Busy => Self::Busy,
            CallFailure::TimedOut => Self::TimedOut,
            CallFailure::TooLarge => Self::TooLarge,
            CallFailure::Refused(refusal) => Self::Refused(message::Refusal {
                code: refusal.code,
                text: refusal.text,
            }),
        }
    }
}

impl From<HttpFailure> for http::Failure {
    fn from(failure: HttpFailure) -> Self {
        match failure {
            HttpFailure::Denied(why) => Self::Denied(why),
            HttpFailure::Busy => Self::Busy,
            HttpFailure::TimedOut => Self::TimedOut,
            HttpFailure::TooLarge => Self::TooLarge,
            HttpFailure::Broken(why) => Self::Broken(why),
        }
    }
}

impl From<Payload> for message::Payload {
    fn from(Payload { metadata, data }: Payload) -> Self {
        Self { metadata, data }
    }
}
