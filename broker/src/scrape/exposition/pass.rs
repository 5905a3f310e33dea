//! The pass itself: line by line, once.

use std::{collections::HashSet, str};

use foldhash::fast::RandomState;
use memchr::memchr_iter;

use super::{
    Family, Kind, Limits, Page, Refused, Rules,
    family::{Families, Said, parts_first},
    labels::{Pair, series_hash, settle, spans, untouched, write_sample},
    line::{self, Label, Line, Sample, number, shown},
};

/// Prometheus writes these about a target itself; an application that says them would speak in its name.
const OF_PROMETHEUS: [&str; 10] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
    "ALERTS",
    "ALERTS_FOR_STATE",
];

/// Reads a page, or says why it is refused.
pub fn clean(text: &[u8], rules: &Rules<'_>) -> Result<Page, Refused> {
    let limit = rules.limits.page;
    if text.len() > limit {
        let size = text.len();
        return Err(Refused::Page { size, limit });
    }
    let text = decoded(text)?;
    let mut pass = Pass {
        rules,
        limits: &rules.limits,
        open: format(text, rules.open)?,
        page: Page::default(),
        families: Families::default(),
        // A line has some sixty bytes.
        seen: HashSet::with_capacity_and_hasher(text.len() / 64, RandomState::default()),
        labels: Vec::new(),
        ended: false,
        line: 0,
    };
    // Borrows the text, so it cannot stand in the pass beside what outlives a line.
    let mut pairs = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        pass.line += 1;
        pass.take(&text[start..end], &mut pairs)?;
        start = end + 1;
    }
    let mut page = pass.page;
    // Nothing was kept of it.
    page.families.retain(|family| family.series > 0);
    page.families = parts_first(page.families);
    Ok(page)
}

fn decoded(text: &[u8]) -> Result<&str, Refused> {
    str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Refused::NotUtf8 { line }
    })
}

/// Whether it is OpenMetrics. What is said to be, and does not end as that does, was cut off.
fn format(text: &str, said: Option<bool>) -> Result<bool, Refused> {
    match said {
        Some(true) if !is_open_metrics(text) => Err(Refused::Malformed {
            line: text.lines().count().max(1),
            what: "the page does not end with # EOF: it was cut off".into(),
        }),
        Some(open) => Ok(open),
        None => Ok(is_open_metrics(text)),
    }
}

/// OpenMetrics ends with a line that the text format has as a comment.
fn is_open_metrics(text: &str) -> bool {
    let text = text.trim_end_matches(['\n', '\r', ' ', '\t']);
    text.rsplit('\n').next().is_some_and(|last| last == "# EOF")
}

struct Pass<'r> {
    rules: &'r Rules<'r>,
    limits: &'r Limits,
    open: bool,
    page: Page,
    families: Families,
    /// Hashes of the series that were written.
    seen: HashSet<u64, RandomState>,
    labels: Vec<Label>,
    ended: bool,
    line: usize,
}

impl Pass<'_> {
    fn take<'t>(&mut self, text: &'t str, pairs: &mut Vec<Pair<'t>>) -> Result<(), Refused> {
        if text.len() > self.limits.line {
            return Err(Refused::Line {
                line: self.line,
                limit: self.limits.line,
            });
        }
        let line = line::parse(text, &mut self.labels).map_err(|what| self.malformed(what))?;
        if self.ended && line != Line::Empty {
            return Err(self.malformed("something follows # EOF"));
        }
        match line {
            Line::Empty => Ok(()),
            Line::Eof => {
                self.ended = self.open;
                Ok(())
            }
            Line::Help(name, text) => {
                let text = help(text, self.open);
                self.families
                    .help(&mut self.page, self.limits, self.line, name, text)
            }
            Line::Type(name, kind) => self.kind(name, kind),
            Line::Sample(sample) => self.sample(&sample, pairs),
        }
    }

    fn malformed(&self, what: impl Into<String>) -> Refused {
        Refused::Malformed {
            line: self.line,
            what: what.into(),
        }
    }

    fn kind(&mut self, name: &str, kind: &str) -> Result<(), Refused> {
        let (said, guessed) = Said::parse(kind, self.open);
        if guessed {
            self.page.find(self.line, || {
                format!("TYPE of {name} is unknown here: {}", shown(kind))
            });
        }
        self.families
            .kind(&mut self.page, self.limits, self.line, name, said)
    }

    fn sample<'t>(
        &mut self,
        sample: &Sample<'t>,
        pairs: &mut Vec<Pair<'t>>,
    ) -> Result<(), Refused> {
        let (line, name) = (self.line, sample.name);
        if self.labels.len() > self.limits.labels {
            let limit = self.limits.labels;
            return Err(Refused::Labels { line, limit });
        }
        if sample.exemplar && !self.open {
            return Err(self.malformed("an exemplar, which only OpenMetrics has"));
        }
        let timestamp = self.timestamp(sample)?;
        let labels = std::mem::take(&mut self.labels);
        let outcome = match untouched(sample, &labels, self.rules) {
            Some(text) => self.keep(name, spans(sample, &labels), |body, _| {
                body.extend_from_slice(text.as_bytes());
                body.push(b'\n');
            }),
            None => self.settled(sample, &labels, timestamp, pairs),
        };
        self.labels = labels;
        outcome
    }

    /// A sample that is written otherwise than it came.
    fn settled<'t>(
        &mut self,
        sample: &Sample<'t>,
        labels: &[Label],
        timestamp: Option<i64>,
        pairs: &mut Vec<Pair<'t>>,
    ) -> Result<(), Refused> {
        let (line, name) = (self.line, sample.name);
        let renamed = settle(sample, labels, self.rules, pairs);
        let renamed = renamed.map_err(|what| self.malformed(what))?;
        if renamed > 0 && !OF_PROMETHEUS.contains(&name) {
            self.page.find(line, || {
                format!("{name} sets a label that says who was scraped: renamed to exported_")
            });
        }
        let shown = pairs.iter().map(|(name, value)| (&**name, &**value));
        self.keep(name, shown, |body, rules| {
            write_sample(body, name, rules, pairs, sample.value, timestamp);
        })
    }

    /// Keeps a sample with these labels, unless it is not the application's to say or is there already.
    fn keep<'l>(
        &mut self,
        name: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        write: impl FnOnce(&mut Vec<u8>, &Rules<'_>),
    ) -> Result<(), Refused> {
        let line = self.line;
        if OF_PROMETHEUS.contains(&name) {
            self.page.find(line, || {
                format!("{name} is for Prometheus to say, and is left out")
            });
            return Ok(());
        }
        let family = self.families.of(&mut self.page, self.limits, line, name)?;
        bounds(&self.page.families[family], name, labels.clone())
            .map_err(|what| self.malformed(what))?;
        let series = series_hash(self.seen.hasher(), name, labels);
        if !self.seen.insert(series) {
            self.page.find(line, || {
                format!("{name} is there twice with the same labels: the first is kept")
            });
            return Ok(());
        }
        if self.page.series >= self.limits.series {
            let limit = self.limits.series;
            return Err(Refused::Series { line, limit });
        }
        self.page.series += 1;
        let family = &mut self.page.families[family];
        family.series += 1;
        write(&mut family.body, self.rules);
        Ok(())
    }

    /// In milliseconds; none when it is not kept. Wrong ones are refused either way.
    fn timestamp(&self, sample: &Sample<'_>) -> Result<Option<i64>, Refused> {
        let Some(text) = sample.timestamp else {
            return Ok(None);
        };
        let millis = match self.open {
            true => number(text)
                .map(|seconds| seconds * 1e3)
                .filter(|millis| millis.abs() < 9e15)
                .map(|millis| millis.round() as i64),
            false => text.parse().ok(),
        };
        match millis {
            Some(millis) => Ok(self.rules.timestamps.then_some(millis)),
            None => Err(self.malformed(format!("no timestamp: {}", shown(text)))),
        }
    }
}

/// Histograms and summaries say their bounds in a label, which has to be a number.
fn bounds<'l>(
    family: &Family,
    name: &str,
    mut labels: impl Iterator<Item = (&'l str, &'l str)>,
) -> Result<(), String> {
    let label = match family.kind {
        Some(Kind::Histogram) if name.ends_with("_bucket") => "le",
        Some(Kind::Summary) if name == family.name => "quantile",
        _ => return Ok(()),
    };
    match labels.find(|(name, _)| *name == label) {
        Some((_, value)) if number(value).is_none() => {
            Err(format!("{label} is no number: {}", shown(value)))
        }
        _ => Ok(()),
    }
}

/// With the escapes of text 0.0.4. OpenMetrics has one more; a backslash that escapes nothing stands for itself.
fn help(text: &str, open: bool) -> String {
    let mut fixed = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            fixed.push(c);
        } else if let Some(next) = chars.next_if(|next| matches!(next, '\\' | 'n')) {
            fixed.extend(['\\', next]);
        } else if !open || chars.peek() != Some(&'"') {
            fixed.push_str("\\\\");
        }
    }
    fixed
}
