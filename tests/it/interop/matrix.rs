//! The matrix: requester by responder, over both transports.
//!
//! Every pair of clients runs twice, once from a TCP requester and once from a WebSocket one, and
//! between the two runs the responder's transport changes as well, so that every client is seen on
//! every transport in both parts. With `JACKFIELD_INTEROP=full`, all four combinations run.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    time::Duration,
};

use serde_json::Value;

use super::{
    client::{self, Client},
    known::{brief, known},
};
use crate::{
    broker::{Broker, Transport},
    process::Process,
};

/// Every requester runs all of these, in this order.
const CHECKS: [&str; 16] = [
    "rr-0",
    "rr-1k",
    "rr-1m",
    "rr-metadata",
    "rr-empty",
    "rr-many",
    "stream-credit",
    "stream-endless",
    "stream-cancel",
    "channel-echo",
    "channel-empty",
    "fnf",
    "error-rr",
    "error-custom",
    "error-stream",
    "unknown-route",
];

#[test]
fn every_client_calls_every_client() {
    if !client::all_installed("interop::matrix") {
        return;
    }
    let broker = Broker::start();
    let sides = Client::ALL
        .iter()
        .flat_map(|&client| Transport::ALL.map(|by| (client, by)));
    let responders: Vec<_> = sides
        .map(|(client, by)| client.respond(&broker, by))
        .collect();

    let mut report = Report::default();
    for pair in pairs() {
        report.add(pair, &run(&broker, pair));
    }
    client::say(&report.text(&broker));
    assert!(
        report.failures.is_empty(),
        "{}\n{}",
        report.failures,
        broker.errors()
    );
    drop(responders);
}

#[derive(Clone, Copy)]
struct Pair {
    requester: Client,
    near: Transport,
    responder: Client,
    far: Transport,
}

fn pairs() -> Vec<Pair> {
    let all = env::var_os("JACKFIELD_INTEROP").is_some_and(|value| value == "full");
    let mut pairs = Vec::new();
    for (i, requester) in Client::ALL.into_iter().enumerate() {
        for (j, responder) in Client::ALL.into_iter().enumerate() {
            for (k, near) in Transport::ALL.into_iter().enumerate() {
                for (l, far) in Transport::ALL.into_iter().enumerate() {
                    if all || (i + j + k + l) % 2 == 0 {
                        pairs.push(Pair {
                            requester,
                            near,
                            responder,
                            far,
                        });
                    }
                }
            }
        }
    }
    pairs
}

/// One requester's lines, one per check.
fn run(broker: &Broker, pair: Pair) -> Vec<String> {
    let mut command = pair.requester.command("request");
    command.args(["--broker", broker.uri(pair.near)]);
    command.args(["--service", &pair.responder.service(pair.far)]);
    command.args(["--brief", &brief(pair.requester, pair.responder)]);
    let name = format!("{}-calls-{}", pair.requester.name(), pair.responder.name());
    Process::start(&name, command, broker.folder())
        .finish(Duration::from_secs(300))
        .0
}

/// What came of every check, as a table for people and as a list of failures for the test.
#[derive(Default)]
struct Report {
    table: String,
    /// Check and reason, with the pairs they hold for.
    reasons: BTreeMap<(String, &'static str), BTreeSet<String>>,
    failures: String,
}

impl Report {
    fn add(&mut self, pair: Pair, lines: &[String]) {
        let Pair {
            requester,
            near,
            responder,
            far,
        } = pair;
        let title = format!(
            "{:>10}/{:<3} -> {:>10}/{:<3}",
            requester.name(),
            near.name(),
            responder.name(),
            far.name()
        );
        write!(self.table, "{title}").expect("a string takes it all");
        for check in CHECKS {
            let found = lines
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let line = found.into_iter().find(|line| line["name"] == check);
            let passed = line.as_ref().is_some_and(|line| line["ok"] == true);
            let detail = match &line {
                Some(line) => line["detail"].as_str().unwrap_or_default().to_owned(),
                None => "no line from the requester".to_owned(),
            };
            let mark = self.judge(pair, &title, check, passed, &detail);
            write!(self.table, " {mark}").expect("a string takes it all");
        }
        self.table.push('\n');
    }

    fn judge(&mut self, pair: Pair, title: &str, check: &str, passed: bool, detail: &str) -> char {
        match (known(pair.requester, pair.responder, check), passed) {
            (None, true) => '.',
            (Some(known), false) => {
                let reason = known.reason;
                let pair = format!("{} -> {}", pair.requester.name(), pair.responder.name());
                self.reasons
                    .entry((check.to_owned(), reason))
                    .or_default()
                    .insert(pair);
                'x'
            }
            (None, false) => {
                writeln!(self.failures, "{title} {check}: {detail}").expect("a string");
                '!'
            }
            (Some(known), true) => {
                let reason = known.reason;
                writeln!(
                    self.failures,
                    "{title} {check} passes; take it from known.rs: {reason}"
                )
                .expect("a string");
                '?'
            }
        }
    }

    fn text(&self, broker: &Broker) -> String {
        let mut reasons = String::new();
        for ((check, reason), pairs) in &self.reasons {
            let pairs: Vec<_> = pairs.iter().map(String::as_str).collect();
            writeln!(reasons, "  x {check}: {reason}\n      {}", pairs.join(", "))
                .expect("a string");
        }
        format!(
            "\ninterop: requester -> responder; checks in order: {}\n\
             . passed  x cannot work, see below  ! failed  ? passes unexpectedly\n{}{reasons}\
             broker's memory peak: {} MiB\n",
            CHECKS.join(" "),
            self.table,
            broker.memory_peak() >> 20,
        )
    }
}
