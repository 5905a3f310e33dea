//! Two brokers that share nothing: applications of the library connect to both, and one is killed.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Sdk, free_port, full};
use crate::broker::{Broker, CONFIG, Transport};

/// The library asks for the list of brokers every 120 seconds: the long form lasts beyond that.
const LONG: Duration = Duration::from_secs(135);
const SHORT: Duration = Duration::from_secs(12);

fn start(port: u16, other: u16) -> Broker {
    let config = CONFIG.replacen("tcp://127.0.0.1:0", &format!("tcp://127.0.0.1:{port}"), 1);
    let brokers = format!("\"tcp://127.0.0.1:{port}\", \"tcp://127.0.0.1:{other}\"");
    Broker::start_with(&format!("{config}\n[cluster]\nbrokers = [{brokers}]\n"))
}

#[test]
fn one_of_two_brokers_is_killed_and_calls_go_on() {
    if !Sdk::installed("one_of_two_brokers_is_killed_and_calls_go_on") {
        return;
    }
    let time = if full() { LONG } else { SHORT };
    let (left, right) = (free_port(), free_port());
    let (one, two) = (start(left, right), start(right, left));
    // One of them is all that the applications are configured with: they are told of the other.
    let uri = one.uri(Transport::Tcp);
    let home = tempfile::tempdir().expect("a folder");
    let begin = |name: &str, options: &[&str]| Sdk::begin(name, uri, home.path(), options);
    let options = ["--spring.application.name=orders", "--peer.serve=true"];
    let provider = begin("one", &options);
    let client = begin("client", &["--spring.application.name=shop"]);
    let (provider, client) = (Sdk::ready(provider), Sdk::ready(client));
    let both = |answer: &str| answer.matches("tcp://").count() == 2;
    provider.must("active - -", both);
    client.must("active - -", both);
    client.must("instances - *", |answer| answer.matches('#').count() == 2);
    // The provider is at both of them by now, and the service too.
    client.must("whoami - 20", |answer| answer == ["one"; 20].join(","));

    drop(one);
    let end = Instant::now() + time;
    let (mut calls, mut failed) = (0, Vec::new());
    while Instant::now() < end {
        let answer = client.ask("find - 5");
        calls += 1;
        if answer != "5/found" {
            failed.push(answer);
        }
        sleep(Duration::from_millis(100));
    }
    // What was on its way at that moment may be lost; nothing else.
    assert!(
        failed.len() <= 1,
        "{} of {calls} calls failed: {failed:?}",
        failed.len()
    );
    client.must("active - -", |answer| {
        *answer == format!("[tcp://127.0.0.1:{right}]")
    });
    drop(two);
}
