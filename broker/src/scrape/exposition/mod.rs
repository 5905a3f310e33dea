//! The exposition pass: what an application says about itself becomes a page that Prometheus takes, or a reason
//! why not.
//!
//! ```text
//! bytes ── line.rs ──► one line ── family.rs ──► its family ── labels.rs ──► one sample of the page
//! ```
//!
//! One pass over the bytes, family by family: names, values, escapes and limits are checked, families that are
//! scattered are brought together, labels an application may not set are renamed as Prometheus renames them, series
//! that are there twice are kept once. Read are the text format 0.0.4 and OpenMetrics 1.0; written is 0.0.4.
//!
//! Invariants
//! - what is written can be read: by Prometheus, and by this pass, which then changes nothing
//! - what cannot be mended without a guess is refused as a whole, with the line and the reason; a page is never cut
//!   where it became too long, because half a page looks like an application that forgot the rest
//! - nothing panics, and what is held is bounded by the page and [`Limits`]
//!
//! Looks at no other room.

mod change;
mod family;
mod fuzz;
mod labels;
mod line;
mod merge;
mod pass;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use thiserror::Error;

pub use change::Change;
pub use family::{Family, Kind};
pub use fuzz::{check, check_lines};
pub use merge::Merged;
pub use pass::{clean, clean_shared};

/// The media type of what is written.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a page may hold. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub page: usize,
    pub line: usize,
    pub series: usize,
    pub families: usize,
    /// Of one series.
    pub labels: usize,
}

impl Limits {
    /// For a page that has passed.
    pub const ENDLESS: Self = Self {
        page: usize::MAX,
        line: usize::MAX,
        series: usize::MAX,
        families: usize::MAX,
        labels: usize::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            page: 16 << 20,
            line: 64 << 10,
            series: 100_000,
            families: 20_000,
            labels: 64,
        }
    }
}

/// How a page is read and what is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    pub limits: Limits,
    /// Whether times that the application wrote are kept.
    pub timestamps: bool,
    /// Labels the application may not set; one that does finds it as `exported_` and the name.
    pub reserved: &'r [&'r str],
    /// Written into every series.
    pub add: &'r [(&'r str, &'r str)],
    /// Whether it is OpenMetrics, where somebody has said so; else its last line tells.
    pub open: Option<bool>,
}

/// Labels that say who was scraped: Prometheus sets them.
pub const TARGET_LABELS: &[&str] = &["job", "instance"];

impl Default for Rules<'_> {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timestamps: false,
            reserved: TARGET_LABELS,
            add: &[],
            open: None,
        }
    }
}

/// Why a page is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("the page has {size} bytes; metrics.page-bytes allows {limit}")]
    Page { size: usize, limit: usize },
    #[error("line {line} is not UTF-8")]
    NotUtf8 { line: usize },
    #[error("line {line} is longer than metrics.line-bytes, {limit}")]
    Line { line: usize, limit: usize },
    #[error("line {line}: the page has more than {limit} series; metrics.series allows no more")]
    Series { line: usize, limit: usize },
    #[error("line {line}: the page has more than {limit} metrics; metrics.families allows no more")]
    Families { line: usize, limit: usize },
    #[error("line {line} has more than {limit} labels; metrics.labels allows no more")]
    Labels { line: usize, limit: usize },
    #[error("line {line}: {what}")]
    Malformed { line: usize, what: String },
}

/// Something that was mended, or that a person may want to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Counted from 1; 0 for the page as a whole.
    pub line: usize,
    pub what: String,
}

/// A page that was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub families: Vec<Family>,
    pub series: usize,
    /// The first ones; see [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_left_out: usize,
    /// What was read.
    source: Bytes,
}

/// From this size on what was read has a buffer of its own, which may be kept.
const SHARED_MIN: usize = 64 << 10;

/// A page full of one mistake is explained by its first lines.
pub const FINDINGS_MAX: usize = 100;

impl Page {
    /// As text 0.0.4; what was read, when that is the same and large.
    pub fn text(&self) -> Bytes {
        match self.source.len() >= SHARED_MIN && self.is_as_it_was() {
            true => self.source.clone(),
            false => self.render().into(),
        }
    }

    fn is_as_it_was(&self) -> bool {
        let mut head = Vec::new();
        let rest = { self.families.iter() }.try_fold(&*self.source, |text, family| {
            family.strip_from(text, &mut head)
        });
        rest.is_some_and(<[u8]>::is_empty)
    }

    /// As text 0.0.4.
    pub fn render(&self) -> Vec<u8> {
        let size: usize = self.families.iter().map(Family::size).sum();
        let mut text = Vec::with_capacity(size);
        for family in &self.families {
            family.write(&mut text);
        }
        text
    }

    fn find(&mut self, line: usize, what: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            let what = what();
            self.findings.push(Finding { line, what });
        } else {
            self.findings_left_out += 1;
        }
    }

    /// Adds what is legal and yet worth a word.
    pub fn lint(&mut self) {
        for at in 0..self.families.len() {
            let family = &self.families[at];
            let name = family.name.clone();
            let (helpless, kind) = (family.help.is_none(), family.kind);
            if helpless {
                self.find(0, || format!("{name} has no HELP"));
            }
            match kind {
                None => self.find(0, || format!("{name} has no TYPE")),
                Some(Kind::Counter) if !name.ends_with("_total") => {
                    self.find(0, || {
                        format!("{name} is a counter, and its name does not end in _total")
                    });
                }
                _ => {}
            }
        }
    }
}
