//! One line of a page.
//!
//! ```text
//! # HELP name text        # TYPE name kind        # UNIT name unit        # EOF
//! name{label="value",...} value [timestamp] [# {exemplar} value]
//! ```

use std::ops::Range;

/// A line that says something.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'t> {
    /// Nothing, or a comment.
    Empty,
    Help(&'t str, &'t str),
    Type(&'t str, &'t str),
    Eof,
    Sample(Sample<'t>),
}

/// One sample; the labels are in the scratch that was given to [`parse`].
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'t> {
    pub(super) name: &'t str,
    /// Between the braces.
    pub(super) labels: &'t str,
    pub(super) value: &'t str,
    pub(super) timestamp: Option<&'t str>,
    pub(super) exemplar: bool,
    /// The line, when it is already written as this room writes it: no blank or comma too many, no timestamp.
    pub(super) as_written: Option<&'t str>,
}

/// Where a label stands in [`Sample::labels`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) name: Range<usize>,
    /// As it was written, without the quotes.
    pub(super) value: Range<usize>,
    /// Whether every backslash in it means something.
    pub(super) clean: bool,
}

/// `before` is the name on the line before: what begins with it again needs no second look.
pub(super) fn parse<'t>(
    line: &'t str,
    labels: &mut Vec<Label>,
    before: &str,
) -> Result<Line<'t>, String> {
    let line = trimmed(line);
    match line.as_bytes().first() {
        None => Ok(Line::Empty),
        Some(b'#') => comment(&line[1..]),
        Some(_) => sample(line, labels, before).map(Line::Sample),
    }
}

/// Without blanks at its ends.
fn trimmed(line: &str) -> &str {
    let ends = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t' | b'\r'));
    let bytes = line.as_bytes();
    match ends(bytes.first()) || ends(bytes.last()) {
        true => line.trim_matches(BLANKS),
        false => line,
    }
}

/// A carriage return before the end of a line is no part of it.
const BLANKS: [char; 3] = [' ', '\t', '\r'];

fn comment(text: &str) -> Result<Line<'_>, String> {
    let Some(rest) = text.strip_prefix([' ', '\t']) else {
        return Ok(Line::Empty);
    };
    let (word, rest) = token(rest.trim_start_matches(BLANKS));
    match word {
        "EOF" if rest.is_empty() => Ok(Line::Eof),
        "HELP" | "TYPE" | "UNIT" => {
            let (name, rest) = token(rest);
            if !is_metric_name(name) {
                return Err(format!("{word} of what is no metric name: {}", shown(name)));
            }
            Ok(match word {
                "HELP" => Line::Help(name, rest),
                "TYPE" => Line::Type(name, rest),
                _ => Line::Empty,
            })
        }
        _ => Ok(Line::Empty),
    }
}

/// The first word, and what is behind the blanks that follow it.
fn token(text: &str) -> (&str, &str) {
    let end = text.bytes().position(is_blank).unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    (token, unindented(rest))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn unindented(text: &str) -> &str {
    let start = text.bytes().position(|byte| !is_blank(byte));
    &text[start.unwrap_or(text.len())..]
}

fn sample<'t>(line: &'t str, labels: &mut Vec<Label>, before: &str) -> Result<Sample<'t>, String> {
    labels.clear();
    let bytes = line.as_bytes();
    let (end, kinds) = match bytes.strip_prefix(before.as_bytes()) {
        Some([b'{' | b' ', ..]) if !before.is_empty() => (before.len(), WORD),
        _ => name_end(bytes, 0),
    };
    let (name, rest) = line.split_at(end);
    if name.is_empty() && rest.starts_with('{') {
        return Err("names in quotes are a later format; write [a-zA-Z_:][a-zA-Z0-9_:]*".into());
    }
    if kinds == 0 || bytes[0].is_ascii_digit() {
        return Err(format!("no metric name: {}", shown(line)));
    }
    let rest = unindented(rest);
    let (span, rest) = match rest.strip_prefix('{') {
        Some(inside) => {
            let close = braces(inside, labels)?;
            (&inside[..close], &inside[close + 1..])
        }
        None if rest.len() == line.len() - end && !rest.is_empty() => {
            return Err(format!("no metric name: {}", shown(line)));
        }
        None => ("", rest),
    };
    let (value, rest) = token(unindented(rest));
    check_value(value)?;
    let (timestamp, rest) = match token(rest) {
        ("" | "#", _) => (None, rest),
        (timestamp, rest) => (Some(timestamp), rest),
    };
    let exemplar = rest.starts_with('#');
    if !rest.is_empty() && !exemplar {
        return Err(format!(
            "more than a timestamp follows the value: {}",
            shown(rest)
        ));
    }
    Ok(Sample {
        name,
        labels: span,
        value,
        timestamp,
        exemplar,
        as_written: is_terse(line, name, labels, value).then_some(line),
    })
}

/// Whether nothing stands on the line but what has to: all of it was read in this order, so its length tells.
fn is_terse(line: &str, name: &str, labels: &[Label], value: &str) -> bool {
    let label = |label: &Label| label.name.len() + label.value.len() + r#"="","#.len();
    let labels = match labels {
        [] => 0,
        some => some.iter().map(label).sum::<usize>() + "{}".len() - ",".len(),
    };
    let before = name.len() + labels;
    line.len() == before + 1 + value.len() && line.as_bytes()[before] == b' '
}

/// Notes every label up to the closing brace, and says where that is.
fn braces(text: &str, labels: &mut Vec<Label>) -> Result<usize, String> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize| {
        while matches!(bytes.get(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        at
    };
    let mut at = skip(0);
    loop {
        if bytes.get(at) == Some(&b'}') {
            return Ok(at);
        }
        let start = at;
        let (end, kinds) = name_end(bytes, at);
        at = end;
        let name = start..end;
        // Names that begin with two underscores belong to Prometheus.
        let legal = kinds & COLON == 0 && kinds != 0 && !bytes[start].is_ascii_digit();
        if !legal || bytes[start..end].starts_with(b"__") {
            return Err(format!("no label name: {}", shown(&text[start..])));
        }
        at = skip(at);
        if bytes.get(at) != Some(&b'=') {
            return Err(format!("no = after the label {}", &text[name]));
        }
        at = skip(at + 1);
        if bytes.get(at) != Some(&b'"') {
            return Err(format!("no quote before the value of {}", &text[name]));
        }
        let start = at + 1;
        let Some((end, clean)) = quoted(bytes, start) else {
            return Err(format!("the value of {} does not end", &text[name]));
        };
        labels.push(Label {
            name,
            value: start..end,
            clean,
        });
        at = skip(end + 1);
        match bytes.get(at) {
            Some(b',') => at = skip(at + 1),
            Some(b'}') => {}
            _ => return Err(format!("no comma or brace: {}", shown(&text[at..]))),
        }
    }
}

/// Where the quote is that ends a value, and whether each backslash in it escapes something.
fn quoted(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut clean = true;
    loop {
        at += plain(bytes.get(at..)?);
        if *bytes.get(at)? == b'"' {
            return Some((at, clean));
        }
        clean &= matches!(bytes.get(at + 1)?, b'\\' | b'"' | b'n');
        at += 2;
    }
}

/// How many bytes come before the next quote or backslash. Eight are looked at together: values are short, and a
/// search that is made for long ones costs more to begin with.
fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let found = zeros(eight ^ (b'"' as u64 * ONES)) | zeros(eight ^ (b'\\' as u64 * ONES));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter();
    at + { rest.take_while(|byte| !matches!(byte, b'"' | b'\\')) }.count()
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte that is zero, up to the first; beyond that one it may be of others too.
const fn zeros(eight: u64) -> u64 {
    eight.wrapping_sub(ONES) & !eight & (ONES << 7)
}

/// A number as Prometheus reads it: decimal, or one of the words for no number and for infinity.
fn check_value(text: &str) -> Result<(), String> {
    if is_decimal(text) || number(text).is_some() {
        return Ok(());
    }
    Err(match text {
        "" => "no value".into(),
        text => format!("no number: {}", shown(text)),
    })
}

/// Digits and perhaps a point between them: what nearly all values are, and surely a number.
fn is_decimal(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
        end.unwrap_or(bytes.len())
    };
    let whole = digits(bytes);
    let part = match bytes.get(whole) {
        Some(b'.') => digits(&bytes[whole + 1..]) + 1,
        _ => 0,
    };
    bytes.len() < 300 && whole > 0 && part != 1 && whole + part == bytes.len()
}

pub(super) fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let unsigned = text.trim_start_matches(['+', '-']);
    let word = unsigned.starts_with(|first: char| first.is_ascii_alphabetic());
    // Too large for a double: others refuse it, and so the page.
    let overflow = value.is_infinite() && !word;
    let signed_nan = value.is_nan() && unsigned.len() != text.len();
    (!overflow && !signed_nan).then_some(value)
}

/// What a name is made of: letters, digits and underscores; those of metrics also of colons.
const WORD: u8 = 1;
const COLON: u8 = 2;
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() || byte == b'_' as usize {
            kinds[byte] = WORD;
        }
        byte += 1;
    }
    kinds[b':' as usize] = COLON;
    kinds
};

/// Where the name ends that begins at `at`, and which kinds of bytes are in it; 0 when it is empty.
fn name_end(bytes: &[u8], mut at: usize) -> (usize, u8) {
    let mut kinds = 0;
    while let Some(kind @ 1..) = bytes.get(at).map(|byte| KINDS[usize::from(*byte)]) {
        kinds |= kind;
        at += 1;
    }
    (at, kinds)
}

fn is_metric_name(name: &str) -> bool {
    let (end, _) = name_end(name.as_bytes(), 0);
    end == name.len()
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

/// A little of a text, for a message.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
