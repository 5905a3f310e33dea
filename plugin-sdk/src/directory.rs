//! Who serves what. Needs `allow = ["directory"]`.
//!
//! In a test nobody serves anything.

use crate::{
    App, Service, bindings::directory::jackfield::plugin::directory as host, names::IN_A_TEST,
};

/// How many instances offer a service in this group and version.
pub fn count(service: &Service) -> u32 {
    if IN_A_TEST { 0 } else { host::count(service) }
}

/// The groups and versions in which a service of this name is offered.
pub fn offers(name: &str) -> Vec<Service> {
    match IN_A_TEST {
        true => Vec::new(),
        false => host::offers(name),
    }
}

/// Who offers a service in this group and version.
pub fn providers(service: &Service) -> Vec<App> {
    match IN_A_TEST {
        true => Vec::new(),
        false => host::providers(service),
    }
}
