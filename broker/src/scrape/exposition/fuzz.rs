//! What must hold for every page, as functions of bytes that any fuzzer can call. They panic when it does not.

use std::collections::{HashMap, HashSet};

use super::{Limits, Merged, Page, Rules, clean};

const SMALL: Limits = Limits {
    page: 64 << 10,
    line: 4 << 10,
    series: 500,
    families: 100,
    labels: 8,
};

/// Any bytes: no panic, and what passes is a page.
pub fn check(text: &[u8]) {
    let rules = Rules {
        limits: SMALL,
        timestamps: true,
        ..Rules::default()
    };
    let Ok(page) = clean(text, &rules) else {
        return;
    };
    let written = page.render();
    assert_eq!(page.is_as_it_was(), written == text, "{}", shown(&written));
    let again = reread(&written, &rules);
    assert_eq!(
        shown(&again.render()),
        shown(&written),
        "a second pass changed the page"
    );
    assert!(
        again.findings.is_empty(),
        "the second pass found {:?}",
        again.findings
    );
    assert_eq!(again.series, page.series);
    assert_eq!(readable(&written), page.series);
    labelled(text, page.series);
}

/// Bytes as choices among pieces of a page, which gets further than bytes as text.
pub fn check_lines(choices: &[u8]) {
    const PIECES: [&str; 56] = [
        "# HELP ",
        "# TYPE ",
        "# UNIT ",
        "# EOF\n",
        "# ",
        "#",
        "a",
        "a_total",
        "a_sum",
        "a_count",
        "a_bucket",
        "a_created",
        "a_info",
        "b",
        "b_sum",
        "up",
        "9x",
        "é",
        " counter",
        " gauge",
        " histogram",
        " summary",
        " untyped",
        " unknown",
        " info",
        " gaugehistogram",
        "{",
        "}",
        "le=\"1\"",
        "le=\"x\"",
        "quantile=\"0.5\"",
        "job=\"j\"",
        "exported_job=\"j\"",
        "instance=\"\\\\\"",
        "a=\"\\\"\"",
        "b=\"\\x\"",
        "__name__=\"a\"",
        ",",
        "=",
        "\"",
        "\\",
        "\n",
        "\n",
        "\n",
        " ",
        "\t",
        "\r",
        " 1",
        " -2.5e3",
        " NaN",
        " +Inf",
        " 1e999",
        " 1700000000000",
        " # {t=\"1\"} 1",
        " \u{2028}",
        " 0x1",
    ];
    let piece = |choice: &u8| PIECES[usize::from(*choice) % PIECES.len()];
    let text: String = choices.iter().map(piece).collect();
    check(text.as_bytes());
}

/// The same page twice, as of two applications: nothing is lost and nobody speaks for another.
fn labelled(text: &[u8], series: usize) {
    let mut merged = Merged::default();
    for instance in ["one", "t\"w\\o\n"] {
        let add = [("job", "j"), ("instance", instance)];
        let rules = Rules {
            limits: SMALL,
            add: &add,
            ..Rules::default()
        };
        let page = clean(text, &rules).expect("passed without labels");
        merged.add(page);
    }
    let written = merged.finish().render();
    assert_eq!(readable(&written), 2 * series);
    for line in shown(&written)
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let ours = line.split_once('{').is_some_and(|(_, labels)| {
            labels.starts_with("job=\"j\",instance=\"one\"")
                || labels.starts_with("job=\"j\",instance=\"t\\\"w\\\\o\\n\"")
        });
        assert!(ours, "whose is {line}?");
    }
}

fn reread(written: &[u8], rules: &Rules<'_>) -> Page {
    let limits = Limits {
        // Renamed labels and escapes make a page longer.
        page: 4 * SMALL.page,
        line: 16 * SMALL.line,
        ..SMALL
    };
    let rules = Rules { limits, ..*rules };
    clean(written, &rules).unwrap_or_else(|refused| panic!("{refused} in\n{}", shown(written)))
}

fn shown(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("a page is UTF-8")
}

/// A reader that shares no code with the pass, and is strict. Counts the series.
fn readable(text: &[u8]) -> usize {
    let mut types = HashMap::new();
    let mut helps = HashSet::new();
    let mut series = HashSet::new();
    for line in shown(text).lines_by_newline() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert!(
                !series.iter().any(|(seen, _)| seen == name),
                "TYPE after series: {line:?}"
            );
            assert!(["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind));
            for suffix in ["_bucket", "_sum", "_count"] {
                let whole = name.strip_suffix(suffix).and_then(|whole| types.get(whole));
                let part = match whole {
                    Some(&"histogram") => true,
                    Some(&"summary") => suffix != "_bucket",
                    _ => false,
                };
                assert!(!part, "TYPE of a part: {line:?}");
            }
            assert!(types.insert(name, kind).is_none(), "second TYPE: {line:?}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let name = rest.split(' ').next().expect("a name");
            assert!(helps.insert(name), "second HELP: {line:?}");
        } else {
            assert!(series.insert(one(line)), "twice: {line:?}");
        }
    }
    series.len()
}

trait Lines {
    fn lines_by_newline(&self) -> std::str::SplitTerminator<'_, char>;
}

impl Lines for str {
    /// Not `lines`, which takes a carriage return for part of the end.
    fn lines_by_newline(&self) -> std::str::SplitTerminator<'_, char> {
        self.split_terminator('\n')
    }
}

/// The name and the sorted labels of a sample.
fn one(line: &str) -> (String, Vec<String>) {
    let name: String = line
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
        .collect();
    assert!(
        name.starts_with(|c: char| !c.is_ascii_digit()),
        "no name: {line:?}"
    );
    let rest = &line[name.len()..];
    let (mut labels, mut label) = (Vec::new(), String::new());
    let (mut quoted, mut escape) = (false, false);
    let mut end = 0;
    for (at, c) in rest.char_indices() {
        end = at;
        match (quoted, escape, c) {
            (true, true, c) => {
                assert!(matches!(c, '\\' | '"' | 'n'), "escape of nothing: {line:?}");
                escape = false;
            }
            (true, false, '\\') => escape = true,
            (_, _, '"') => quoted = !quoted,
            (false, _, ' ') => break,
            (false, _, ',' | '}') => {
                labels.push(std::mem::take(&mut label));
                continue;
            }
            (false, _, '{') => continue,
            _ => {}
        }
        label.push(c);
    }
    assert!(!quoted, "an open quote: {line:?}");
    let names: HashSet<&str> = labels
        .iter()
        .filter_map(|label| label.split('=').next())
        .collect();
    assert_eq!(names.len(), labels.len(), "a label twice: {line:?}");
    labels.sort();
    let numbers: Vec<&str> = rest[end..].split(' ').skip(1).collect();
    assert!(
        matches!(numbers.len(), 1 | 2),
        "one value, perhaps a time: {line:?}"
    );
    assert!(numbers[0].parse::<f64>().is_ok(), "no number: {line:?}");
    assert!(
        numbers
            .get(1)
            .is_none_or(|time| time.parse::<i64>().is_ok()),
        "{line:?}"
    );
    (name, labels)
}
