//! Several pages as one: each family once.

use std::collections::HashMap;

use super::{Family, Page, family::parts_first};

/// Pages of several applications, whose series are told apart by labels that the caller had added.
#[derive(Debug, Default)]
pub struct Merged {
    families: Vec<Family>,
    index: HashMap<String, usize>,
    pub series: usize,
    /// Families that had another type on an earlier page.
    pub left_out: usize,
}

impl Merged {
    pub fn add(&mut self, page: Page) {
        for family in page.families {
            let Some(at) = self.index.get(&family.name) else {
                self.series += family.series;
                self.index.insert(family.name.clone(), self.families.len());
                self.families.push(family);
                continue;
            };
            let held = &mut self.families[*at];
            if held.kind != family.kind {
                self.left_out += 1;
                continue;
            }
            self.series += family.series;
            held.series += family.series;
            held.body.append(family.body);
        }
    }

    pub fn bytes(&self) -> usize {
        self.families.iter().map(Family::size).sum()
    }

    pub fn finish(self) -> Page {
        Page {
            families: parts_first(self.families),
            series: self.series,
            ..Page::default()
        }
    }
}
