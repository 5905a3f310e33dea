//! The labels of one sample: checked, renamed where they are not the application's to set, and written.

use std::{borrow::Cow, hash::BuildHasher};

use foldhash::fast::RandomState;

use super::{
    Rules,
    line::{Label, Sample},
};

/// What Prometheus puts before a label that the target may not set.
const EXPORTED: &str = "exported_";

/// One pair as it will be written.
pub(super) type Pair<'t> = (Cow<'t, str>, Cow<'t, str>);

/// The labels of a sample as they will be written, in `pairs`. Says how many were renamed.
pub(super) fn settle<'t>(
    sample: &Sample<'t>,
    labels: &[Label],
    rules: &Rules<'_>,
    pairs: &mut Vec<Pair<'t>>,
) -> Result<usize, String> {
    pairs.clear();
    for label in labels {
        let name = &sample.labels[label.name.clone()];
        if pairs.iter().any(|(other, _)| other == name) {
            return Err(format!("the label {name} is there twice"));
        }
        let value = &sample.labels[label.value.clone()];
        let value = match label.clean {
            true => Cow::Borrowed(value),
            false => Cow::Owned(escaped(value)),
        };
        pairs.push((Cow::Borrowed(name), value));
    }
    let mut renamed = 0;
    for at in 0..pairs.len() {
        if rules.reserved.contains(&&*pairs[at].0) {
            let mut name = format!("{EXPORTED}{}", pairs[at].0);
            while pairs.iter().any(|(other, _)| *other == name) {
                name.insert_str(0, EXPORTED);
            }
            pairs[at].0 = Cow::Owned(name);
            renamed += 1;
        }
    }
    Ok(renamed)
}

/// A backslash that escapes nothing stands for itself.
fn escaped(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        fixed.push(c);
        if c != '\\' {
            continue;
        }
        match chars.next_if(|next| matches!(next, '\\' | '"' | 'n')) {
            Some(next) => fixed.push(next),
            None => fixed.push('\\'),
        }
    }
    fixed
}

/// The same for any order of the labels.
pub(super) fn series_hash(state: &RandomState, name: &str, pairs: &[Pair<'_>]) -> u64 {
    pairs
        .iter()
        .fold(state.hash_one(name), |sum, (name, value)| {
            sum.wrapping_add(state.hash_one((&**name, &**value)))
        })
}

/// One line of a page.
pub(super) fn write_sample(
    body: &mut Vec<u8>,
    name: &str,
    rules: &Rules<'_>,
    pairs: &[Pair<'_>],
    value: &str,
    timestamp: Option<i64>,
) {
    body.extend_from_slice(name.as_bytes());
    if !pairs.is_empty() || !rules.add.is_empty() {
        let mut before = b'{';
        for (name, value) in rules.add {
            write_pair(body, &mut before, name, &quote(value));
        }
        for (name, value) in pairs {
            write_pair(body, &mut before, name, value);
        }
        body.push(b'}');
    }
    body.push(b' ');
    body.extend_from_slice(value.as_bytes());
    if let Some(timestamp) = timestamp {
        body.extend_from_slice(format!(" {timestamp}").as_bytes());
    }
    body.push(b'\n');
}

fn write_pair(body: &mut Vec<u8>, before: &mut u8, name: &str, value: &str) {
    body.push(*before);
    *before = b',';
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"=\"");
    body.extend_from_slice(value.as_bytes());
    body.push(b'"');
}

/// A value of ours, with what must be escaped.
fn quote(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    Cow::Owned(quoted.replace('\n', "\\n"))
}
