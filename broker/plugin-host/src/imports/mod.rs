//! What guests may call in the host, one file per interface or two, and how the host reaches the broker for it:
//! [`HostCalls`], the only door from a guest upwards.
//!
//! Whatever a verdict may not be remembered after says so by [`State::read_outside`].
//!
//! [`State::read_outside`]: crate::state::State::read_outside

mod candidates;
mod clock;
mod directory;
mod kv;
mod log;
mod metrics;
mod outbound;
mod request;

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{App, Payload, Refusal};

/// What the broker does for guests. Only what returns a future may wait.
pub trait HostCalls: Send + Sync {
    fn log(&self, plugin: &str, level: Level, message: &str);
    /// None when there are too many. The name is already checked.
    fn counter(&self, plugin: &str, name: &str) -> Option<Arc<dyn Counter>>;
    /// None when there are too many. The name is already checked.
    fn gauge(&self, plugin: &str, name: &str) -> Option<Arc<dyn Gauge>>;

    /// How many instances offer the service.
    fn count(&self, _service: &ServiceName) -> u32 {
        0
    }

    /// The groups and versions in which a service of this name is offered; at most [`LISTED_MAX`].
    fn offers(&self, _name: &str) -> Vec<ServiceName> {
        Vec::new()
    }

    /// Who offers the service; at most [`LISTED_MAX`].
    fn providers(&self, _service: &ServiceName) -> Vec<App> {
        Vec::new()
    }

    /// Makes an RSocket request as principal `plugin:NAME`.
    fn call(&self, _plugin: &str, _request: OutgoingCall) -> Waiting<Vec<Payload>, CallFailure> {
        Box::pin(async {
            Err(CallFailure::Denied(
                "this program makes no calls for plugins".into(),
            ))
        })
    }

    /// Makes an HTTP request. The URL is not yet checked.
    fn http(&self, _plugin: &str, _request: HttpRequest) -> Waiting<HttpResponse, HttpFailure> {
        Box::pin(async {
            Err(HttpFailure::Denied(
                "this program makes no requests for plugins".into(),
            ))
        })
    }
}

/// What a guest waits for. Dropping it gives it up.
pub type Waiting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Entries of one answer about the directory.
pub const LISTED_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

pub trait Counter: Send + Sync {
    fn add(&self, delta: u64);
}

pub trait Gauge: Send + Sync {
    fn set(&self, value: f64);
}

/// A service in one group and version; empty when it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceName {
    pub group: String,
    pub name: String,
    pub version: String,
}

/// An RSocket request of a guest's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingCall {
    pub asks_for: AsksFor,
    pub route: String,
    pub tags: Vec<(String, String)>,
    /// Further entries of the composite metadata: MIME type and content.
    pub entries: Vec<(String, Vec<u8>)>,
    pub data: Vec<u8>,
    /// None: as long as the hook itself may take.
    pub timeout: Option<std::time::Duration>,
}

/// What a guest's own request wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsksFor {
    /// Exactly one payload.
    One,
    Nothing,
    /// At most so many payloads.
    Many(u32),
}

/// Why a guest's own request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    Denied(String),
    Busy,
    TimedOut,
    TooLarge,
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// None: as long as the hook itself may take.
    pub timeout: Option<std::time::Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why an HTTP request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    Denied(String),
    Busy,
    TimedOut,
    TooLarge,
    Broken(String),
}
