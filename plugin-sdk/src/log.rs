//! Lines in the broker's log, under the plugin's name. Needs `allow = ["log"]`.
//!
//! A line costs a call into the host: in hot hooks, log what is rare.

use crate::{bindings::log::jackfield::plugin::log as host, names::IN_A_TEST};

pub fn debug(message: &str) {
    write(host::Level::Debug, message);
}

pub fn info(message: &str) {
    write(host::Level::Info, message);
}

pub fn warn(message: &str) {
    write(host::Level::Warn, message);
}

pub fn error(message: &str) {
    write(host::Level::Error, message);
}

fn write(level: host::Level, message: &str) {
    if IN_A_TEST {
        eprintln!("{level:?}: {message}")
    } else {
        host::write(level, message)
    }
}
