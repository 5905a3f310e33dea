//! Families: what belongs together on a page.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{Limits, Page, Refused};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// A metric with its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: String,
    /// None when the application did not say.
    pub kind: Option<Kind>,
    /// As it is written, with its escapes.
    pub help: Option<String>,
    /// The lines of its samples.
    pub(super) body: Lines,
    pub series: usize,
}

/// Whole lines, with their ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The first ones, if they stand like that in what was read: shared, not copied.
    lead: Bytes,
    more: Vec<u8>,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lead.len() + self.more.len()
    }

    /// Those of somebody else.
    pub(super) fn add(&mut self, lines: Bytes) {
        match self.len() {
            0 => self.lead = lines,
            _ => self.more.extend_from_slice(&lines),
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.add(other.lead);
        self.more.extend_from_slice(&other.more);
    }

    /// To be written behind what is there.
    pub(super) const fn end(&mut self) -> &mut Vec<u8> {
        &mut self.more
    }

    pub(super) fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.lead);
        text.extend_from_slice(&self.more);
    }

    /// What is behind them, in a text that begins with them.
    fn strip_from<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        text.strip_prefix(&*self.lead)?.strip_prefix(&*self.more)
    }
}

impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        let both = |lines: &Self| [&*lines.lead, &*lines.more].concat();
        both(self) == both(other)
    }
}

impl Eq for Lines {}

impl Family {
    pub(super) fn size(&self) -> usize {
        let help = self.help.as_ref().map_or(0, String::len);
        self.body.len() + help + 2 * self.name.len() + 40
    }

    pub(super) fn write(&self, text: &mut Vec<u8>) {
        self.write_head(&self.name, self.help.as_ref(), text);
        self.body.write(text);
    }

    /// What is behind the family, in a text that begins with it as it would be written. `head` is scratch.
    pub(super) fn strip_from<'t>(&self, text: &'t [u8], head: &mut Vec<u8>) -> Option<&'t [u8]> {
        head.clear();
        self.write_head(&self.name, self.help.as_ref(), head);
        self.body.strip_from(text.strip_prefix(&**head)?)
    }

    pub(super) fn write_head(&self, name: &str, help: Option<&String>, text: &mut Vec<u8>) {
        let mut line = |parts: [&str; 5]| {
            { parts.iter() }.for_each(|part| text.extend_from_slice(part.as_bytes()));
        };
        if let Some(help) = help {
            line(["# HELP ", name, " ", help, "\n"]);
        }
        if let Some(kind) = self.kind {
            line(["# TYPE ", name, " ", kind.as_str(), "\n"]);
        }
    }
}

/// What an application said with TYPE and HELP. The kinds are those of both formats.
#[derive(Clone, Debug, Default)]
struct Declared {
    kind: Option<Said>,
    help: Option<String>,
}

/// A kind as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Plain(Kind),
    /// OpenMetrics: the series end in `_total`.
    OpenCounter,
    Info,
    StateSet,
    GaugeHistogram,
}

impl Said {
    /// The kind, and whether it had to be guessed.
    pub(super) fn parse(text: &str, open: bool) -> (Self, bool) {
        let known = match text.to_ascii_lowercase().as_str() {
            "counter" if open => Self::OpenCounter,
            "counter" => Self::Plain(Kind::Counter),
            "gauge" => Self::Plain(Kind::Gauge),
            "histogram" => Self::Plain(Kind::Histogram),
            "summary" => Self::Plain(Kind::Summary),
            "untyped" => Self::Plain(Kind::Untyped),
            "unknown" if open => Self::Plain(Kind::Untyped),
            "info" if open => Self::Info,
            "stateset" if open => Self::StateSet,
            "gaugehistogram" if open => Self::GaugeHistogram,
            _ => return (Self::Plain(Kind::Untyped), true),
        };
        (known, false)
    }

    /// The kind in text 0.0.4 of a series with this suffix; none when it is no series of such a metric. The flag
    /// says whether the family is the metric itself, rather than one of the series' own name.
    fn of_suffix(self, suffix: &str) -> Option<(Kind, bool)> {
        // Text 0.0.4 knows no such series, and says what they are when it has them.
        let has_created = !matches!(self, Self::Plain(Kind::Gauge | Kind::Untyped));
        match (self, suffix) {
            (Self::Plain(Kind::Histogram), "_bucket" | "_sum" | "_count") => {
                Some((Kind::Histogram, true))
            }
            (Self::Plain(Kind::Summary), "_sum" | "_count") => Some((Kind::Summary, true)),
            (Self::OpenCounter, "_total") => Some((Kind::Counter, false)),
            (Self::Info, "_info") => Some((Kind::Gauge, false)),
            (Self::GaugeHistogram, "_bucket" | "_gsum" | "_gcount") => Some((Kind::Untyped, false)),
            (_, "_created") if has_created => Some((Kind::Gauge, false)),
            _ => None,
        }
    }

    const fn itself(self) -> Kind {
        match self {
            Self::Plain(kind) => kind,
            Self::StateSet => Kind::Gauge,
            Self::OpenCounter | Self::Info | Self::GaugeHistogram => Kind::Untyped,
        }
    }
}

const SUFFIXES: [&str; 9] = [
    "_bucket", "_count", "_sum", "_total", "_created", "_info", "_gcount", "_gsum", "",
];

/// All families of a page that is being read.
#[derive(Debug, Default)]
pub(super) struct Families {
    declared: HashMap<String, Declared, RandomState>,
    index: HashMap<String, usize, RandomState>,
}

impl Families {
    pub(super) fn help(
        &mut self,
        page: &mut Page,
        limits: &Limits,
        line: usize,
        name: &str,
        text: String,
    ) -> Result<(), Refused> {
        if let Some(whole) = self.whole(name) {
            page.find(line, || {
                format!("{name} belongs to {whole}: its HELP is left out")
            });
            return Ok(());
        }
        let declared = self.declare(limits, line, name)?;
        match &declared.help {
            Some(help) if *help != text => {
                page.find(line, || {
                    format!("{name} has a second HELP, which is left out")
                });
            }
            Some(_) => {}
            None => declared.help = Some(text.clone()),
        }
        let family = self.index.get(name).map(|at| &mut page.families[*at]);
        if let Some(family) = family.filter(|family| family.help.is_none()) {
            family.help = Some(text);
        }
        Ok(())
    }

    pub(super) fn kind(
        &mut self,
        page: &mut Page,
        limits: &Limits,
        line: usize,
        name: &str,
        said: Said,
    ) -> Result<(), Refused> {
        if let Some(whole) = self.whole(name) {
            page.find(line, || {
                format!("{name} belongs to {whole}: its TYPE is left out")
            });
            return Ok(());
        }
        let late = self.index.contains_key(name);
        let declared = self.declare(limits, line, name)?;
        match declared.kind {
            Some(kind) if kind != said => {
                page.find(line, || {
                    format!("{name} has a second TYPE, which is left out")
                });
            }
            Some(_) => {}
            None if late => page.find(line, || {
                format!("TYPE of {name} comes after its series and is left out")
            }),
            None => declared.kind = Some(said),
        }
        Ok(())
    }

    /// The histogram or summary that series of this name are part of.
    fn whole<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.declared.contains_key(name) || self.index.contains_key(name) {
            return None;
        }
        PARTS.iter().find_map(|suffix| {
            let whole = name.strip_suffix(suffix)?;
            let kind = self.declared.get(whole)?.kind?;
            matches!(kind.of_suffix(suffix), Some((_, true))).then_some(whole)
        })
    }

    fn declare(
        &mut self,
        limits: &Limits,
        line: usize,
        name: &str,
    ) -> Result<&mut Declared, Refused> {
        if !self.declared.contains_key(name) && self.declared.len() >= limits.families {
            let limit = limits.families;
            return Err(Refused::Families { line, limit });
        }
        Ok(self.declared.entry(name.to_owned()).or_default())
    }

    /// The family that a series of this name belongs to, made when it is the first.
    pub(super) fn of(
        &mut self,
        page: &mut Page,
        limits: &Limits,
        line: usize,
        name: &str,
    ) -> Result<usize, Refused> {
        match self.index.get(name) {
            Some(at) => Ok(*at),
            None => self.make(page, limits, line, name),
        }
    }

    fn make(
        &mut self,
        page: &mut Page,
        limits: &Limits,
        line: usize,
        name: &str,
    ) -> Result<usize, Refused> {
        let (family, kind, help) = self.belongs(name);
        if let Some(at) = self.index.get(family) {
            return Ok(*at);
        }
        if page.families.len() >= limits.families {
            let limit = limits.families;
            return Err(Refused::Families { line, limit });
        }
        page.families.push(Family {
            name: family.to_owned(),
            kind,
            help,
            body: Lines::default(),
            series: 0,
        });
        let at = page.families.len() - 1;
        self.index.insert(family.to_owned(), at);
        Ok(at)
    }

    /// The name of its family, the kind and the help. What was declared under the very name comes first, as readers
    /// of the format have it.
    fn belongs<'n>(&self, name: &'n str) -> (&'n str, Option<Kind>, Option<String>) {
        if let Some(declared) = self.declared.get(name) {
            let kind = declared.kind.map(Said::itself);
            return (name, kind, declared.help.clone());
        }
        for suffix in SUFFIXES {
            let Some(base) = name.strip_suffix(suffix) else {
                continue;
            };
            let Some(declared) = self.declared.get(base) else {
                continue;
            };
            match declared.kind.and_then(|kind| kind.of_suffix(suffix)) {
                Some((kind, true)) => return (base, Some(kind), declared.help.clone()),
                Some((kind, false)) => return (name, Some(kind), declared.help.clone()),
                None => {}
            }
        }
        (name, None, None)
    }
}

/// What a histogram or summary is written as, besides its own name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// A family named like part of a histogram or summary comes before that: behind it, readers would take it for the
/// part, and its TYPE for a second one.
pub(super) fn parts_first(families: Vec<Family>) -> Vec<Family> {
    let wholes: HashMap<&str, usize, RandomState> = families
        .iter()
        .enumerate()
        .filter(|(_, family)| matches!(family.kind, Some(Kind::Histogram | Kind::Summary)))
        .map(|(at, family)| (family.name.as_str(), at))
        .collect();
    let is_behind = |(at, family): (usize, &Family)| {
        PARTS.iter().any(|suffix| {
            let whole = family.name.strip_suffix(suffix);
            whole.is_some_and(|whole| wholes.get(whole).is_some_and(|whole| *whole < at))
        })
    };
    let behind: Vec<bool> = families.iter().enumerate().map(is_behind).collect();
    if !behind.contains(&true) {
        return families;
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (family, behind) in families.into_iter().zip(behind) {
        if behind {
            first.push(family)
        } else {
            rest.push(family)
        }
    }
    // A part of a part is longer than it.
    first.sort_by_key(|family| std::cmp::Reverse(family.name.len()));
    first.append(&mut rest);
    first
}
