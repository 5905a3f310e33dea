//! A family of a page as somebody else wants it.

use std::borrow::Cow;

use super::{
    Family, Rules,
    labels::{quote, settle, write_sample},
    line::{self, Line},
};

/// What is to be different. What is none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub name: Option<String>,
    pub help: Option<String>,
    /// To be set on each series; an empty value removes the label.
    pub labels: Vec<(String, String)>,
}

impl Family {
    /// Writes the family with the change. What comes out is to be read again: series may have become the same.
    pub fn change(&self, change: &Change, text: &mut Vec<u8>) {
        let name = change.name.as_ref().unwrap_or(&self.name);
        let help = change.help.as_ref().map(|help| help.replace('\n', "\\n"));
        self.write_head(name, help.as_ref().or(self.help.as_ref()), text);
        if change.name.is_none() && change.labels.is_empty() {
            self.body.write(text);
            return;
        }
        let rules = Rules {
            reserved: &[],
            ..Rules::default()
        };
        let (mut labels, mut pairs) = (Vec::new(), Vec::new());
        let mut body = Vec::with_capacity(self.body.len());
        self.body.write(&mut body);
        for line in String::from_utf8_lossy(&body).split_terminator('\n') {
            // It was written by this room.
            let Ok(Line::Sample(sample)) = line::parse(line, &mut labels, "") else {
                continue;
            };
            let mut own = std::mem::take(&mut pairs);
            if settle(&sample, &labels, &rules, &mut own).is_err() {
                continue;
            }
            for (label, value) in &change.labels {
                own.retain(|(known, _)| known != label);
                if !value.is_empty() {
                    own.push((Cow::Borrowed(label), quote(value)));
                }
            }
            let part = sample.name.strip_prefix(&*self.name).unwrap_or_default();
            let timestamp = sample.timestamp.and_then(|millis| millis.parse().ok());
            write_sample(
                text,
                &format!("{name}{part}"),
                &rules,
                &own,
                sample.value,
                timestamp,
            );
        }
    }
}
