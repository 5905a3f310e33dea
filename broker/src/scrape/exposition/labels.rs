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

/// The names and values of a sample's labels as they came.
pub(super) fn spans<'t>(
    sample: &Sample<'t>,
    labels: &[Label],
) -> impl Iterator<Item = (&'t str, &'t str)> + Clone {
    let text = sample.labels;
    let span = move |label: &Label| (&text[label.name.clone()], &text[label.value.clone()]);
    labels.iter().map(span)
}

/// The line as it is, if there is nothing to be done to it or said about it.
pub(super) fn untouched<'t>(
    sample: &Sample<'t>,
    labels: &[Label],
    rules: &Rules<'_>,
) -> Option<&'t str> {
    let text = sample.as_written.filter(|_| rules.add.is_empty())?;
    let name = |label: &Label| &sample.labels[label.name.clone()];
    for (at, label) in labels.iter().enumerate() {
        let twice = labels[..at].iter().any(|other| name(other) == name(label));
        if twice || !label.clean || rules.reserved.contains(&name(label)) {
            return None;
        }
    }
    Some(text)
}

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

/// The hash of a series beyond that of its name; the same for any order of the labels.
///
/// Each label is hashed as it is written: `name="value"`.
pub(super) fn labels_hash<'l>(state: &RandomState, written: impl Iterator<Item = &'l [u8]>) -> u64 {
    written.fold(0_u64, |sum, label| sum.wrapping_add(state.hash_one(label)))
}

/// The labels of a line that is left as it is.
pub(super) fn written<'t>(sample: &Sample<'t>, labels: &[Label]) -> impl Iterator<Item = &'t [u8]> {
    let text = sample.labels.as_bytes();
    let span = move |label: &Label| &text[label.name.start..label.value.end + 1];
    labels.iter().map(span)
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
            body.push(std::mem::replace(&mut before, b','));
            write_pair(body, name, &quote(value));
        }
        for (name, value) in pairs {
            body.push(std::mem::replace(&mut before, b','));
            write_pair(body, name, value);
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

/// One label of it.
pub(super) fn write_pair(body: &mut Vec<u8>, name: &str, value: &str) {
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"=\"");
    body.extend_from_slice(value.as_bytes());
    body.push(b'"');
}

/// A value of ours, with what must be escaped.
pub(super) fn quote(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    Cow::Owned(quoted.replace('\n', "\\n"))
}
