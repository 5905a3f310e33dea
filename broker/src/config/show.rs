//! The effective configuration and where each value came from, for `config show` and the admin API.

use serde::Serialize;

use super::{
    checked::Config,
    keys::{KEYS, Key, Reload, Support, schema_of},
    source::{Source, is_secret, mask_user},
    tree::{Node, Table, Value},
};

const DEFAULT: &str = "default";

/// One setting that is in effect.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Shown {
    /// `limits.frame`, `plugin.0.name`.
    pub key: String,
    /// As it would be written in the file.
    pub value: String,
    /// `default`, `file:line:column`, or the name of a variable or a flag.
    pub origin: String,
}

/// Every setting: those written, then the defaults of those that were not.
pub(super) fn show(sources: &[Source], root: &Table, config: &Config) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut schemas = Vec::new();
    leaves(root, "", "", &mut |path, schema, node| {
        let secret = path.rsplit('.').next().is_some_and(is_secret);
        let value = if secret {
            "\"...\"".into()
        } else {
            show_value(&node.value)
        };
        let origin = sources[node.place.source].locate(&node.place.span);
        shown.push(Shown {
            key: path.into(),
            value,
            origin,
        });
        schemas.push(schema.to_owned());
    });
    let missing = |key: &&Key| {
        key.support == Support::Now && !schemas.iter().any(|schema| schema == key.path)
    };
    for key in KEYS.iter().filter(missing) {
        if let Some(value) = default(key, config) {
            shown.push(Shown {
                key: key.path.into(),
                value,
                origin: DEFAULT.into(),
            });
        }
    }
    if !root.contains_key("listen") {
        for (index, listener) in config.listeners.iter().enumerate() {
            let (key, value) = (
                format!("listen.{index}.uri"),
                quote(&listener.uri.to_string()),
            );
            shown.push(Shown {
                key,
                value,
                origin: DEFAULT.into(),
            });
        }
    }
    shown.sort_by_key(|shown| position(&shown.key));
    shown
}

/// The keys of values that differ between two configurations and cannot change while the broker runs.
pub(super) fn need_restart(old: &[Shown], new: &[Shown]) -> Vec<String> {
    let value = |settings: &[Shown], key: &str| {
        settings
            .iter()
            .find(|shown| shown.key == key)
            .map(|shown| shown.value.clone())
    };
    let mut changed: Vec<String> = old
        .iter()
        .chain(new)
        .map(|shown| shown.key.clone())
        .filter(|key| !is_live(key) && value(old, key) != value(new, key))
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

/// What is in effect after a reload: the new value of what can change, the old one of the rest.
pub(super) fn in_effect(old: &[Shown], new: &[Shown]) -> Vec<Shown> {
    let live = new.iter().filter(|shown| is_live(&shown.key));
    let kept = old.iter().filter(|shown| !is_live(&shown.key));
    let mut settings: Vec<Shown> = live.chain(kept).cloned().collect();
    settings.sort_by_key(|shown| position(&shown.key));
    settings
}

fn is_live(key: &str) -> bool {
    let schema = schema_of(key.split('.'));
    let known = KEYS
        .iter()
        .find(|known| schema == known.path || is_below(&schema, known));
    known.is_some_and(|known| known.reload == Reload::Live)
}

fn is_below(schema: &str, key: &Key) -> bool {
    key.support == Support::Free && schema.starts_with(key.path)
}

/// Defaults that depend on the machine are taken from the checked configuration.
fn default(key: &Key, config: &Config) -> Option<String> {
    if key.path.contains("[]") {
        return None;
    }
    match key.path {
        "node.name" => Some(quote(&config.node.name)),
        "node.threads" => Some(config.node.threads.to_string()),
        "node.data-dir" => Some(quote(&config.node.data_dir.to_string_lossy())),
        "admin.token-file" => Some(quote(&config.admin.token_file.to_string_lossy())),
        "admin.audit-file" => Some(quote(&config.admin.audit_file.to_string_lossy())),
        _ => Some(key.default.to_owned()).filter(|default| !default.is_empty()),
    }
}

/// Orders output like the key table; the settings of one item of a list stay together.
fn position(key: &str) -> (usize, usize, usize) {
    let schema = schema_of(key.split('.'));
    let at = KEYS
        .iter()
        .position(|known| known.path == schema || is_below(&schema, known));
    let at = at.unwrap_or(KEYS.len());
    let Some(end) = schema.find("[]") else {
        return (at, 0, 0);
    };
    let list = &schema[..end + 2];
    let first = KEYS
        .iter()
        .position(|known| known.path.starts_with(list))
        .unwrap_or(at);
    let item = key
        .split('.')
        .find_map(|part| part.parse().ok())
        .unwrap_or(0);
    (first, item, at)
}

fn leaves(table: &Table, path: &str, schema: &str, visit: &mut impl FnMut(&str, &str, &Node)) {
    for (name, entry) in table {
        let join = |prefix: &str| match prefix {
            "" => name.clone(),
            _ => format!("{prefix}.{name}"),
        };
        leaf(&entry.node, &join(path), &join(schema), visit);
    }
}

fn leaf(node: &Node, path: &str, schema: &str, visit: &mut impl FnMut(&str, &str, &Node)) {
    match &node.value {
        Value::Table(table) => leaves(table, path, schema, visit),
        Value::List(items)
            if items
                .iter()
                .any(|item| matches!(item.value, Value::Table(_))) =>
        {
            for (index, item) in items.iter().enumerate() {
                leaf(
                    item,
                    &format!("{path}.{index}"),
                    &format!("{schema}[]"),
                    visit,
                );
            }
        }
        _ => visit(path, schema, node),
    }
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Text(text) => quote(&mask_user(text)),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show_value(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entry = |(key, entry): (&String, &super::tree::Entry)| {
                format!("{key} = {}", show_value(&entry.node.value))
            };
            format!(
                "{{ {} }}",
                table.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
