//! `[plugins]` and `[[plugin]]` -> `chain::ChainConfig`.

use std::{path::Path, time::Duration};

use crate::{
    chain::{
        Capability, ChainConfig, FailurePolicy, Mode, Outbound, PluginConfig, SlowConfig, Source,
        is_public_key,
    },
    directory::ServicePattern,
};

use super::{
    reader::{Placed, Reader, Section},
    tree::{Node, Value},
};

const CHAIN_DEADLINE: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_millis(5);
const MEMORY: u64 = 16 << 20;
/// A component addresses 32 bits of memory.
const MEMORY_MAX: u64 = 4 << 30;
const NAME_MAX: usize = 64;
const QUEUE_MAX: i64 = 65_536;
const INSTANCES_MAX: i64 = 64;

pub(super) fn check(reader: &Reader<'_>, data_dir: &Path) -> ChainConfig {
    let mut plugins: Vec<PluginConfig> = Vec::new();
    for section in reader.sections("plugin") {
        let Some(plugin) = plugin(&section) else {
            continue;
        };
        if plugins.iter().any(|other| other.name == plugin.name) {
            let what = format!("`{}` is the name of two plugins", plugin.name);
            section.wrong("name", what, "give each plugin a name of its own");
        }
        plugins.push(plugin);
    }
    let section = reader.section("plugins");
    ChainConfig {
        deadline: section.duration("chain-deadline").unwrap_or(CHAIN_DEADLINE),
        chaos: section.boolean("chaos").unwrap_or(true),
        cache_dir: data_dir.join("cache"),
        kept_dir: Some(data_dir.join("plugins")),
        plugins,
    }
}

fn plugin(section: &Section<'_>) -> Option<PluginConfig> {
    let name = section.read("name", checked_name);
    if section.node("name").is_none() {
        section.wrong(
            "name",
            "is missing",
            "add name = \"...\", it shows in metrics and logs",
        );
    }
    let source = source(section);
    let failure = [
        ("open", FailurePolicy::Open),
        ("closed", FailurePolicy::Closed),
    ];
    let modes = [
        ("live", Mode::Live),
        ("shadow", Mode::Shadow),
        ("off", Mode::Off),
    ];
    let order = section.integer("order", i64::from(i32::MIN)..=i64::from(i32::MAX));
    Some(PluginConfig {
        name: name?.value,
        source: source?,
        order: order
            .and_then(|order| i32::try_from(order).ok())
            .unwrap_or(0),
        matches: patterns(section, "match").unwrap_or_default(),
        on_failure: section.choice("on-failure", &failure, &[]),
        deadline: section.duration("deadline").unwrap_or(DEADLINE),
        memory: section
            .size("memory", 64 << 10..=MEMORY_MAX)
            .unwrap_or(MEMORY),
        allow: capabilities(section),
        slow: slow(section),
        outbound: Outbound {
            hosts: http_hosts(section),
            private: section.boolean("http-private").unwrap_or(false),
        },
        mode: section.choice("mode", &modes, &[]).unwrap_or(Mode::Live),
        sha256: section.read("sha256", digest).map(|placed| placed.value),
        signed_by: section.read("signed-by", key).map(|placed| placed.value),
        settings: checked_settings(section),
    })
}

fn checked_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(fits) {
        return Err(format!("write up to {NAME_MAX} letters, digits and dashes"));
    }
    Ok(text.to_owned())
}

fn source(section: &Section<'_>) -> Option<Source> {
    if section.node("file").is_none() {
        let todo = "add file = \"plugins/NAME.wasm\", or file = \"builtin:NAME\"";
        section.wrong("file", "is missing", todo);
        return None;
    }
    let Placed { value: text, place } = section.text("file")?;
    match text.strip_prefix("builtin:") {
        Some("") => {
            section.wrong(
                "file",
                "names no plugin",
                "write builtin:NAME, such as builtin:canary",
            );
            None
        }
        Some(name) => Some(Source::Builtin(name.to_owned())),
        None => {
            // Whether it is there is found when it is loaded: an operator's version needs none, and neither does a client
            // that reads where the broker is.
            let path = section.path("file").map(|_| section.resolve(text, place))?;
            Some(Source::File(path))
        }
    }
}

/// Service patterns, given as text or as a list.
pub(super) fn patterns(section: &Section<'_>, key: &str) -> Option<Vec<ServicePattern>> {
    let items = section.list(key)?;
    if items.iter().any(|item| item.value.is_empty()) {
        section.wrong(
            key,
            "holds an empty pattern",
            "write a service name, or \"*\" for every service",
        );
    }
    Some(
        items
            .iter()
            .map(|item| ServicePattern::new(item.value))
            .collect(),
    )
}

fn capabilities(section: &Section<'_>) -> Vec<Capability> {
    let mut allowed = Vec::new();
    for item in section.list("allow").unwrap_or_default() {
        let known = Capability::ALL
            .into_iter()
            .find(|capability| capability.name() == item.value);
        let Some(capability) = known else {
            let what = format!("names `{}`, which is no capability", item.value);
            let names = Capability::ALL.map(|capability| format!("\"{}\"", capability.name()));
            section.wrong("allow", what, format!("write some of {}", names.join(", ")));
            continue;
        };
        if !allowed.contains(&capability) {
            allowed.push(capability);
        }
    }
    allowed
}

fn slow(section: &Section<'_>) -> SlowConfig {
    let default = SlowConfig::default();
    SlowConfig {
        timeout: section.duration("timeout").unwrap_or(default.timeout),
        queue: { section.count("queue", QUEUE_MAX) }.map_or(default.queue, |queue| queue.max(1)),
        instances: { section.count("instances", INSTANCES_MAX) }
            .map_or(default.instances, |instances| instances.max(1)),
    }
}

/// `HOST` means port 443.
fn http_hosts(section: &Section<'_>) -> Vec<(String, u16)> {
    let mut hosts = Vec::new();
    for item in section.list("http-hosts").unwrap_or_default() {
        let todo = "write HOST or HOST:PORT, such as \"auth.example:443\"";
        let (host, port) = match item.value.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !item.value.ends_with(']') => {
                (host, port.parse().ok())
            }
            _ => (item.value, Some(443)),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        match port {
            Some(port) if !host.is_empty() && host.chars().all(fits) => {
                hosts.push((host.to_ascii_lowercase(), port));
            }
            _ => section.wrong("http-hosts", format!("names `{}`", item.value), todo),
        }
    }
    hosts
}

fn key(text: &str) -> Result<String, String> {
    match is_public_key(text) {
        true => Ok(text.to_owned()),
        false => Err("write the public key that `minisign -G` prints, which begins with RW".into()),
    }
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let todo = "write the 64 hexadecimal digits that sha256sum prints";
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(todo.into());
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| todo)?;
    }
    Ok(bytes)
}

fn checked_settings(section: &Section<'_>) -> serde_json::Value {
    match section.node("settings") {
        None => serde_json::json!({}),
        Some(node) => {
            if !matches!(node.value, Value::Table(_)) {
                let what = format!("is {}", node.value.kind());
                section.wrong("settings", what, "write a table: [plugin.settings]");
            }
            settings(section, node)
        }
    }
}

/// The settings as JSON; text of a variable or a flag counts as JSON when it is.
fn settings(section: &Section<'_>, node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Text(text) if section.is_untyped(node) => {
            serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
        }
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(boolean) => (*boolean).into(),
        Value::List(items) => items.iter().map(|item| settings(section, item)).collect(),
        Value::Table(table) => table
            .iter()
            .map(|(key, entry)| (key.clone(), settings(section, &entry.node)))
            .collect(),
    }
}
