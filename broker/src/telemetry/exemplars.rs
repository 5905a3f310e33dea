//! Which trace shows what a bucket counts: the way from a histogram to one of its calls.

use std::{collections::HashMap, time::SystemTime};

use prometheus::proto::LabelPair;

/// One call that was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    pub trace_id: u128,
    pub value: f64,
    pub at: SystemTime,
}

/// Those of all histograms, when somebody looks.
#[derive(Debug, Default)]
pub struct Exemplars(HashMap<(String, Labels), Vec<Option<Exemplar>>>);

/// Sorted: the registry has an order of its own.
type Labels = Vec<(String, String)>;

impl Exemplars {
    /// Of one histogram: one for each bucket, the last for what is above all bounds.
    pub fn insert(&mut self, family: &str, labels: &[(&str, &str)], kept: Vec<Option<Exemplar>>) {
        let labels = labels.iter().copied();
        self.0.insert((family.to_owned(), sorted(labels)), kept);
    }

    pub(super) fn of(&self, family: &str, labels: &[LabelPair]) -> &[Option<Exemplar>] {
        if self.0.is_empty() {
            return &[];
        }
        let labels = labels.iter().map(|pair| (pair.name(), pair.value()));
        let found = self.0.get(&(family.to_owned(), sorted(labels)));
        found.map_or(&[], Vec::as_slice)
    }
}

fn sorted<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> Labels {
    let mut labels: Labels = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    labels.sort();
    labels
}
