//! The matrix: requester by responder, over both transports.
//!
//! Every pair of clients runs twice, once from a TCP requester and once from a WebSocket one, and
//! between the two runs the responder's transport changes as well, so that every client is seen on
//! every transport in both parts. With `JACKFIELD_INTEROP=full`, all four combinations run.
//!
//! To start a runtime costs more than most checks, so a requester is one process for each transport
//! and calls every responder in turn. Long streams run where both ends are of the same library; the
//! others are shorter.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    client::{self, Client},
    known::{Known, Shows, known},
};
use crate::{
    broker::{Broker, Transport},
    process::Process,
};

/// Every requester runs all of these, in this order.
pub(super) const CHECKS: [&str; 17] = [
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
    "channel-64k",
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
    for requester in Client::ALL {
        for near in Transport::ALL {
            let pairs = pairs(requester, near);
            let lines = run(&broker, requester, near, &pairs);
            for pair in pairs {
                report.add(pair, &lines);
            }
        }
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

/// Items of the two streams of a pair.
const ITEMS: u32 = 5_000;
const ITEMS_LONG: u32 = 100_000;

/// Whom a requester on this transport calls.
fn pairs(requester: Client, near: Transport) -> Vec<Pair> {
    let all = env::var_os("JACKFIELD_INTEROP").is_some_and(|value| value == "full");
    let mut pairs = Vec::new();
    for responder in Client::ALL {
        for far in Transport::ALL {
            let number = requester as usize + responder as usize + near as usize + far as usize;
            if all || number.is_multiple_of(2) {
                pairs.push(Pair {
                    requester,
                    near,
                    responder,
                    far,
                });
            }
        }
    }
    pairs
}

/// One requester's lines, one for each responder and check.
fn run(broker: &Broker, requester: Client, near: Transport, pairs: &[Pair]) -> Vec<Value> {
    let services = pairs.iter().map(|pair| {
        let items = if pair.responder == requester {
            ITEMS_LONG
        } else {
            ITEMS
        };
        format!("{}:{items}", pair.responder.service(pair.far))
    });
    let listed = |fits: fn(&Known) -> bool| {
        let cells = pairs.iter().flat_map(|pair| {
            let service = pair.responder.service(pair.far);
            let checks = CHECKS
                .into_iter()
                .filter(move |check| known(requester, pair.responder, check).is_some_and(fits));
            checks.map(move |check| format!("{service}/{check}"))
        });
        cells.collect::<Vec<_>>().join(",")
    };
    let mut command = requester.command("request");
    command.args(["--broker", broker.uri(near)]);
    command.args(["--service", &services.collect::<Vec<_>>().join(",")]);
    command.args(["--brief", &listed(|_| true)]);
    command.args(["--skip", &listed(|known| known.shows == Shows::Lethally)]);
    let name = format!("{}-calls-over-{}", requester.name(), near.name());
    let started = Instant::now();
    let process = Process::start(&name, command, broker.folder());
    let (lines, _) = process.finish(Duration::from_secs(600));
    client::say(&format!(
        "interop: {name}: {} s\n",
        started.elapsed().as_secs()
    ));
    let lines = lines.iter().map(|line| serde_json::from_str(line));
    lines.filter_map(Result::ok).collect()
}

/// What came of every check, as a table for people and as a list of failures for the test.
#[derive(Default)]
struct Report {
    table: String,
    /// Check and reason, with the pairs they hold for.
    reasons: BTreeMap<(String, String), BTreeSet<String>>,
    failures: String,
}

impl Report {
    fn add(&mut self, pair: Pair, lines: &[Value]) {
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
            let service = responder.service(far);
            if known(requester, responder, check)
                .is_some_and(|known| known.shows == Shows::Lethally)
            {
                write!(self.table, " -").expect("a string takes it all");
                continue;
            }
            let line = lines
                .iter()
                .find(|line| line["name"] == check && line["service"] == *service);
            let passed = line.is_some_and(|line| line["ok"] == true);
            let detail = match line {
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
            (Some(known), true) if known.shows == Shows::Sometimes => '.',
            (Some(known), false) => {
                let reason = format!("{} {}", known.at.name(), known.fault.is);
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
                let reason = known.fault.is;
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
             . passed  x cannot work, see below  - ends a connection, tried apart  \
             ! failed  ? passes unexpectedly\n{}{reasons}\
             broker's memory peak: {} MiB\n",
            CHECKS.join(" "),
            self.table,
            broker.memory_peak() >> 20,
        )
    }
}
