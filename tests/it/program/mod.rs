//! The program as its users run it: the real binary, real sockets, and things that go wrong.

mod admin;
mod bad_input;
mod bytes;
mod caller;
mod demo;
mod doctor;
mod drain;
mod frozen;
mod http;
mod identity;
mod kill;
mod limits;
mod memory;
mod migration;
mod openapi;
mod plugin_cli;
mod plugins;
mod push;
mod reload;
mod scraping;
mod swap;
mod tls;

use std::{future::Future, time::Duration};

pub(crate) use self::admin::{admin, exchange, metrics};

/// Runs a test of clients that live in this process.
fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let seconds = if plugins::is_full() { 1_800 } else { 300 };
    runtime.expect("a runtime").block_on(async {
        let limited = tokio::time::timeout(Duration::from_secs(seconds), test);
        limited.await.expect("the test ends");
    });
}
