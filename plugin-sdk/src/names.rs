//! Names as numbers: intern them in `configure`, compare numbers in hooks.
//!
//! ```ignore
//! let users = names::service("com.example.User");    // in configure
//! if request.service_number() == users { ... }       // in a hook: no string, no call
//! ```

use crate::bindings::names::jackfield::plugin::names as host;

/// The number of a service.
pub fn service(name: &str) -> u32 {
    if IN_A_TEST {
        testing::intern(name, "")
    } else {
        host::service(name)
    }
}

/// The number of a method of a service.
pub fn handler(service: &str, method: &str) -> u32 {
    if IN_A_TEST {
        testing::intern(service, method)
    } else {
        host::handler(service, method)
    }
}

pub(crate) fn known_service(name: &str) -> u32 {
    testing::known(name, "")
}

pub(crate) fn known_handler(service: &str, method: &str) -> u32 {
    testing::known(service, method)
}

pub(crate) const IN_A_TEST: bool = cfg!(not(target_family = "wasm"));

/// In a test there is no host to ask.
mod testing {
    use std::cell::RefCell;

    thread_local! {
        static KNOWN: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn intern(service: &str, method: &str) -> u32 {
        if known(service, method) == 0 {
            KNOWN.with_borrow_mut(|known| known.push((service.into(), method.into())));
        }
        known(service, method)
    }

    pub(super) fn known(service: &str, method: &str) -> u32 {
        KNOWN.with_borrow(|known| {
            let at = known.iter().position(|(s, m)| s == service && m == method);
            at.map_or(0, |at| at as u32 + 1)
        })
    }
}
