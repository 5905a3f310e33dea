//! Every key there is: one table that the reader, the typo finder, `config show` and reload share.
//!
//! A path with `[]` after a name is an array of tables. A key of a later version is listed as such, so that
//! it is refused by name and never silently ignored.

/// One key of the configuration.
pub struct Key {
    /// `limits.frame`, `plugin[].name`.
    pub path: &'static str,
    /// As it would be written; empty when there is none or it depends on the machine.
    pub default: &'static str,
    pub support: Support,
    pub reload: Reload,
    pub doc: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Now,
    /// Any table below this key is taken as it is.
    Free,
    /// Known, and refused: what to do instead.
    Later(&'static str),
}

/// Whether a changed value takes effect while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Live,
    Restart,
}

use Reload::{Live, Restart};
use Support::{Free, Later, Now};

const fn key(
    path: &'static str,
    default: &'static str,
    support: Support,
    reload: Reload,
    doc: &'static str,
) -> Key {
    Key {
        path,
        default,
        support,
        reload,
        doc,
    }
}

#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("node.name", "", Now, Restart, "this broker's name; default: the host name"),
    key("node.threads", "", Now, Restart, "threads of the data plane; default: half the cores, at least 1"),
    key("node.data-dir", "", Now, Restart, "state of the broker; default: $STATE_DIRECTORY, else the XDG state directory"),

    key("log.level", "\"info\"", Now, Live, "error, warn, info, debug, trace or off; also per target: \"info,jackfield::relay=debug\""),
    key("log.format", "\"auto\"", Now, Restart, "text, json, or auto: text on a terminal, json otherwise"),

    key("listen[].uri", "", Now, Restart, "where RSocket is accepted: tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH or unix:/PATH"),
    key("listen[].advertise", "", Now, Restart, "where clients find this listener: told to those that ask for the brokers"),
    key("listen[].advertise-internet", "", Now, Restart, "the same, for clients outside the brokers' network"),
    key("listen[].mode", "", Now, Restart, "who may open a Unix socket, as octal permissions; default: \"0600\""),
    key("listen[].scrape-only", "", Now, Restart, "a name: who says nothing of himself here is an application of that name, which can be scraped and no more; for Micrometer's Prometheus RSocket clients"),
    key("listen[].tls.cert", "", Now, Live, "the certificate of a tls or wss listener, those of its issuers behind it; PEM"),
    key("listen[].tls.key", "", Now, Live, "its private key; PEM, not encrypted"),
    key("listen[].tls.pkcs12", "", Now, Live, "instead of the two: a PKCS12 key store with both"),
    key("listen[].tls.pkcs12-password-file", "", Now, Live, "its password; default: \"changeit\", as in the archived broker"),
    key("listen[].tls.client-ca", "", Now, Live, "the authorities whose clients are let in; PEM"),
    key("listen[].tls.client-auth", "", Now, Live, "required or optional: whether a client must show a certificate; default with client-ca: required"),

    key("socket.nodelay", "true", Now, Restart, "TCP_NODELAY: small frames leave at once"),
    key("socket.user-timeout", "\"1m\"", Now, Restart, "TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged; \"off\": as the system has it"),
    key("socket.keepalive-idle", "\"1m\"", Now, Restart, "SO_KEEPALIVE: silence before the system probes a peer; \"off\": it never does"),
    key("socket.keepalive-interval", "\"15s\"", Now, Restart, "between two probes"),
    key("socket.keepalive-count", "4", Now, Restart, "unanswered probes after which the connection ends"),
    key("socket.backlog", "4096", Now, Restart, "connections the system holds until they are accepted; its own limit may be lower"),
    key("socket.send-buffer", "0", Now, Restart, "SO_SNDBUF; 0: the system sizes it"),
    key("socket.receive-buffer", "0", Now, Restart, "SO_RCVBUF; 0: the system sizes it"),
    key("socket.unsent", "\"32KiB\"", Now, Restart, "TCP_NOTSENT_LOWAT: what waits to be sent before the system takes no more; 0: the system's own"),

    key("http.listen", "\"127.0.0.1:9998\"", Now, Restart, "HTTP for applications and Prometheus"),
    key("http.hosts", "[]", Now, Restart, "names besides loopback under which a face on loopback may be called (Host), and pages that may call it (Origin)"),
    key("http.message", "\"4MiB\"", Now, Restart, "the largest body of a call, of its reply, and of an item"),
    key("http.memory", "\"128MiB\"", Now, Restart, "all bodies that are held at a time; beyond it 503"),
    key("http.concurrency", "1024", Now, Restart, "calls over HTTP at a time, streams included; beyond it 503"),
    key("http.timeout", "\"30s\"", Now, Restart, "a whole call over HTTP; of a stream, until its first item"),
    key("http.callers", "256", Now, Restart, "callers over HTTP that keep a connection into the broker; the one that called longest ago loses it"),
    key("admin.listen", "\"127.0.0.1:9997\"", Now, Restart, "the admin API"),
    key("admin.token-file", "", Now, Restart, "the admin token, created on first start when missing; default: admin.token in the data directory"),
    key("admin.audit-file", "", Now, Restart, "what operators did, as lines of JSON, at most 16 MiB; default: audit.log in the data directory"),
    key("admin.token[].name", "", Now, Restart, "who has the token, for the audit log"),
    key("admin.token[].file", "", Now, Restart, "the token, created on first start when missing; default: NAME.token in the data directory"),
    key("admin.token[].roles", "", Now, Restart, "what it is good for: read, operate, plugins"),
    key("admin.hosts", "[]", Now, Restart, "names besides loopback under which the admin API may be addressed (Host and Origin)"),

    key("limits.memory", "\"50%\"", Now, Restart, "all memory: a share of the machine or cgroup, or a size; shedding starts below it, in stages"),
    key("limits.connections", "65536", Now, Restart, "open connections, all listeners together"),
    key("limits.frame", "16777215", Now, Restart, "one frame; at most the protocol's maximum"),
    key("limits.outbox", "\"4MiB\"", Now, Restart, "per connection, high mark; an empty outbox always takes one frame"),
    key("limits.outbox-hard", "\"64MiB\"", Now, Restart, "above it the stream that produces is cancelled on both sides"),
    key("limits.credit-window", "\"1MiB\"", Now, Restart, "on the way to one reader, per stream and direction"),
    key("limits.message", "\"64MiB\"", Now, Restart, "one message, fragments together"),
    key("limits.assembly-timeout", "\"60s\"", Now, Restart, "from a message's first fragment to its last"),
    key("limits.metadata", "\"64KiB\"", Now, Restart, "what requests hold whose metadata is still arriving, per connection"),
    key("limits.metadata-fragments", "16", Now, Restart, "fragments that the metadata of one request may take"),
    key("limits.metadata-timeout", "\"5s\"", Now, Restart, "until the metadata of a request is whole"),
    key("limits.pause", "\"50ms\"", Now, Restart, "how long a connection is not read after it has filled its share of an outbox"),
    key("limits.pending", "1024", Now, Restart, "half-open connections; the newest is refused"),
    key("limits.pending-per-address", "128", Now, Restart, "the same, from one address"),
    key("limits.setup-timeout", "\"10s\"", Now, Restart, "from accept to SETUP"),
    key("limits.stall", "\"30s\"", Now, Restart, "no progress on a socket that owes some: close"),
    key("limits.streams", "65536", Now, Restart, "open streams of one connection, per direction"),

    key("limits.fire-and-forget", "100000", Now, Restart, "fire-and-forget requests of one connection, per second; more are dropped and counted"),

    key("limits.held-requests", "10000", Now, Restart, "requests held on purpose, such as delayed ones, an eighth of them for one connection; more are refused"),
    key("limits.held-bytes", "\"64MiB\"", Now, Restart, "what they hold; an eighth, or one request, for one connection"),
    key("limits.held-time", "\"60s\"", Now, Restart, "how long one may be held; what a plugin wants held for longer is refused"),

    key("limits.resume-window", "\"60s\"", Now, Restart, "how long a session that asked to be resumable is kept without a transport"),
    key("limits.resume-bytes", "\"1MiB\"", Now, Restart, "what one such session keeps of what it sent; the oldest is given up"),
    key("limits.parked-sessions", "4096", Now, Restart, "sessions without a transport; the one parked longest is dropped; 0: none can be resumed"),
    key("limits.parked-bytes", "\"256MiB\"", Now, Restart, "what they hold, all together; the one parked longest is dropped"),

    key("lease.requests", "10000", Now, Restart, "requests that a client which asks for leases may start per lease"),
    key("lease.ttl", "\"10s\"", Now, Restart, "how long a lease is good; the next one is sent before it ends"),

    key("auth.required", "false", Now, Live, "whether every application must authenticate"),
    key("auth.allow-public-without-auth", "false", Now, Restart, "lets RSocket and HTTP listen beyond loopback without authentication"),
    key("auth.per-request", "false", Now, Live, "credentials in a request's own metadata are verified, and count for that request"),
    key("auth.revoked-file", "", Now, Live, "tokens that are good no more: one jti, sha256:HASH or sub:NAME per line; watched"),
    key("auth.jwt.profile", "\"strict\"", Now, Live, "strict, or alibaba for tokens of the archived broker: exp optional, aud checked only if configured"),
    key("auth.jwt.issuer", "\"RSocketBroker\"", Now, Live, "who signs the tokens: their claim iss"),
    key("auth.jwt.audience", "", Now, Live, "the names of this broker in the claim aud; default: \"jackfield\" with the strict profile"),
    key("auth.jwt.keys", "[]", Now, Live, "files with public keys or certificates, PEM or DER: RSA, P-256, Ed25519; watched"),
    key("auth.jwt.jwks-file", "", Now, Live, "a JSON Web Key Set; watched"),
    key("auth.jwt.jwks-url", "", Now, Live, "where a JSON Web Key Set is fetched from, by https"),
    key("auth.jwt.jwks-ca", "", Now, Live, "the authorities that its server is trusted by, in PEM, instead of the system's"),
    key("auth.jwt.jwks-refresh", "\"5m\"", Now, Live, "how often it is fetched without being asked for"),
    key("auth.jwt.clock-skew", "\"30s\"", Now, Live, "how far clocks may be apart; at most 5m"),
    key("auth.simple.users-file", "", Now, Live, "names, password hashes (Argon2) and what each belongs to, in TOML; watched"),
    key("auth.tls.enabled", "false", Now, Live, "a certificate of mutual TLS says who somebody is"),
    key("auth.tls.organisations", "[]", Now, Live, "what whoever shows a certificate belongs to"),
    key("auth.tls.service-accounts", "[]", Now, Live, "the same"),
    key("auth.tls.roles", "[]", Now, Live, "the same"),
    key("auth.tls.authorities", "[]", Now, Live, "the same"),
    key("auth.rule[].allow", "", Now, Live, "the rights it gives: call, publish, observe; others lose them for what the rule is about"),
    key("auth.rule[].deny", "", Now, Live, "the rights it takes; a rule has either"),
    key("auth.rule[].service", "", Now, Live, "the services it is about: text or list, * crosses dots; default: all"),
    key("auth.rule[].method", "", Now, Live, "the methods it is about, for call; default: all"),
    key("auth.rule[].subject", "", Now, Live, "whom it is for, by subject; default: everybody"),
    key("auth.rule[].role", "", Now, Live, "whom it is for: one of these roles"),
    key("auth.rule[].authority", "", Now, Live, "whom it is for: one of these authorities"),

    key("cluster.brokers", "[]", Now, Live, "the brokers that clients are told of: URIs, this one's among them"),
    key("cluster.brokers-internet", "[]", Now, Live, "the same, for clients outside the brokers' network"),

    key("routing.balance", "\"least-loaded\"", Now, Live, "random, round-robin or least-loaded"),
    key("routing.timeout", "\"30s\"", Now, Live, "request/response: whole reply; stream and channel: first frame"),
    key("routing.sticky", "\"1h\"", Now, Live, "how long a sticky caller that does not call keeps its instance"),
    key("routing.idle-timeout", "", Later("leave it out: a stream may pause as long as its connection lives"), Live, "longest pause inside a stream"),
    key("routing.service[].match", "", Now, Live, "the services this rule is for: text or list, * crosses dots; the first rule that matches is used"),
    key("routing.service[].timeout", "", Now, Live, "instead of routing.timeout"),
    key("routing.service[].balance", "", Now, Live, "instead of routing.balance"),
    key("routing.service[].idle-timeout", "", Later("leave it out"), Live, "longest pause inside a stream"),

    key("metrics.calls", "true", Now, Restart, "whether calls, frames and bytes are counted"),
    key("metrics.routes", "[\"jackfield.Metrics.scrape\", \"com.alibaba.rsocket.observability.MetricsService.scrape\"]", Now, Restart, "what an application is asked for its metrics: the first whose service it publishes, [group!]service.method[:version]"),
    key("metrics.timeout", "\"10s\"", Now, Restart, "the longest that an application may take for its metrics"),
    key("metrics.cache", "\"1s\"", Now, Restart, "how long such a page answers whoever asks next"),
    key("metrics.cache-bytes", "\"64MiB\"", Now, Restart, "what these pages take, all together; the oldest is given up"),
    key("metrics.concurrency", "1024", Now, Restart, "applications asked at a time; beyond it 503"),
    key("metrics.page-bytes", "\"16MiB\"", Now, Restart, "one page; a longer one is refused, and so it is with the next four"),
    key("metrics.line-bytes", "\"64KiB\"", Now, Restart, "one line of it"),
    key("metrics.series", "100000", Now, Restart, "series on it"),
    key("metrics.families", "20000", Now, Restart, "metrics on it"),
    key("metrics.labels", "64", Now, Restart, "labels of one series"),
    key("metrics.timestamps", "false", Now, Restart, "whether times that an application writes are kept"),
    key("metrics.merged", "false", Now, Restart, "whether GET /metrics/apps gives one page for all applications"),
    key("metrics.merged-bytes", "\"64MiB\"", Now, Restart, "what that page may take; applications beyond are on it as down"),
    key("metrics.last", "\"2m\"", Now, Restart, "how long the last metrics of an application that has gone wait for whoever scrapes it; then, or when they were read once, they are gone"),
    key("metrics.last-bytes", "\"16MiB\"", Now, Restart, "what all of them may take; the oldest go first"),
    key("metrics.advertise", "", Now, Restart, "HOST:PORT at which Prometheus finds the HTTP face; default: where it asked"),

    key("plugins.chain-deadline", "\"10ms\"", Now, Live, "guest CPU time that one request may spend in all plugins together"),
    key("plugins.chaos", "true", Now, Live, "false: no plugin breaks anything on purpose, whatever it is set to"),
    key("plugin[].name", "", Now, Live, "letters, digits and dashes; shows in metrics and logs"),
    key("plugin[].file", "", Now, Live, "a component file, or builtin:NAME"),
    key("plugin[].order", "0", Now, Live, "lower runs first"),
    key("plugin[].match", "\"*\"", Now, Live, "services the plugin is asked about: text or list, * crosses dots"),
    key("plugin[].on-failure", "", Now, Live, "open: go on without it; closed: refuse the request; each hook has a default"),
    key("plugin[].deadline", "\"5ms\"", Now, Live, "the guest's own CPU time, per call"),
    key("plugin[].memory", "\"16MiB\"", Now, Live, "linear memory of one instance"),
    key("plugin[].allow", "[]", Now, Live, "capabilities: log, metrics, kv, directory, clock, random, call, http"),
    key("plugin[].timeout", "\"5s\"", Now, Live, "hooks that may wait: a whole call, its wait in the queue included"),
    key("plugin[].queue", "64", Now, Live, "hooks that may wait: calls in the queue of each instance"),
    key("plugin[].instances", "1", Now, Live, "hooks that may wait: how many calls at once"),
    key("plugin[].http-hosts", "[]", Now, Live, "hosts that the import http may reach: HOST or HOST:PORT"),
    key("plugin[].http-private", "false", Now, Live, "whether http may reach loopback and private addresses"),
    key("plugin[].mode", "\"live\"", Now, Live, "live, shadow or off"),
    key("plugin[].sha256", "", Now, Live, "pins the component: anything else is refused"),
    key("plugin[].signed-by", "", Now, Live, "a minisign public key: FILE.minisig must be a signature by it"),
    key("plugin[].settings", "", Free, Live, "handed to the plugin as it is"),
];

/// What is known of a path in schema form.
pub(super) enum Known {
    Leaf(&'static Key),
    Section,
    Sections,
    Unknown,
}

pub(super) fn known(path: &str) -> Known {
    if let Some(key) = find(path) {
        return Known::Leaf(key);
    }
    let starts = |prefix: String| KEYS.iter().any(|key| key.path.starts_with(&prefix));
    if starts(format!("{path}.")) {
        Known::Section
    } else if starts(format!("{path}[].")) {
        Known::Sections
    } else {
        Known::Unknown
    }
}

pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The names that may stand directly below a section; the empty path is the top of the file.
pub(super) fn below(section: &str) -> Vec<&'static str> {
    let prefix = if section.is_empty() {
        String::new()
    } else {
        format!("{section}.")
    };
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.path.strip_prefix(prefix.as_str()))
        .map(|rest| rest.split(['.', '[']).next().unwrap_or(rest))
        .collect();
    names.dedup();
    names
}

/// A path in the form of the table: `listen.0.uri` is `listen[].uri`.
pub(super) fn schema_of<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    let mut schema = String::new();
    for segment in path {
        if segment.parse::<usize>().is_ok() {
            schema.push_str("[]");
        } else {
            if !schema.is_empty() {
                schema.push('.');
            }
            schema.push_str(segment);
        }
    }
    schema
}
