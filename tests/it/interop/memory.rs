//! Endless credit does not fill the broker: it holds what a reader has not taken within a window,
//! however long the stream and however fast its source.

use std::time::Duration;

use super::client::{self, Client};
use crate::{
    broker::{Broker, Transport},
    process::Process,
};

const ITEMS: u64 = 100_000;
const ITEM_BYTES: u64 = 1024;

/// Far below what flows, far above the windows and outboxes of one stream.
const GROWTH_MAX: u64 = 24 << 20;

#[test]
fn endless_credit_leaves_the_broker_small() {
    if !client::all_installed("interop::memory") {
        return;
    }
    const { assert!(ITEMS * ITEM_BYTES > 4 * GROWTH_MAX) };
    for near in Transport::ALL {
        let broker = Broker::start();
        // The fastest source, and the slowest reader: it parses in Python.
        let _source = Client::Java.respond(&broker, Transport::Tcp);
        stream(&broker, near, 1000);
        let before = broker.memory_peak();
        stream(&broker, near, ITEMS);
        // The kernel's own count is approximate, so the peak may even seem to shrink.
        let growth = broker.memory_peak().saturating_sub(before);
        client::say(&format!(
            "interop: endless credit over {}: +{} KiB\n",
            near.name(),
            growth >> 10
        ));
        assert!(
            growth < GROWTH_MAX,
            "the broker grew by {growth} bytes over {}",
            near.name()
        );
    }
}

fn stream(broker: &Broker, near: Transport, items: u64) {
    let mut command = Client::Python.command("request");
    command.args(["--broker", broker.uri(near), "--only", "stream-endless"]);
    let service = format!("{}:{items}", Client::Java.service(Transport::Tcp));
    command.args(["--service", &service, "--size", &ITEM_BYTES.to_string()]);
    let requester = Process::start("reader", command, broker.folder());
    let (lines, _) = requester.finish(Duration::from_secs(180));
    let passed = lines.iter().any(|line| line.contains("\"ok\": true"));
    assert!(passed, "{lines:?}\n{}", broker.errors());
}
