//! HTTP requests of the plugin's own, in slow hooks. Needs `allow = ["http"]` and `http-hosts`.
//!
//! In a test [`crate::testing::answer_http`] says what comes back.

pub use crate::bindings::http::jackfield::plugin::http::{Failure, Request, Response};
use crate::{bindings::http::jackfield::plugin::http as host, names::IN_A_TEST, testing};

impl Request {
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

pub fn send(request: &Request) -> Result<Response, Failure> {
    match IN_A_TEST {
        true => testing::http_answer(request),
        false => host::send(request),
    }
}
