//! `docs/conformance.md` says for each statement of the protocol which tests prove it. A test names
//! its statements in its doc comment, and this keeps the page in step.

use std::{collections::BTreeMap, env, fs, path::Path};

use crate::tidy::{rust_files, workspace};

/// Where tests that prove statements live, and how the page calls those folders.
const SOURCES: [(&str, &str); 4] = [
    ("broker/rsocket/src", "rsocket"),
    ("broker/src", "broker"),
    ("tests/it", "it"),
    ("tests/load", "load"),
];

const PAGE: &str = "docs/conformance.md";

const STATEMENTS: u16 = 140;

/// Statements that no test proves yet. This list only gets shorter.
const OPEN: &[u16] = &[38, 39, 130, 133, 136, 139];

/// A test and the statements it says it proves.
#[derive(Debug, PartialEq, Eq)]
struct Proof {
    name: String,
    statements: Vec<u16>,
}

/// `54, 83 to 85 and 90: text` as numbers; the text behind them is anything.
fn numbers(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    let mut rest = text;
    let mut range = false;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at(digits);
        let number = number.parse().ok()?;
        match (range, numbers.last()) {
            (true, Some(&first)) => numbers.extend(first + 1..=number),
            _ => numbers.push(number),
        }
        let joints = [(", ", false), (" and ", false), (" to ", true)];
        let begins_number = |text: &&str| text.starts_with(|c: char| c.is_ascii_digit());
        let next = joints.iter().find_map(|&(joint, range)| {
            let rest = behind.strip_prefix(joint).filter(begins_number)?;
            Some((rest, range))
        });
        match next {
            Some(next) => (rest, range) = next,
            None => return Some(numbers),
        }
    }
}

/// The proofs in a source text, or the line number of a marker that belongs to no test.
fn proofs(text: &str) -> Result<Vec<Proof>, usize> {
    let mut proofs = Vec::new();
    let mut pending: Option<(usize, Vec<u16>, bool)> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(marker) = line.strip_prefix("/// Conformance ") {
            let statements = numbers(marker).ok_or(at + 1)?;
            pending = Some((at + 1, statements, false));
            continue;
        }
        let Some((marked, statements, is_test)) = &mut pending else {
            continue;
        };
        if line.starts_with("#[") {
            *is_test |= line.contains("test");
        } else if let Some((_, name)) = line.split_once("fn ") {
            let name = name.split(['(', '<']).next().unwrap_or_default().to_owned();
            if !*is_test {
                return Err(*marked);
            }
            let statements = std::mem::take(statements);
            proofs.push(Proof { name, statements });
            pending = None;
        } else if !line.starts_with("///") {
            return Err(*marked);
        }
    }
    match pending {
        Some((marked, ..)) => Err(marked),
        None => Ok(proofs),
    }
}

/// All proofs: statement to links, in the order of the files.
fn collect() -> BTreeMap<u16, Vec<String>> {
    let mut all: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (folder, called) in SOURCES {
        let root = workspace().join(folder);
        for file in rust_files(&root) {
            let text = fs::read_to_string(&file).expect("a source file");
            let proofs = proofs(&text).unwrap_or_else(|line| {
                panic!("{}:{line}: a marker of no test", file.display());
            });
            let inside = file.strip_prefix(&root).expect("a file of the folder");
            for proof in proofs {
                let link = link(folder, called, inside, &proof.name);
                for statement in proof.statements {
                    all.entry(statement).or_default().push(link.clone());
                }
            }
        }
    }
    all
}

fn link(folder: &str, called: &str, file: &Path, test: &str) -> String {
    let file = file.to_string_lossy().replace('\\', "/");
    let short = file
        .trim_end_matches(".rs")
        .trim_end_matches("/tests")
        .trim_end_matches("/mod");
    let module = short.replace("/tests/", "/").replace('/', "::");
    format!("[{called}::{module}::{test}](../{folder}/{file})")
}

/// The page with its last column as the proofs say.
fn page(page: &str, proofs: &BTreeMap<u16, Vec<String>>) -> String {
    let mut out = String::new();
    for line in page.lines() {
        match statement(line) {
            Some((number, cells)) => {
                let links = proofs
                    .get(&number)
                    .map_or(String::new(), |links| links.join("<br>"));
                out.push_str(&format!("{cells}| {links} |"));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Of a row: its number, and everything before its last cell.
fn statement(line: &str) -> Option<(u16, &str)> {
    let number = line.strip_prefix("| ")?.split(' ').next()?.parse().ok()?;
    let before_last = line.trim_end().trim_end_matches('|').rfind(" | ")? + 1;
    Some((number, &line[..before_last]))
}

#[test]
fn the_conformance_page_is_what_the_tests_say() {
    let path = workspace().join(PAGE);
    let written = fs::read_to_string(&path).expect(PAGE);
    let rows: Vec<u16> = written
        .lines()
        .filter_map(statement)
        .map(|(number, _)| number)
        .collect();
    assert_eq!(
        rows,
        (1..=STATEMENTS).collect::<Vec<_>>(),
        "{PAGE} has each statement once"
    );
    let proofs = collect();
    if let Some(beyond) = proofs.keys().find(|number| !rows.contains(number)) {
        panic!("there is no statement {beyond}");
    }
    let open: Vec<u16> = rows
        .into_iter()
        .filter(|number| !proofs.contains_key(number))
        .collect();
    assert_eq!(
        open, OPEN,
        "statements without a test (left) and those known to have none (right)"
    );
    let page = page(&written, &proofs);
    if env::var_os("JACKFIELD_WRITE_DOCS").is_some() {
        fs::write(&path, page).expect(PAGE);
    } else {
        assert!(
            page == written,
            "{PAGE} is out of date: run this with JACKFIELD_WRITE_DOCS=1"
        );
    }
}

#[test]
fn markers_are_read_as_they_are_meant() {
    for (text, read) in [
        ("54", Some(vec![54])),
        ("54, 83.", Some(vec![54, 83])),
        ("17 to 19, 24: text, 3 of it", Some(vec![17, 18, 19, 24])),
        ("99 and 100: text", Some(vec![99, 100])),
        ("list", None),
    ] {
        assert_eq!(numbers(text), read, "{text}");
    }
    let good = "/// Conformance 1, 2: so.\n/// More.\n#[tokio::test]\nasync fn it_is<T>(x: T) {\n";
    let proof = Proof {
        name: "it_is".into(),
        statements: vec![1, 2],
    };
    assert_eq!(proofs(good), Ok(vec![proof]));
    for (bad, line) in [
        ("/// Conformance 1.\nfn no_test() {}", 1),
        ("\n/// Conformance 1.\nstruct NoTest;", 2),
        ("/// Conformance x.\n#[test]\nfn no_number() {}", 1),
        ("/// Conformance 1.", 1),
    ] {
        assert_eq!(proofs(bad), Err(line), "{bad}");
    }
}

#[test]
fn the_last_cell_is_replaced_and_nothing_else() {
    let proofs = BTreeMap::from([(7, vec!["[a](b)".to_owned(), "[c](d)".to_owned()])]);
    for before in ["| 7 | M | text | |", "| 7 | M | text | [old](e) |"] {
        assert_eq!(
            page(before, &proofs),
            "| 7 | M | text | [a](b)<br>[c](d) |\n"
        );
    }
    assert_eq!(
        page("# Title\n\n| no. | tag |", &proofs),
        "# Title\n\n| no. | tag |\n"
    );
}
