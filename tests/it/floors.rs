//! The house: rooms stand on floors, and arrows point down only.
//!
//! A room may use rooms on floors below its own, never above and never beside. The compiler holds the walls
//! between packages; this test holds the floors inside each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::tidy::{rust_files, workspace};

/// One package: its floors from top to bottom. Rooms on one floor do not know each other.
struct House {
    source: &'static str,
    floors: &'static [&'static [&'static str]],
    /// Whether every room must stand on a floor; otherwise one that does not may look anywhere.
    complete: bool,
}

const HOUSES: [House; 3] = [
    House {
        source: "broker/src",
        floors: &[
            &["main"],
            &["cli"],
            &["server"],
            &["config"],
            &["admin"],
            &["builtin"],
            &["gateway", "cluster", "scrape"],
            &["relay"],
            &["chain"],
            &["identity", "directory"],
            &["telemetry"],
        ],
        complete: true,
    },
    House {
        source: "broker/rsocket/src",
        floors: &[
            &["endpoint"],
            &["net"],
            &["engine"],
            &["metadata"],
            &["wire"],
        ],
        complete: true,
    },
    House {
        source: "broker/plugin-host/src",
        floors: &[&["plugin"], &["instance"], &["engine"], &["bindings"]],
        complete: false,
    },
];

impl House {
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&room))
    }

    /// The arrows in one file that do not point down. `depth` counts the modules above the file's own.
    fn offences(&self, room: &str, depth: usize, text: &str, exports: &Exports) -> Vec<String> {
        let Some(here) = self.floor(room) else {
            let homeless = format!("{room} stands on no floor; add it to the house");
            return if self.complete {
                vec![homeless]
            } else {
                Vec::new()
            };
        };
        let mut offences = BTreeSet::new();
        for name in names_used(text, depth) {
            let other = exports.get(&name).unwrap_or(&name);
            match self.floor(other) {
                Some(there) if other != room && there <= here => {
                    let way = if there == here { "sideways" } else { "up" };
                    offences.insert(format!("{room} looks {way} at {other}"));
                }
                _ => {}
            }
        }
        offences.into_iter().collect()
    }
}

/// What the crate root re-exports: the name, and the room it comes from.
type Exports = BTreeMap<String, String>;

fn exports(root: &str) -> Exports {
    let mut exports = Exports::new();
    for (at, prefix) in root.match_indices("pub use ") {
        let path = &root[at + prefix.len()..];
        let path = &path[..path.find(';').unwrap_or(path.len())];
        let Some((room, names)) = path.split_once("::") else {
            continue;
        };
        for name in first_names(names) {
            exports.insert(name, room.trim().to_owned());
        }
    }
    exports
}

/// Every `x` in `crate::x` and `crate::{x, y::z}`, however the crate's root is spelled, outside comments.
fn names_used(text: &str, depth: usize) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(without_comment)
        .collect::<Vec<_>>()
        .join("\n");
    let mut names = BTreeSet::new();
    for word in ["crate::", "super::"] {
        for (at, _) in code.match_indices(word) {
            let rest = code[at..].trim_start_matches(word);
            let steps = (code.len() - at - rest.len()) / word.len();
            let fresh = code[..at]
                .chars()
                .next_back()
                .is_none_or(|c| !is_name(c) && c != ':');
            if fresh && (word == "crate::" || steps >= depth) {
                names.extend(first_names(rest));
            }
        }
    }
    names
}

/// A link in a comment is no arrow.
fn without_comment(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// The first segment of a path, or those of every path in a group.
fn first_names(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        let name: String = path.chars().take_while(|c| is_name(*c)).collect();
        return vec![name];
    };
    let (mut names, mut depth, mut fresh, mut name) = (Vec::new(), 0_u32, true, String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(std::mem::take(&mut name));
                fresh = true;
            }
            _ if depth > 0 => {}
            c if is_name(c) && fresh => name.push(c),
            c if c.is_whitespace() && name.is_empty() => {}
            _ => fresh = false,
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The room a file belongs to: the first folder, or the file itself at the top.
fn room_of(source: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(source).expect("a file of this house");
    let first = inside.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// How many times `super` leads from the file's module to the crate's root.
fn depth_of(source: &Path, file: &Path) -> usize {
    let parts = file
        .strip_prefix(source)
        .expect("a file of this house")
        .iter()
        .count();
    if file.ends_with("mod.rs") {
        parts - 1
    } else {
        parts
    }
}

#[test]
fn arrows_point_down() {
    let mut offences = Vec::new();
    for house in HOUSES {
        let source = workspace().join(house.source);
        let root = fs::read_to_string(source.join("lib.rs")).expect("a crate root");
        let exports = exports(&root);
        for file in rust_files(&source) {
            let room = room_of(&source, &file);
            if room == "lib" || room == "bin" {
                continue;
            }
            let depth = depth_of(&source, &file);
            let text = fs::read_to_string(&file).expect("a source file");
            for offence in house.offences(&room, depth, &text, &exports) {
                offences.push(format!("{}: {offence}", file.display()));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn a_planted_violation_is_caught() {
    let [broker, rsocket, host] = &HOUSES;
    let up = "directory looks up at relay";
    let exports =
        exports("mod plugin;\npub use plugin::{Plugin, Other};\npub use engine::Engine;\n");
    for (house, room, text, caught) in [
        (broker, "directory", "use crate::relay::Link;", vec![up]),
        (
            broker,
            "directory",
            "use crate::{telemetry, relay::Link};",
            vec![up],
        ),
        (
            broker,
            "directory",
            "use crate::{\n    telemetry::{a, b},\n    relay::{Link, Ticket},\n    identity,\n};",
            vec!["directory looks sideways at identity", up],
        ),
        (broker, "directory", "let x = crate::relay::go();", vec![up]),
        (
            broker,
            "directory",
            "use super::super::relay::Link;",
            vec![up],
        ),
        (
            broker,
            "directory",
            "mod t { use super::super::super::{relay, x}; }",
            vec![up],
        ),
        (
            broker,
            "relay",
            "fn f(x: crate::server::Y) {}",
            vec!["relay looks up at server"],
        ),
        (broker, "relay", "use crate::directory::Table;", vec![]),
        (
            broker,
            "relay",
            "use crate::relay::Link; use super::server;",
            vec![],
        ),
        (
            broker,
            "relay",
            "/// See [`crate::server`].\n// crate::cli",
            vec![],
        ),
        (broker, "relay", "use other_crate::server;", vec![]),
        (
            broker,
            "relay",
            "let target = \"jackfield::server=debug\";",
            vec![],
        ),
        (
            broker,
            "cellar",
            "",
            vec!["cellar stands on no floor; add it to the house"],
        ),
        (
            rsocket,
            "wire",
            "use crate::engine::Connection;",
            vec!["wire looks up at engine"],
        ),
        (
            rsocket,
            "endpoint",
            "use crate::{engine, net, wire};",
            vec![],
        ),
        (
            host,
            "engine",
            "use crate::{Engine, Plugin};",
            vec!["engine looks up at plugin"],
        ),
        (
            host,
            "plugin",
            "use crate::{Engine, digest::Digest};",
            vec![],
        ),
        (host, "digest", "use crate::Plugin;", vec![]),
    ] {
        assert_eq!(
            house.offences(room, 2, text, &exports),
            caught,
            "{room}: {text}"
        );
    }
}

#[test]
fn depth_is_counted_from_the_root() {
    let source = Path::new("broker/src");
    for (file, depth) in [
        ("main.rs", 1),
        ("relay/mod.rs", 1),
        ("relay/link.rs", 2),
        ("a/b/c.rs", 3),
    ] {
        assert_eq!(depth_of(source, &source.join(file)), depth, "{file}");
    }
}
