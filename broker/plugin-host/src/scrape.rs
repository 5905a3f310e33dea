//! How the metrics of an app are fetched, as a guest says, once that has been checked.

use crate::bindings::metrics_collector::exports::jackfield::plugin::metrics_collector as wit;

/// The format of a page for Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    pub deadline_ms: u32,
    /// What is liked best comes first.
    pub accepts: Vec<Format>,
}

/// How an app is asked for its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    RequestResponse,
    RequestStream,
    FireAndForget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    Nothing,
    /// To be written as composite metadata.
    Route(String),
    Raw(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub asking: Asking,
    pub header: Header,
    pub data: Vec<u8>,
    /// For the guest that reads the reply.
    pub context: Vec<u8>,
    /// Whether families are to be shown to the guest.
    pub review: bool,
}

/// A page, or a part of one. Nothing about the bytes is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub format: Format,
    pub text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: String,
    pub kind: FamilyKind,
    pub help: String,
    pub unit: String,
    pub samples: u32,
}

/// What to do with a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    Keep,
    Drop,
    /// Names are valid, and neither `job` nor `instance` is set.
    Relabel {
        name: Option<String>,
        help: Option<String>,
        /// An empty value removes the label.
        labels: Vec<(String, String)>,
    },
}

const LABELS_MAX: usize = 64;

pub(crate) fn checked_question(
    question: wit::Question,
    greets: bool,
) -> Result<Question, &'static str> {
    let wit::Question {
        interaction,
        header,
        data,
        context,
        review,
    } = question;
    let asking = match interaction {
        wit::Interaction::RequestResponse => Asking::RequestResponse,
        wit::Interaction::RequestStream => Asking::RequestStream,
        wit::Interaction::FireAndForget => Asking::FireAndForget,
    };
    if asking == Asking::FireAndForget && !greets {
        return Err("it asks for metrics by fire-and-forget, and nothing would come back");
    }
    let header = match header {
        wit::Header::Nothing => Header::Nothing,
        wit::Header::Route(route) if route.is_empty() => return Err("its route is empty"),
        wit::Header::Route(route) => Header::Route(route),
        wit::Header::Raw(bytes) => Header::Raw(bytes),
    };
    Ok(Question {
        asking,
        header,
        data,
        context,
        review,
    })
}

pub(crate) fn checked_treatment(treatment: wit::Treatment) -> Result<Treatment, &'static str> {
    let wit::Relabelling { name, help, labels } = match treatment {
        wit::Treatment::Keep => return Ok(Treatment::Keep),
        wit::Treatment::Drop => return Ok(Treatment::Drop),
        wit::Treatment::Relabel(relabelling) => relabelling,
    };
    if name.as_deref().is_some_and(|name| !is_name(name, true)) {
        return Err("it gives a family a name that Prometheus does not take");
    }
    if labels.len() > LABELS_MAX {
        return Err("it sets more than 64 labels");
    }
    for (label, _) in &labels {
        if !is_name(label, false) || label.starts_with("__") {
            return Err("it sets a label whose name Prometheus does not take");
        }
        if label == "job" || label == "instance" {
            return Err("it sets `job` or `instance`, which are not an app's to say");
        }
    }
    Ok(Treatment::Relabel { name, help, labels })
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !name.is_empty()
        && name.len() <= 1024
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(fits)
}

impl From<&Scrape> for wit::Scrape {
    fn from(scrape: &Scrape) -> Self {
        let accepts = scrape.accepts.iter().map(|format| match format {
            Format::Text => wit::Format::Text,
            Format::OpenMetrics => wit::Format::Openmetrics,
        });
        Self {
            deadline_ms: scrape.deadline_ms,
            accepts: accepts.collect(),
        }
    }
}

impl From<wit::Part> for Part {
    fn from(part: wit::Part) -> Self {
        let format = match part.format {
            wit::Format::Text => Format::Text,
            wit::Format::Openmetrics => Format::OpenMetrics,
        };
        Self {
            format,
            text: part.text,
        }
    }
}

impl From<&Family> for wit::Family {
    fn from(family: &Family) -> Self {
        let kind = match family.kind {
            FamilyKind::Unknown => wit::FamilyType::Unknown,
            FamilyKind::Counter => wit::FamilyType::Counter,
            FamilyKind::Gauge => wit::FamilyType::Gauge,
            FamilyKind::Histogram => wit::FamilyType::Histogram,
            FamilyKind::GaugeHistogram => wit::FamilyType::GaugeHistogram,
            FamilyKind::Summary => wit::FamilyType::Summary,
            FamilyKind::Info => wit::FamilyType::Info,
            FamilyKind::StateSet => wit::FamilyType::StateSet,
        };
        Self {
            name: family.name.clone(),
            kind,
            help: family.help.clone(),
            unit: family.unit.clone(),
            samples: family.samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relabel(name: &str, label: &str) -> Result<Treatment, &'static str> {
        checked_treatment(wit::Treatment::Relabel(wit::Relabelling {
            name: Some(name.into()),
            help: None,
            labels: vec![(label.into(), "x".into())],
        }))
    }

    #[test]
    fn names_are_prometheus_and_identity_is_not_the_apps() {
        assert!(relabel("http:requests_total", "zone").is_ok());
        for (name, label) in [
            ("", "zone"),
            ("1st", "zone"),
            ("a-b", "zone"),
            ("a", "job"),
            ("a", "instance"),
            ("a", "__name__"),
            ("a", "a:b"),
            ("a", ""),
        ] {
            assert!(relabel(name, label).is_err(), "{name} {label}");
        }
    }

    #[test]
    fn a_question_wants_an_answer() {
        let question = wit::Question {
            interaction: wit::Interaction::FireAndForget,
            header: wit::Header::Nothing,
            data: Vec::new(),
            context: Vec::new(),
            review: false,
        };
        assert!(checked_question(question.clone(), false).is_err());
        assert!(checked_question(question, true).is_ok());
    }
}
