//! What was written: one tree of values, merged from all layers, each value with its place.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    problem::Problem,
    source::{Place, Source},
};

/// One value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

/// Keys with the place of the key itself.
pub(super) type Table = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) node: Node,
}

impl Value {
    /// What a person calls this kind of value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Parses the file that is source number `index`.
pub(super) fn parse(sources: &[Source], index: usize) -> Result<Table, Problem> {
    let parsed = DeTable::parse(&sources[index].text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let what = error.message().replace('\n', ", ");
        let place = Place {
            source: index,
            span,
        };
        Problem::in_source(sources, &place, what, "correct the TOML here")
    })?;
    Ok(table(index, parsed.into_inner()))
}

fn table(source: usize, written: DeTable<'_>) -> Table {
    let entry = |(key, value): (Spanned<_>, _)| {
        let place = Place {
            source,
            span: key.span(),
        };
        let node = node(source, value);
        (String::from(key.into_inner()), Entry { key: place, node })
    };
    written.into_iter().map(entry).collect()
}

fn node(source: usize, written: Spanned<DeValue<'_>>) -> Node {
    let span: Range<usize> = written.span();
    let value = match written.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Text(number.to_string()), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Value::Text(number.to_string()), Value::Float),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(source, item)).collect())
        }
        DeValue::Table(inner) => Value::Table(table(source, inner)),
    };
    Node {
        value,
        place: Place { source, span },
    }
}

/// Lays `over` on `base`: tables merge, arrays of tables grow, anything else is replaced.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, entry) in over {
        match base.get_mut(&key) {
            Some(below) => merge_entry(below, entry),
            None => {
                base.insert(key, entry);
            }
        }
    }
}

fn merge_entry(below: &mut Entry, over: Entry) {
    match (&mut below.node.value, over.node.value) {
        (Value::Table(base), Value::Table(over)) => merge(base, over),
        (Value::List(base), Value::List(over)) if are_tables(base) && are_tables(&over) => {
            base.extend(over);
        }
        (_, value) => {
            let place = over.node.place;
            *below = Entry {
                key: over.key,
                node: Node { value, place },
            };
        }
    }
}

fn are_tables(list: &[Node]) -> bool {
    !list.is_empty()
        && list
            .iter()
            .all(|node| matches!(node.value, Value::Table(_)))
}

/// Puts the text of source number `index` at `path`; a number in the path picks a list's item, or adds one.
pub(super) fn set(table: &mut Table, path: &[String], index: usize, text: &str) {
    let place = Place {
        source: index,
        span: 0..text.len(),
    };
    let [key, rest @ ..] = path else { return };
    let entry = table.entry(key.clone()).or_insert_with(|| Entry {
        key: place.clone(),
        node: Node {
            value: Value::Table(Table::new()),
            place: place.clone(),
        },
    });
    if rest.is_empty() {
        let value = Value::Text(text.to_owned());
        *entry = Entry {
            key: place.clone(),
            node: Node { value, place },
        };
        return;
    }
    if let Some(Ok(position)) = rest.first().map(|segment| segment.parse::<usize>()) {
        if let Some(item) = list_item(&mut entry.node.value, position, &place) {
            set(item, &rest[1..], index, text);
        }
        return;
    }
    if !matches!(entry.node.value, Value::Table(_)) {
        entry.node.value = Value::Table(Table::new());
    }
    if let Value::Table(inner) = &mut entry.node.value {
        set(inner, rest, index, text);
    }
}

fn list_item<'a>(value: &'a mut Value, position: usize, place: &Place) -> Option<&'a mut Table> {
    if !matches!(value, Value::List(_)) {
        *value = Value::List(Vec::new());
    }
    let Value::List(items) = value else {
        return None;
    };
    if position >= items.len() {
        items.push(Node {
            value: Value::Table(Table::new()),
            place: place.clone(),
        });
    }
    let last = items.len() - 1;
    match &mut items[position.min(last)].value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}
