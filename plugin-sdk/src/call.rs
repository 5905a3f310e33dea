//! RSocket requests of the plugin's own, in slow hooks. Needs `allow = ["call"]`.
//!
//! In a test every one is denied.

pub use crate::bindings::call::jackfield::plugin::call::{Failure, Outgoing};
use crate::{Payload, bindings::call::jackfield::plugin::call as host, names::IN_A_TEST};

impl Outgoing {
    /// To a route `[group!]service[.method][:version]`.
    pub fn new(route: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            route: route.into(),
            tags: Vec::new(),
            entries: Vec::new(),
            data: data.into(),
            timeout_ms: 0,
        }
    }
}

pub fn request_response(request: &Outgoing) -> Result<Payload, Failure> {
    match IN_A_TEST {
        true => denied(),
        false => host::request_response(request),
    }
}

/// Done when it is on its way.
pub fn fire_and_forget(request: &Outgoing) -> Result<(), Failure> {
    match IN_A_TEST {
        true => denied(),
        false => host::fire_and_forget(request),
    }
}

/// All items, at most so many.
pub fn request_stream(request: &Outgoing, items_max: u32) -> Result<Vec<Payload>, Failure> {
    match IN_A_TEST {
        true => denied(),
        false => host::request_stream(request, items_max),
    }
}

fn denied<T>() -> Result<T, Failure> {
    Err(Failure::Denied("this is a test".into()))
}
