//! A broker that is told to end while clients are in the middle of a stream: the stream comes whole,
//! and only then do the connections go.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{self, Client};
use crate::{
    broker::{Broker, Transport},
    process::Process,
};

/// A tenth of a second apart: two seconds.
const ITEMS: u32 = 20;

#[test]
fn a_stream_outlives_the_wish_to_end() {
    if !client::all_installed("interop::drain") {
        return;
    }
    // Each of them once in each part.
    drain(Client::JsAlpha, Client::Java);
    drain(Client::Java, Client::JsAlpha);
}

fn drain(requester: Client, responder: Client) {
    let mut broker = Broker::start();
    let serving = responder.respond(&broker, Transport::Tcp);
    let mut command = requester.command("request");
    command.args(["--broker", broker.uri(Transport::Tcp), "--only", "drained"]);
    let service = responder.service(Transport::Tcp);
    command.args(["--service", &format!("{service}:{ITEMS}")]);
    let calling = Process::start("requester", command, broker.folder());
    calling.expect("first item", |line| {
        line.contains("\"started\"").then_some(())
    });

    broker.signal("TERM");
    let told = Instant::now();
    let line = calling.expect("end of the stream", |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["ok"].is_boolean().then_some(line)
    });
    let pair = format!("{} -> {}", requester.name(), responder.name());
    assert!(line["ok"] == true, "{pair}: {line}\n{}", broker.errors());
    // The stream was not over before the broker knew.
    assert!(told.elapsed() > Duration::from_secs(1), "{pair}: {line}");
    assert!(broker.log().contains("draining"), "{}", broker.errors());
    serving.expect("end of the responder's connection", |line| {
        line.contains("\"closed\"").then_some(())
    });
    let code = broker.exit_code(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{pair}: {}", broker.errors());
}
