//! What a connection can do beyond the interactions: which client can do it, in which part, and a test
//! of every one that can.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    client::{self, Client},
    known::{ENDS_AT_FIRST, Fault, INTERLEAVES, KNOWN, REPEATS_CREDIT, Shows},
    wire::Wire,
};
use crate::{
    broker::{Broker, CONFIG, Transport},
    process::Process,
    program::metrics,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Sends requests, or replies, in fragments.
    Fragments,
    /// Says nothing for longer than the lifetime it announced.
    Keepalive,
    /// Keeps to leases as a requester, grants them as a responder.
    Lease,
    /// Takes its session up again on another connection, in the middle of a stream.
    Resume,
    Tls,
    Wss,
    Unix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Requester,
    Responder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// And a test says so.
    Works,
    /// It works but for a cell of the matrix.
    Partly(Fault),
    /// The client has it, and it does not work; a test says so too.
    Faulty(Fault),
    /// The client does not have it.
    Lacks,
}

impl Feature {
    pub(crate) const ALL: [Self; 7] = [
        Self::Fragments,
        Self::Keepalive,
        Self::Lease,
        Self::Resume,
        Self::Tls,
        Self::Wss,
        Self::Unix,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fragments => "fragments",
            Self::Keepalive => "keepalive",
            Self::Lease => "lease",
            Self::Resume => "resume",
            Self::Tls => "TLS",
            Self::Wss => "wss",
            Self::Unix => "Unix socket",
        }
    }
}

/// Whether a client can do it in this part.
pub(crate) fn support(client: Client, part: Part, feature: Feature) -> Support {
    use Client::{Go, Java, JsAlpha, JsClassic, Kotlin, Python};
    use Support::{Faulty, Lacks, Partly, Works};

    match (feature, client, part) {
        (Feature::Keepalive | Feature::Tls | Feature::Wss, ..)
        | (Feature::Unix, Go, _)
        | (Feature::Lease, JsAlpha | Python | Go, Part::Requester)
        | (Feature::Lease, JsClassic | Java, _)
        | (Feature::Resume, JsAlpha | Java, _)
        | (Feature::Fragments, JsAlpha | Java, _)
        | (Feature::Fragments, Go, Part::Requester)
        | (Feature::Fragments, Kotlin, Part::Responder) => Works,
        (Feature::Fragments, Go, Part::Responder) => Faulty(ENDS_AT_FIRST),
        (Feature::Fragments, Python, _) => Partly(INTERLEAVES),
        (Feature::Fragments, Kotlin, Part::Requester) => Partly(REPEATS_CREDIT),
        _ => Lacks,
    }
}

/// Clients that can do it in this part.
fn able(part: Part, feature: Feature) -> impl Iterator<Item = Client> {
    let works = move |&client: &Client| support(client, part, feature) == Support::Works;
    Client::ALL.into_iter().filter(works)
}

#[test]
fn keepalive_alone_keeps_every_client() {
    if !client::all_installed("interop::features") {
        return;
    }
    let broker = Broker::start();
    let uri = broker.uri(Transport::Tcp);
    let often = ["--keepalive", "400", "--lifetime", "1000"];
    // Each calls a responder of its own library, which has heard nothing either.
    let pairs = able(Part::Requester, Feature::Keepalive).map(|client| {
        let service = format!("{}-idle", client.name());
        let serving = responder(client, &broker, uri, &service, &often);
        let options = [&["--only", "idle"][..], &often].concat();
        let calling = Requester::start(client, &broker, uri, &service, &options);
        (serving, calling)
    });
    for (serving, calling) in pairs.collect::<Vec<_>>() {
        calling.passes(&broker);
        drop(serving);
    }
}

#[test]
fn every_client_speaks_the_secure_transports_it_has() {
    if !client::all_installed("interop::features") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, ca) = secure_broker(folder.path());
    let [tls, wss, unix] = broker.others() else {
        panic!("three listeners: {:?}", broker.others())
    };
    let unix = unix.replace("unix:", "unix://");
    for client in Client::ALL {
        let uris = [
            (Feature::Tls, tls),
            (Feature::Wss, wss),
            (Feature::Unix, &unix),
        ];
        let uris: Vec<_> = uris
            .into_iter()
            .filter(|(feature, _)| support(client, Part::Requester, *feature) != Support::Lacks)
            .collect();
        let responders = uris.iter().map(|(feature, uri)| {
            let service = format!("{}-{}", client.name(), feature.name().replace(' ', "-"));
            (
                responder(client, &broker, uri, &service, &["--ca", &ca]),
                service,
            )
        });
        let (responders, services): (Vec<_>, Vec<_>) = responders.unzip();
        let requesters = uris.iter().map(|(_, uri)| {
            let checks = "rr-1k,rr-metadata,stream-credit,channel-echo,error-rr";
            let options = ["--ca", &ca, "--only", checks];
            Requester::start(client, &broker, uri, &services.join(","), &options)
        });
        for requester in requesters.collect::<Vec<_>>() {
            requester.passes(&broker);
        }
        drop(responders);
    }
}

#[test]
fn leases_are_kept_by_both_sides() {
    if !client::all_installed("interop::features") {
        return;
    }
    let broker = Broker::start_with(&format!("{CONFIG}[lease]\nrequests = 5\nttl = \"1s\"\n"));
    let uri = broker.uri(Transport::Tcp);
    let plain = responder(Client::JsAlpha, &broker, uri, "no-leases", &[]);
    let leased = ["--only", "leased", "--lease", "5"];
    let keeping = able(Part::Requester, Feature::Lease)
        .map(|client| Requester::start(client, &broker, uri, "no-leases", &leased));
    for requester in keeping.collect::<Vec<_>>() {
        let line = requester.passes(&broker);
        // Twelve calls, and at most five in a lease.
        assert!(line["ms"].as_u64() > Some(1000), "{line}");
    }
    let went_beyond = refused(&broker, "no_lease");
    assert_eq!(went_beyond, 0, "a client went beyond its lease");

    for client in able(Part::Responder, Feature::Lease) {
        let withheld = |broker| refused(broker, "overloaded") + refused(broker, "responder_lease");
        let before = withheld(&broker);
        let service = format!("{}-leases", client.name());
        let granting = responder(client, &broker, uri, &service, &["--lease", "5"]);
        let asking = Requester::start(Client::JsAlpha, &broker, uri, &service, &leased[..2]);
        let line = asking.passes(&broker);
        assert!(line["ms"].as_u64() > Some(1000), "{line}");
        // What would have gone beyond the lease was refused on the way.
        assert!(withheld(&broker) > before, "{}", client.name());
        drop(granting);
    }
    drop(plain);
}

#[test]
fn a_stream_survives_the_reconnect_of_either_side() {
    if !client::all_installed("interop::features") {
        return;
    }
    let broker = Broker::start();
    let uri = broker.uri(Transport::Tcp);
    let resume = ["--resume", "yes"];
    let paced = ["--only", "paced"];
    let plain = responder(Client::JsAlpha, &broker, uri, "paced", &[]);
    for client in able(Part::Requester, Feature::Resume) {
        let wire = Wire::start(uri);
        let options = [paced, resume].concat();
        let requester = Requester::start(client, &broker, wire.uri(), "paced:20", &options);
        requester.interrupted(&wire, &broker);
    }
    for client in able(Part::Responder, Feature::Resume) {
        let wire = Wire::start(uri);
        let service = format!("{}-paced", client.name());
        let serving = responder(client, &broker, wire.uri(), &service, &resume);
        let service = format!("{service}:20");
        let requester = Requester::start(Client::JsAlpha, &broker, uri, &service, &paced);
        requester.interrupted(&wire, &broker);
        drop(serving);
    }
    drop(plain);
}

/// Requests that the broker has refused for this reason.
fn refused(broker: &Broker, reason: &str) -> u64 {
    let start = format!("jackfield_refused_total{{reason=\"{reason}\"}} ");
    let metrics = metrics(broker);
    let count = metrics.lines().find_map(|line| line.strip_prefix(&start));
    count.map_or(0, |count| count.trim().parse().expect("a number"))
}

/// Cells that end the connection of who is at fault, and so every other cell of its: each with a
/// broker and a responder of its own.
#[test]
fn what_ends_a_connection_still_does() {
    if !client::all_installed("interop::features") {
        return;
    }
    for known in KNOWN.iter().filter(|known| known.shows == Shows::Lethally) {
        for check in known.checks {
            must_fail(Client::Java, known.at, check, &[]);
        }
    }
    // Its other replies are whole, so the matrix does not show it.
    must_fail(Client::Java, Client::Go, "rr-1m", &["--fragment", "16384"]);
}

fn must_fail(from: Client, to: Client, check: &str, options: &[&str]) {
    let broker = Broker::start();
    let uri = broker.uri(Transport::Tcp);
    let serving = responder(to, &broker, uri, "faulty", options);
    let requester = Requester::start(from, &broker, uri, "faulty", &["--only", check]);
    let (lines, _) = requester.process.finish(Duration::from_secs(60));
    let failed = lines.iter().any(|line| line.contains("\"ok\":false"));
    assert!(
        failed,
        "{} {check} passes; take it from known.rs: {lines:?}",
        to.name()
    );
    drop(serving);
}

/// Listens for TLS, secure WebSocket and on a Unix socket besides; and what its clients must trust.
fn secure_broker(folder: &std::path::Path) -> (Broker, String) {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("broker.pem"), signed.cert.pem()).expect("a file");
    std::fs::write(path("broker.key"), signed.signing_key.serialize_pem()).expect("a file");
    let (cert, key, socket) = (path("broker.pem"), path("broker.key"), path("broker.sock"));
    let tls = format!("tls = {{ cert = \"{cert}\", key = \"{key}\" }}");
    let config = format!(
        "{CONFIG}[[listen]]\nuri = \"tls://127.0.0.1:0\"\n{tls}\n\
         [[listen]]\nuri = \"wss://127.0.0.1:0/rsocket\"\n{tls}\n\
         [[listen]]\nuri = \"unix:{socket}\"\n"
    );
    (Broker::start_with(&config), cert)
}

fn responder(
    client: Client,
    broker: &Broker,
    uri: &str,
    service: &str,
    options: &[&str],
) -> Process {
    let mut command = client.command("respond");
    command
        .args(["--broker", uri, "--service", service])
        .args(options);
    let process = Process::start(service, command, broker.folder());
    process.expect("ready line", |line| {
        line.contains("\"ready\"").then_some(())
    });
    process
}

struct Requester {
    name: String,
    process: Process,
}

impl Requester {
    fn start(client: Client, broker: &Broker, uri: &str, services: &str, options: &[&str]) -> Self {
        let mut command = client.command("request");
        command
            .args(["--broker", uri, "--service", services])
            .args(options);
        let scheme = uri.split(':').next().unwrap_or_default();
        let name = format!("{}-over-{scheme}-{}", client.name(), options.join(""));
        let name = name.replace(['/', ','], "");
        let process = Process::start(&name[..name.len().min(60)], command, broker.folder());
        Self { name, process }
    }

    /// Waits for its end; every check must have passed. Gives the last line.
    fn passes(self, broker: &Broker) -> Value {
        let errors = self.process.errors_file();
        let (lines, _) = self.process.finish(Duration::from_secs(120));
        let lines = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<_> = lines.filter(|line| line["ok"].is_boolean()).collect();
        let passed = !lines.is_empty() && lines.iter().all(|line| line["ok"] == true);
        let said = std::fs::read_to_string(errors).unwrap_or_default();
        assert!(
            passed,
            "{}: {lines:?}\n{said}\n{}",
            self.name,
            broker.errors()
        );
        lines.last().cloned().unwrap_or_default()
    }

    /// Cuts the wire in the middle of the stream, and mends it.
    fn interrupted(self, wire: &Wire, broker: &Broker) {
        let started = |line: &str| line.contains("\"started\"").then_some(());
        self.process.expect("first item", started);
        let cut = Instant::now();
        wire.cut();
        // Nobody says that items are being missed; two or three are due by then.
        sleep(Duration::from_millis(300));
        wire.mend();
        self.passes(broker);
        assert!(
            cut.elapsed() > Duration::from_secs(1),
            "the stream was over before the cut"
        );
    }
}
