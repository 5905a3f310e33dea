//! The second stage: what was written becomes what the rooms need, or a list of problems.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jackfield_rsocket::engine::lease::LeasePolicy;

use crate::{
    chain::ChainConfig,
    cluster,
    directory::Balance,
    identity,
    relay::{Limits, Routing, ServiceRule},
    scrape, telemetry,
};

use super::{
    address::{HostPort, check_advertised},
    auth,
    faces::{self, AdminFace, HttpFace},
    layers::Surroundings,
    listeners::{self, Listener, Socket},
    metrics, plugins,
    reader::{Placed, Reader, Section},
    tree::Value,
    units::parse_size,
};

/// A configuration in which everything has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: Node,
    pub log: telemetry::LogConfig,
    /// In the order they were written; never empty.
    pub listeners: Vec<Listener>,
    pub socket: Socket,
    pub http: HttpFace,
    pub admin: AdminFace,
    /// Of the whole process.
    pub memory: MemoryLimit,
    pub limits: Limits,
    pub routing: Routing,
    pub auth: identity::Config,
    pub cluster: Cluster,
    pub metrics: scrape::Config,
    pub plugins: ChainConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Of the data plane.
    pub threads: usize,
    pub data_dir: PathBuf,
}

impl Config {
    /// The brokers that clients are told of, this one as its listeners say.
    pub fn broker_lists(&self) -> cluster::Lists {
        let own = |of: fn(&Listener) -> &Option<String>| {
            self.listeners
                .iter()
                .filter_map(|it| of(it).clone())
                .collect()
        };
        cluster::Lists {
            inside: self.cluster.brokers.clone(),
            outside: self.cluster.brokers_internet.clone(),
            own_inside: own(|listener| &listener.advertise),
            own_outside: own(|listener| &listener.advertise_internet),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The brokers that clients are told of.
    pub brokers: Vec<String>,
    /// The same, for clients outside the brokers' network.
    pub brokers_internet: Vec<String>,
}

/// How much memory the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Per cent of the machine or cgroup.
    Share(u8),
    Size(u64),
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self::Share(50)
    }
}

impl MemoryLimit {
    /// In bytes, of what is available; none for a share of nobody knows what.
    pub fn of(self, available: Option<u64>) -> Option<u64> {
        match self {
            Self::Share(percent) => available.map(|bytes| bytes / 100 * u64::from(percent)),
            Self::Size(bytes) => Some(bytes),
        }
    }

    /// A size or a percentage; the error says what to write.
    fn parse(text: &str) -> Result<Self, String> {
        let todo = "write a share such as \"50%\", or a size such as \"2GiB\"";
        let Some(percent) = text.trim().strip_suffix('%') else {
            let bytes = parse_size(text).map_err(|_| todo)?;
            return match bytes {
                MEMORY_MIN.. => Ok(Self::Size(bytes)),
                _ => Err("write at least \"32MiB\", with which nothing but trying out goes".into()),
            };
        };
        match percent.trim().parse() {
            Ok(percent @ 1..=100) => Ok(Self::Share(percent)),
            _ => Err(todo.into()),
        }
    }
}

/// Less is used before the first connection.
const MEMORY_MIN: u64 = 32 << 20;
const FRAME_MAX: u64 = 16_777_215;
const FRAME_MIN: u64 = 64;
const THREADS_MAX: i64 = 256;
/// More than this of anything is a typo.
const COUNT_MAX: i64 = 1 << 24;

pub(super) fn check(reader: &Reader<'_>, surroundings: &Surroundings) -> Config {
    reader.check_keys();
    let node = node(reader, surroundings);
    let public = Public::check(reader);
    Config {
        log: log(reader),
        listeners: listeners::listeners(reader, &public),
        socket: listeners::socket(reader),
        http: faces::http(reader, &public),
        admin: faces::admin(reader, &node.data_dir),
        memory: memory(reader),
        limits: limits(reader),
        routing: routing(reader),
        cluster: brokers(reader),
        metrics: metrics::metrics(reader),
        plugins: plugins::check(reader, &node.data_dir),
        auth: auth::auth(reader),
        node,
    }
}

fn node(reader: &Reader<'_>, surroundings: &Surroundings) -> Node {
    let section = reader.section("node");
    let name = section.read("name", |text| match text.trim() {
        "" => Err("write a name, or leave the key out to use the host name".into()),
        name => Ok(name.to_owned()),
    });
    let data_dir = section.path("data-dir").map(|placed| placed.value);
    Node {
        name: name.map_or_else(|| surroundings.host_name.clone(), |placed| placed.value),
        threads: section
            .count("threads", THREADS_MAX)
            .unwrap_or((surroundings.cores / 2).max(1)),
        data_dir: data_dir
            .or_else(|| state_directory(&surroundings.variables))
            .unwrap_or_else(|| {
                let what =
                    "has no default here: neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set";
                section.wrong(
                    "data-dir",
                    what,
                    "set node.data-dir, or JACKFIELD_NODE__DATA_DIR",
                );
                PathBuf::new()
            }),
    }
}

/// systemd may name several, separated by colons; the first is ours.
fn state_directory(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let value = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    if let Some(systemd) = value("STATE_DIRECTORY") {
        return systemd.split(':').next().map(PathBuf::from);
    }
    let state = value("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| value("HOME").map(|home| Path::new(home).join(".local/state")))?;
    Some(state.join("jackfield"))
}

fn log(reader: &Reader<'_>) -> telemetry::LogConfig {
    use telemetry::Format;
    let section = reader.section("log");
    let formats = [
        ("auto", Format::Auto),
        ("text", Format::Text),
        ("json", Format::Json),
    ];
    let level = section.read("level", telemetry::Level::parse);
    telemetry::LogConfig {
        level: level.map(|placed| placed.value).unwrap_or_default(),
        format: section
            .choice("format", &formats, &[])
            .unwrap_or(Format::Auto),
    }
}

/// Whether listeners beyond loopback are allowed, and the words for when they are not.
pub(super) struct Public {
    allowed: bool,
    /// Nobody is let in over RSocket without credentials, or called over HTTP. Pages of metrics and health ask for none.
    pub(super) authenticated: bool,
}

impl Public {
    fn check(reader: &Reader<'_>) -> Self {
        let auth = reader.section("auth");
        Self {
            authenticated: auth.boolean("required") == Some(true),
            allowed: auth.boolean("allow-public-without-auth").unwrap_or(false),
        }
    }

    pub(super) fn check_bind(&self, section: &Section<'_>, key: &str, address: &HostPort) {
        if !self.allowed && !address.is_loopback() {
            let what = format!("binds {address}, which others can reach, without authentication");
            let todo = "bind 127.0.0.1, or set auth.allow-public-without-auth = true if the network is trusted";
            section.wrong(key, what, todo);
        }
    }
}

fn memory(reader: &Reader<'_>) -> MemoryLimit {
    let section = reader.section("limits");
    // A bare number is bytes, as everywhere.
    let number = match section.node("memory").map(|node| &node.value) {
        Some(Value::Integer(number)) => Some(number.to_string()),
        _ => None,
    };
    match number {
        None => section
            .read("memory", MemoryLimit::parse)
            .map(|placed| placed.value),
        Some(number) => MemoryLimit::parse(&number)
            .map_err(|todo| section.wrong("memory", format!("is {number}"), todo))
            .ok(),
    }
    .unwrap_or_default()
}

fn limits(reader: &Reader<'_>) -> Limits {
    let section = reader.section("limits");
    let default = Limits::default();
    let most = u64::try_from(isize::MAX).unwrap_or(u64::MAX);
    let size = |key: &str, least: u64, most: u64, default: usize| {
        let bytes = section.size(key, least..=most);
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let count = |key: &str, default: usize| section.count(key, COUNT_MAX).unwrap_or(default);
    let limits = Limits {
        connections: count("connections", default.connections),
        frame: size("frame", FRAME_MIN, FRAME_MAX, default.frame),
        outbox: size("outbox", 1, most, default.outbox),
        outbox_hard: size("outbox-hard", 1, most, default.outbox_hard),
        credit_window: size("credit-window", 1, most, default.credit_window),
        message: size("message", 1, most, default.message),
        assembly_timeout: section
            .duration("assembly-timeout")
            .unwrap_or(default.assembly_timeout),
        metadata: size("metadata", 1, most, default.metadata),
        metadata_fragments: count("metadata-fragments", default.metadata_fragments),
        metadata_timeout: section
            .duration("metadata-timeout")
            .unwrap_or(default.metadata_timeout),
        pause: section.duration("pause").unwrap_or(default.pause),
        pending: count("pending", default.pending),
        pending_per_address: count("pending-per-address", default.pending_per_address),
        setup_timeout: section
            .duration("setup-timeout")
            .unwrap_or(default.setup_timeout),
        stall: section.duration("stall").unwrap_or(default.stall),
        streams: count("streams", default.streams),
        fire_and_forget: count("fire-and-forget", default.fire_and_forget),
        lease: lease(reader),
        held_requests: count("held-requests", default.held_requests),
        held_bytes: size("held-bytes", 1, most, default.held_bytes),
        held_time: section.duration("held-time").unwrap_or(default.held_time),
        resume_window: section
            .duration("resume-window")
            .unwrap_or(default.resume_window),
        resume_bytes: size("resume-bytes", 1, most, default.resume_bytes),
        parked_sessions: section
            .integer("parked-sessions", 0..=COUNT_MAX)
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(default.parked_sessions),
        parked_bytes: size("parked-bytes", 1, most, default.parked_bytes),
    };
    if limits.outbox > limits.outbox_hard {
        let what = "is above limits.outbox-hard";
        section.wrong("outbox", what, "raise outbox-hard, or lower outbox");
    }
    if limits.resume_bytes > limits.outbox_hard {
        let what = "is above limits.outbox-hard, so that what is sent again would end the session";
        section.wrong(
            "resume-bytes",
            what,
            "raise outbox-hard, or lower resume-bytes",
        );
    }
    limits
}

fn lease(reader: &Reader<'_>) -> LeasePolicy {
    let section = reader.section("lease");
    let default = Limits::default().lease;
    let requests = section.count("requests", COUNT_MAX);
    LeasePolicy {
        requests: requests
            .and_then(|requests| u32::try_from(requests).ok())
            .unwrap_or(default.requests),
        ttl: section.duration("ttl").unwrap_or(default.ttl),
    }
}

const BALANCES: [(&str, Balance); 3] = [
    ("random", Balance::Random),
    ("round-robin", Balance::RoundRobin),
    ("least-loaded", Balance::LeastLoaded),
];
const BALANCES_LATER: [&str; 2] = ["latency", "consistent-hash"];

fn routing(reader: &Reader<'_>) -> Routing {
    let section = reader.section("routing");
    let default = Routing::default();
    let balance = |section: &Section<'_>| section.choice("balance", &BALANCES, &BALANCES_LATER);
    let rule = |section: &Section<'_>| {
        let matches = plugins::patterns(section, "match");
        let written = section.node("match").is_some();
        if !written || matches.as_ref().is_some_and(Vec::is_empty) {
            section.wrong("match", "is missing", "add match = \"com.example.*\"");
        }
        ServiceRule {
            matches: matches.unwrap_or_default(),
            timeout: section.duration("timeout"),
            balance: balance(section),
        }
    };
    Routing {
        balance: balance(&section).unwrap_or(default.balance),
        timeout: section.duration("timeout").or(default.timeout),
        sticky: section.duration("sticky").unwrap_or(default.sticky),
        services: reader
            .sections("routing.service")
            .iter()
            .map(rule)
            .collect(),
    }
}

fn brokers(reader: &Reader<'_>) -> Cluster {
    let section = reader.section("cluster");
    let list = |key| {
        let items = section.list(key).unwrap_or_default();
        let read = |item: Placed<'_, &str>| match check_advertised(item.value) {
            Ok(uri) => Some(uri),
            Err(todo) => {
                let what = format!("cluster.{key} names no broker");
                reader.wrong(item.place, what, todo);
                None
            }
        };
        items.into_iter().filter_map(read).collect()
    };
    Cluster {
        brokers: list("brokers"),
        brokers_internet: list("brokers-internet"),
    }
}
