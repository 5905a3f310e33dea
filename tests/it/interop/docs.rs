//! `docs/interop.md`, written from what the matrix tests, so that neither says more than the other.

use std::{env, fmt::Write, fs};

use super::{
    client::{self, Client},
    features::{Feature, Part, Support, support},
    known::{Fault, known},
    matrix::CHECKS,
};

/// Clients that nobody has tried, and why they are named.
const UNTESTED: [(&str, &str); 2] = [
    ("rsocket-net (.NET)", "not tried"),
    (
        "rsocket-cpp (C++)",
        "not tried; needs folly, without a release since 2021",
    ),
];

/// The matrix's checks by what they are about.
const SUBJECTS: [(&str, &[&str]); 6] = [
    (
        "request/response",
        &[
            "rr-0",
            "rr-1k",
            "rr-1m",
            "rr-metadata",
            "rr-empty",
            "rr-many",
        ],
    ),
    (
        "stream",
        &["stream-credit", "stream-endless", "stream-cancel"],
    ),
    ("channel", &["channel-echo", "channel-empty", "channel-64k"]),
    ("fire-and-forget", &["fnf"]),
    ("errors", &["error-rr", "error-custom", "error-stream"]),
    ("refusals", &["unknown-route"]),
];

const PARTS: [(Part, &str); 2] = [
    (Part::Requester, "requester"),
    (Part::Responder, "responder"),
];

#[test]
fn the_page_of_clients_is_up_to_date() {
    let path = client::root().join("docs/interop.md");
    let page = page();
    if env::var_os("JACKFIELD_BLESS").is_some() {
        fs::write(&path, &page).expect("docs/ can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let at = found
        .lines()
        .zip(page.lines())
        .find(|(found, wanted)| found != wanted);
    assert!(
        found == page,
        "docs/interop.md is out of date at {at:?}; write it again: \
         JACKFIELD_BLESS=1 cargo test -p jackfield-tests interop::docs"
    );
}

#[test]
fn every_check_is_about_something() {
    let about: Vec<_> = SUBJECTS
        .iter()
        .flat_map(|(_, checks)| checks.iter())
        .collect();
    assert_eq!(about, CHECKS.iter().collect::<Vec<_>>());
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Interactions\n\n");
    row(
        &mut page,
        ["client", "part"]
            .into_iter()
            .chain(SUBJECTS.map(|(subject, _)| subject)),
    );
    row(&mut page, ["---"; 2 + SUBJECTS.len()]);
    let mut faults = Faults::default();
    for (client, (part, name)) in rows() {
        let cells = SUBJECTS.map(|(_, checks)| faults.cell(client, part, checks));
        let cells = cells.iter().map(String::as_str);
        row(&mut page, [title(client), name].into_iter().chain(cells));
    }
    page.push_str("\n## Connections\n\n");
    row(
        &mut page,
        ["client", "part"]
            .into_iter()
            .chain(Feature::ALL.map(Feature::name)),
    );
    row(&mut page, ["---"; 2 + Feature::ALL.len()]);
    for (client, (part, name)) in rows() {
        let cells = Feature::ALL.map(|feature| match support(client, part, feature) {
            Support::Works => "yes".to_owned(),
            Support::Lacks => "-".to_owned(),
            Support::Partly(fault) => format!("partly [{}]", faults.number(client, fault)),
            Support::Faulty(fault) => format!("no [{}]", faults.number(client, fault)),
        });
        let cells = cells.iter().map(String::as_str);
        row(&mut page, [title(client), name].into_iter().chain(cells));
    }
    page.push_str(BETWEEN);
    for (number, (at, fault)) in faults.found.iter().enumerate() {
        let (number, at) = (number + 1, title(*at));
        line(&mut page, &format!("{number}. {at}: {}.", fault.is));
        line(&mut page, &format!("   Seen in: {}.", fault.seen));
    }
    page.push_str("\n## Not tested\n\n| client | |\n| --- | --- |\n");
    for (client, reason) in UNTESTED {
        row(&mut page, [client, reason]);
    }
    page
}

const HEAD: &str = "\
# Clients

<!-- Written by a test from what it tests: JACKFIELD_BLESS=1 cargo test -p jackfield-tests interop::docs -->

Unmodified client libraries that call, and are called, through the broker. Each requester calls each responder, over
TCP and WebSocket, in one test (`tests/it/interop/matrix.rs`); what a connection can do besides has tests of its own
(`tests/it/interop/features.rs`). `yes` is a test that passes. `-` is what the library does not have, or what was not
tried. A number is a fault of the library itself, below: the cells it spoils are tested too, and the test fails when
one of them works.
";

const BETWEEN: &str = "
- *fragments*: sends messages above 16 KiB in fragments. Every client takes them, but where a number says otherwise.
- *keepalive*: silent for two and a half times the lifetime that it announced, it is still connected.
- *lease*: a requester keeps to the broker's leases; a responder grants leases, and the broker keeps to them.
- *resume*: its connection is cut in the middle of a stream and the stream comes whole.

rsocket-kotlin's core is tested over small transports of this project's own. The newest released rsocket-go is tested;
what its main branch has mended since is not.

## Faults of the clients

";

fn rows() -> impl Iterator<Item = (Client, (Part, &'static str))> {
    Client::ALL
        .into_iter()
        .flat_map(|client| PARTS.map(|part| (client, part)))
}

const fn title(client: Client) -> &'static str {
    match client {
        Client::JsAlpha => "rsocket-js 1.0.0-alpha.3",
        Client::JsClassic => "rsocket-js 0.0.27",
        Client::Python => "rsocket-py 0.4.20",
        Client::Java => "rsocket-java 1.1.5",
        Client::Go => "rsocket-go 0.8.16",
        Client::Kotlin => "rsocket-kotlin 0.20.0",
    }
}

/// In the order in which they are met.
#[derive(Default)]
struct Faults {
    found: Vec<(Client, Fault)>,
}

impl Faults {
    fn number(&mut self, at: Client, is: Fault) -> usize {
        let fault = (at, is);
        let known = self.found.iter().position(|found| *found == fault);
        known.unwrap_or_else(|| {
            self.found.push(fault);
            self.found.len() - 1
        }) + 1
    }

    /// What is at fault here, in this client's part, with whatever client on the other side.
    fn cell(&mut self, client: Client, part: Part, checks: &[&str]) -> String {
        let mut numbers = Vec::new();
        for check in checks {
            for other in Client::ALL {
                let known = match part {
                    Part::Requester => known(client, other, check),
                    Part::Responder => known(other, client, check),
                };
                if let Some(known) =
                    known.filter(|known| known.at == client && known.part() == part)
                {
                    numbers.push(self.number(client, known.fault));
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let numbers = numbers.iter().map(|number| format!(" [{number}]"));
        format!("yes{}", numbers.collect::<String>())
    }
}

fn row<'a>(page: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    let cells: Vec<_> = cells.into_iter().collect();
    line(page, &format!("| {} |", cells.join(" | ")));
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a string takes it all");
}
