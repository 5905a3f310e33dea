//! Reads typed values out of the written tree and collects what is wrong, instead of stopping at the first.

use std::{
    cell::RefCell,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    keys::{self, Known, Support},
    problem::{Problem, Problems},
    source::{Place, Source, mask_user},
    suggest::nearest,
    tree::{Entry, Node, Table, Value},
    units::{parse_duration, parse_size, show_size},
};

pub(super) struct Reader<'a> {
    pub(super) sources: &'a [Source],
    pub(super) root: &'a Table,
    pub(super) current_dir: &'a Path,
    found: RefCell<Vec<(Place, Problem)>>,
    doubts: RefCell<Problems>,
    advice: RefCell<Problems>,
}

/// One table of the tree, or its absence: then every key is at its default.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    path: String,
    table: Option<&'a Table>,
    /// Where the table starts, for what is missing in it.
    place: Option<&'a Place>,
}

/// A value with its place, so that later checks can still point at it.
#[derive(Clone)]
pub(super) struct Placed<'a, T> {
    pub(super) value: T,
    pub(super) place: &'a Place,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a [Source], root: &'a Table, current_dir: &'a Path) -> Self {
        Self {
            sources,
            root,
            current_dir,
            found: RefCell::default(),
            doubts: RefCell::default(),
            advice: RefCell::default(),
        }
    }

    pub(super) fn section(&'a self, path: &str) -> Section<'a> {
        let entry = self.root.get(path);
        let table = entry.and_then(|entry| match &entry.node.value {
            Value::Table(table) => Some(table),
            _ => None,
        });
        let place = entry.map(|entry| &entry.key);
        Section {
            reader: self,
            path: path.into(),
            table,
            place,
        }
    }

    /// The tables of `[[path]]`.
    pub(super) fn sections(&'a self, path: &str) -> Vec<Section<'a>> {
        let entry = match path.split_once('.') {
            None => self.root.get(path),
            Some((outer, inner)) => self.section(outer).table.and_then(|table| table.get(inner)),
        };
        let Some(Value::List(items)) = entry.map(|entry| &entry.node.value) else {
            return Vec::new();
        };
        let section = |node: &'a Node| match &node.value {
            Value::Table(table) => Some(Section {
                reader: self,
                path: format!("{path}[]"),
                table: Some(table),
                place: Some(&node.place),
            }),
            _ => None,
        };
        items.iter().filter_map(section).collect()
    }

    pub(super) fn wrong(&self, place: &Place, what: impl Into<String>, todo: impl Into<String>) {
        let problem = Problem::in_source(self.sources, place, what, todo);
        self.found.borrow_mut().push((place.clone(), problem));
    }

    /// A problem that no layer wrote.
    pub(super) fn wrong_default(&self, at: &str, what: &str, todo: &str) {
        let place = Place {
            source: usize::MAX,
            span: 0..0,
        };
        self.found
            .borrow_mut()
            .push((place, Problem::at(at, what, todo)));
    }

    pub(super) fn problems(&self) -> Problems {
        let mut found = self.found.take();
        found.sort_by_key(|(place, _)| (place.source, place.span.start));
        let mut problems = Problems::default();
        for (_, problem) in found {
            problems.push(problem);
        }
        problems
    }

    /// What was told by [`Section::doubt`].
    pub(super) fn doubts(&self) -> Problems {
        self.doubts.take()
    }

    /// What was told by [`Section::advise`].
    pub(super) fn advice(&self) -> Problems {
        self.advice.take()
    }

    /// Refuses keys that do not exist and keys of later versions, wherever they stand.
    pub(super) fn check_keys(&self) {
        self.check_table("", self.root);
    }

    fn check_table(&self, path: &str, table: &Table) {
        for (name, entry) in table {
            let full = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match (keys::known(&full), &entry.node.value) {
                (Known::Leaf(key), _) => self.check_support(key, entry),
                (Known::Section, Value::Table(inner)) => self.check_table(&full, inner),
                (Known::Sections, Value::List(items)) => self.check_items(&full, items),
                (Known::Section, _) => {
                    let what = format!("{full} is a section, not a value");
                    self.wrong(&entry.key, what, format!("write it as [{full}]"));
                }
                (Known::Sections, _) => {
                    let what = format!("{full} is a list of sections");
                    self.wrong(&entry.key, what, format!("write each as [[{full}]]"));
                }
                (Known::Unknown, _) => self.unknown(path, name, &entry.key),
            }
        }
    }

    fn check_items(&self, path: &str, items: &[Node]) {
        for item in items {
            match &item.value {
                Value::Table(inner) => self.check_table(&format!("{path}[]"), inner),
                _ => self.wrong(
                    &item.place,
                    format!("{path} is a list of sections"),
                    format!("write each as [[{path}]]"),
                ),
            }
        }
    }

    fn check_support(&self, key: &keys::Key, entry: &Entry) {
        if let Support::Later(todo) = key.support {
            let what = format!("{} is not supported by this version", show_path(key.path));
            self.wrong(&entry.key, what, todo);
        }
    }

    fn unknown(&self, section: &str, name: &str, place: &Place) {
        let siblings = keys::below(section);
        let what = match section {
            "" => format!("unknown section `{name}`"),
            _ => format!("unknown key `{name}` in {}", show_section(section)),
        };
        let elsewhere = || {
            keys::KEYS
                .iter()
                .find(|key| key.path.ends_with(&format!(".{name}")))
        };
        let todo = if let Some(near) = nearest(name, siblings.iter().copied()) {
            format!("did you mean `{near}`?")
        } else if let Some((home, leaf)) = elsewhere().and_then(|key| key.path.rsplit_once('.')) {
            format!("`{leaf}` belongs in {}", show_section(home))
        } else {
            format!("known here: {}", siblings.join(", "))
        };
        self.wrong(place, what, todo);
    }
}

impl<'a> Section<'a> {
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.table?.get(key).map(|entry| &entry.node)
    }

    /// Whether anything of it was written.
    pub(super) fn is_written(&self) -> bool {
        self.table.is_some_and(|table| !table.is_empty())
    }

    /// The place of the key, else of the section; for what is missing or does not fit.
    pub(super) fn place_of(&self, key: &str) -> Option<&'a Place> {
        self.node(key).map(|node| &node.place).or(self.place)
    }

    pub(super) fn wrong(&self, key: &str, what: impl AsRef<str>, todo: impl Into<String>) {
        let name = self.name(key);
        match self.place_of(key) {
            Some(place) => self
                .reader
                .wrong(place, format!("{name} {}", what.as_ref()), todo),
            None => self
                .reader
                .wrong_default(&name, what.as_ref(), &todo.into()),
        }
    }

    /// Says of a written value what does not make it wrong.
    pub(super) fn doubt(&self, key: &str, what: impl AsRef<str>, todo: impl Into<String>) {
        let doubt = self.about(key, what.as_ref(), todo.into());
        self.reader.doubts.borrow_mut().extend(doubt);
    }

    /// Says of a written value what is better done another way, and may be meant.
    pub(super) fn advise(&self, key: &str, what: impl AsRef<str>, todo: impl Into<String>) {
        let advice = self.about(key, what.as_ref(), todo.into());
        self.reader.advice.borrow_mut().extend(advice);
    }

    fn about(&self, key: &str, what: &str, todo: String) -> Option<Problem> {
        let place = self.place_of(key)?;
        let what = format!("{} {what}", self.name(key));
        Some(Problem::in_source(self.reader.sources, place, what, todo))
    }

    /// The table below a key, or its absence.
    pub(super) fn section(&self, key: &str) -> Self {
        let node = self.node(key);
        let table = node.and_then(|node| match &node.value {
            Value::Table(table) => Some(table),
            _ => None,
        });
        Section {
            reader: self.reader,
            path: format!("{}.{key}", self.path),
            table,
            place: node.map(|node| &node.place),
        }
    }

    fn name(&self, key: &str) -> String {
        show_path(&format!("{}.{key}", self.path))
    }

    fn mistyped(&self, node: &Node, key: &str, wanted: &str) {
        let what = format!("{} is {}", self.name(key), node.value.kind());
        self.reader
            .wrong(&node.place, what, format!("write {wanted}"));
    }

    pub(super) fn text(&self, key: &str) -> Option<Placed<'a, &'a str>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some(Placed {
                value: text,
                place: &node.place,
            }),
            _ => {
                self.mistyped(node, key, "text in quotes");
                None
            }
        }
    }

    /// A text that must mean something: `read` returns the value, or what to write instead.
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Placed<'a, T>> {
        let Placed { value: text, place } = self.text(key)?;
        match read(text) {
            Ok(value) => Some(Placed { value, place }),
            Err(todo) => {
                let what = format!("{} is `{}`", self.name(key), mask_user(text));
                self.reader.wrong(place, what, todo);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let read = |text: &str| match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None if later.contains(&text) => Err(format!(
                "that is not supported by this version, write {}",
                one_of(&words)
            )),
            None => Err(match nearest(text, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? known: {}", words.join(", ")),
                None => format!("write {}", one_of(&words)),
            }),
        };
        self.read(key, read).map(|placed| placed.value)
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match &node.value {
            Value::Boolean(boolean) => Some(*boolean),
            Value::Text(text) if self.is_untyped(node) && text == "true" => Some(true),
            Value::Text(text) if self.is_untyped(node) && text == "false" => Some(false),
            _ => {
                self.mistyped(node, key, "true or false");
                None
            }
        }
    }

    pub(super) fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let node = self.node(key)?;
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) if self.is_untyped(node) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            Some(number) => {
                let todo = format!("write a number from {} to {}", range.start(), range.end());
                self.wrong(key, format!("is {number}"), todo);
                None
            }
            None => {
                self.mistyped(node, key, "a whole number");
                None
            }
        }
    }

    /// A number of things, at least one.
    pub(super) fn count(&self, key: &str, most: i64) -> Option<usize> {
        self.integer(key, 1..=most)
            .and_then(|number| usize::try_from(number).ok())
    }

    /// Bytes: a number, or text with a unit.
    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(key)?;
        let bytes = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(_) => Some(self.read(key, parse_size)?.value),
            _ => None,
        };
        match bytes {
            Some(bytes) if range.contains(&bytes) => Some(bytes),
            Some(bytes) => {
                let (least, most) = (show_size(*range.start()), show_size(*range.end()));
                let todo = format!("write a size from {least} to {most}");
                self.wrong(key, format!("is {}", show_size(bytes)), todo);
                None
            }
            None => {
                self.mistyped(node, key, "a size such as \"4MiB\" or a number of bytes");
                None
            }
        }
    }

    /// A duration above zero.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        let node = self.node(key)?;
        if !matches!(node.value, Value::Text(_)) {
            self.mistyped(
                node,
                key,
                "a duration with its unit, such as \"30s\" or \"5ms\"",
            );
            return None;
        }
        let duration = self.read(key, parse_duration)?.value;
        if duration.is_zero() {
            self.wrong(
                key,
                "is zero",
                "write a duration above zero, such as \"30s\"",
            );
            return None;
        }
        Some(duration)
    }

    /// A duration, or `"off"` for none.
    pub(super) fn duration_or_off(&self, key: &str, default: Option<Duration>) -> Option<Duration> {
        match self.node(key).map(|node| &node.value) {
            None => default,
            Some(Value::Text(text)) if text == "off" => None,
            Some(_) => self.duration(key).or(default),
        }
    }

    /// A list of texts, or one text.
    pub(super) fn list(&self, key: &str) -> Option<Vec<Placed<'a, &'a str>>> {
        let node = self.node(key)?;
        let place = &node.place;
        match &node.value {
            Value::Text(text) if self.is_untyped(node) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Some(items.map(|value| Placed { value, place }).collect())
            }
            Value::Text(text) => Some(vec![Placed { value: text, place }]),
            Value::List(items) => items.iter().map(|item| self.list_item(item, key)).collect(),
            _ => {
                self.mistyped(node, key, "a list of texts");
                None
            }
        }
    }

    fn list_item(&self, item: &'a Node, key: &str) -> Option<Placed<'a, &'a str>> {
        match &item.value {
            Value::Text(text) => Some(Placed {
                value: text,
                place: &item.place,
            }),
            _ => {
                self.mistyped(item, key, "each item as text in quotes");
                None
            }
        }
    }

    /// A path; relative ones start at the folder of the file that names them.
    pub(super) fn path(&self, key: &str) -> Option<Placed<'a, PathBuf>> {
        let Placed { value, place } = self.text(key)?;
        if value.is_empty() {
            self.wrong(key, "is empty", "write a path, or leave the key out");
            return None;
        }
        Some(Placed {
            value: self.resolve(value, place),
            place,
        })
    }

    pub(super) fn resolve(&self, path: &str, place: &Place) -> PathBuf {
        let source = &self.reader.sources[place.source];
        self.reader
            .current_dir
            .join(source.folder(self.reader.current_dir))
            .join(path)
    }

    pub(super) fn is_untyped(&self, node: &Node) -> bool {
        self.reader.sources[node.place.source].is_untyped()
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("\"{one}\""),
        [most @ .., last] => format!("\"{}\" or \"{last}\"", most.join("\", \"")),
    }
}

/// `plugin[].name` reads better as `plugin.name`.
fn show_path(path: &str) -> String {
    path.replace("[]", "")
}

fn show_section(section: &str) -> String {
    match section.strip_suffix("[]") {
        Some(list) => format!("[[{}]]", show_path(list)),
        None => format!("[{}]", show_path(section)),
    }
}
