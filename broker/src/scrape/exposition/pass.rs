//! The pass itself: line by line, once.

use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    ops::Range,
    str,
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use memchr::memchr_iter;

use super::{
    Family, Kind, Limits, Page, Refused, Rules,
    family::{Families, Said, parts_first},
    labels::{Pair, labels_hash, settle, spans, untouched, write_pair, write_sample, written},
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
    let (size, limit) = (text.len(), rules.limits.page);
    if size > limit {
        return Err(Refused::Page { size, limit });
    }
    clean_shared(&Bytes::copy_from_slice(text), rules)
}

/// The same, and what needs no change is not copied.
pub fn clean_shared(source: &Bytes, rules: &Rules<'_>) -> Result<Page, Refused> {
    let (size, limit) = (source.len(), rules.limits.page);
    if size > limit {
        return Err(Refused::Page { size, limit });
    }
    let text = decoded(source)?;
    let mut pass = Pass {
        rules,
        limits: &rules.limits,
        open: format(text, rules.open)?,
        page: Page::default(),
        families: Families::default(),
        // A line has some sixty bytes.
        seen: HashSet::with_capacity_and_hasher(text.len() / 64, BuildHasherDefault::default()),
        state: RandomState::default(),
        before: None,
        run: Run::default(),
        source,
        text,
        labels: Vec::new(),
        ended: false,
        line: 0,
    };
    // Borrows the text, so it cannot stand in the pass beside what outlives a line.
    let mut pairs = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        pass.line += 1;
        pass.take(start..end, &mut pairs)?;
        start = end + 1;
    }
    pass.flush();
    let mut page = pass.page;
    page.source = source.clone();
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

struct Pass<'r, 't> {
    source: &'t Bytes,
    text: &'t str,
    rules: &'r Rules<'r>,
    limits: &'r Limits,
    open: bool,
    page: Page,
    families: Families,
    /// Hashes of the series that were written.
    seen: HashSet<u64, BuildHasherDefault<AsItIs>>,
    state: RandomState,
    /// The series before, if no TYPE came since: the next one mostly has the same name.
    before: Option<Before<'t>>,
    run: Run,
    labels: Vec<Label>,
    ended: bool,
    line: usize,
}

#[derive(Clone, Copy)]
struct Before<'t> {
    name: &'t str,
    hash: u64,
    family: usize,
}

/// Lines of one family, one behind the other, that are left as they are: taken as one.
#[derive(Default)]
struct Run {
    family: usize,
    span: Range<usize>,
}

/// What is put in is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<'t> Pass<'_, 't> {
    fn take(&mut self, span: Range<usize>, pairs: &mut Vec<Pair<'t>>) -> Result<(), Refused> {
        let text = &self.text[span.clone()];
        if text.len() > self.limits.line {
            return Err(Refused::Line {
                line: self.line,
                limit: self.limits.line,
            });
        }
        let before = self.before.map_or("", |before| before.name);
        let line = line::parse(text, &mut self.labels, before);
        let line = line.map_err(|what| self.malformed(what))?;
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
            Line::Sample(sample) => self.sample(&sample, span, pairs),
        }
    }

    fn malformed(&self, what: impl Into<String>) -> Refused {
        Refused::Malformed {
            line: self.line,
            what: what.into(),
        }
    }

    fn kind(&mut self, name: &str, kind: &str) -> Result<(), Refused> {
        self.before = None;
        let (said, guessed) = Said::parse(kind, self.open);
        if guessed {
            self.page.find(self.line, || {
                format!("TYPE of {name} is unknown here: {}", shown(kind))
            });
        }
        self.families
            .kind(&mut self.page, self.limits, self.line, name, said)
    }

    fn sample(
        &mut self,
        sample: &Sample<'t>,
        span: Range<usize>,
        pairs: &mut Vec<Pair<'t>>,
    ) -> Result<(), Refused> {
        let line = self.line;
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
            Some(text) => self.copied(sample, &labels, text, span),
            None => self.settled(sample, &labels, timestamp, pairs),
        };
        self.labels = labels;
        outcome
    }

    /// A sample that is written as it came.
    fn copied(
        &mut self,
        sample: &Sample<'t>,
        labels: &[Label],
        text: &str,
        span: Range<usize>,
    ) -> Result<(), Refused> {
        let hash = labels_hash(&self.state, written(sample, labels));
        let Some(family) = self.keep(sample.name, spans(sample, labels), hash)? else {
            return Ok(());
        };
        let whole = text.len() == span.len() && span.end < self.text.len();
        if !whole {
            self.flush();
            let body = self.page.families[family].body.end();
            body.extend_from_slice(text.as_bytes());
            body.push(b'\n');
            return Ok(());
        }
        if self.run.family != family || self.run.span.end != span.start {
            self.flush();
            self.run = Run {
                family,
                span: span.start..span.start,
            };
        }
        // With the end of the line.
        self.run.span.end = span.end + 1;
        Ok(())
    }

    /// A sample that is written otherwise than it came.
    fn settled(
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
        let hash = pairs.iter().fold(0_u64, |sum, (name, value)| {
            let mut label = Vec::with_capacity(name.len() + value.len() + 3);
            write_pair(&mut label, name, value);
            sum.wrapping_add(labels_hash(&self.state, [&*label].into_iter()))
        });
        let shown = pairs.iter().map(|(name, value)| (&**name, &**value));
        if let Some(family) = self.keep(name, shown, hash)? {
            self.flush();
            let body = self.page.families[family].body.end();
            write_sample(body, name, self.rules, pairs, sample.value, timestamp);
        }
        Ok(())
    }

    /// The family of a sample with these labels; none when it is not the application's to say or is there already.
    fn keep<'l>(
        &mut self,
        name: &'t str,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        hash: u64,
    ) -> Result<Option<usize>, Refused> {
        let line = self.line;
        let Some(known) = self.known(name)? else {
            self.page.find(line, || {
                format!("{name} is for Prometheus to say, and is left out")
            });
            return Ok(None);
        };
        bounds(&self.page.families[known.family], name, labels)
            .map_err(|what| self.malformed(what))?;
        if !self.seen.insert(known.hash.wrapping_add(hash)) {
            self.page.find(line, || {
                format!("{name} is there twice with the same labels: the first is kept")
            });
            return Ok(None);
        }
        if self.page.series >= self.limits.series {
            let limit = self.limits.series;
            return Err(Refused::Series { line, limit });
        }
        self.page.series += 1;
        self.page.families[known.family].series += 1;
        Ok(Some(known.family))
    }

    /// What is to be known of a name; none when it is for Prometheus to say.
    fn known(&mut self, name: &'t str) -> Result<Option<Before<'t>>, Refused> {
        if let Some(before) = self.before.filter(|before| before.name == name) {
            return Ok(Some(before));
        }
        if OF_PROMETHEUS.contains(&name) {
            return Ok(None);
        }
        let (limits, line) = (self.limits, self.line);
        let family = self.families.of(&mut self.page, limits, line, name)?;
        self.before = Some(Before {
            name,
            hash: self.state.hash_one(name.as_bytes()),
            family,
        });
        Ok(self.before)
    }

    /// Takes what is left as it is, before something else is written.
    fn flush(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.span.is_empty() {
            return;
        }
        let lines = self.source.slice(run.span);
        self.page.families[run.family].body.add(lines);
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
