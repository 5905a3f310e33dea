use std::time::Duration;

use bytes::Bytes;

use super::exposition::{Finding, Limits, Page, Rules, clean_shared};

/// A page that may be handed on.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// As [`super::exposition::MEDIA_TYPE`] says.
    pub page: Bytes,
    pub series: usize,
    /// How long the application took, and the pass over its answer.
    pub took: Duration,
    pub findings: Vec<Finding>,
    pub findings_left_out: usize,
}

impl Page {
    /// As it is handed on.
    pub(super) fn finish(mut self) -> Scraped {
        let findings = std::mem::take(&mut self.findings);
        Scraped {
            page: self.text(),
            series: self.series,
            took: Duration::ZERO,
            findings,
            findings_left_out: self.findings_left_out,
        }
    }
}

impl Scraped {
    /// The findings, and what is legal and yet worth a word.
    pub fn with_lint(&self) -> Vec<Finding> {
        let rules = Rules {
            limits: Limits::ENDLESS,
            ..Rules::default()
        };
        let mut findings = self.findings.clone();
        // It has passed before.
        if let Ok(mut page) = clean_shared(&self.page, &rules) {
            page.lint();
            findings.append(&mut page.findings);
        }
        findings
    }
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unscraped {
    pub why: Why,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no such application, or nobody knows how to ask it.
    Unknown,
    /// It answered with an error, or went away meanwhile.
    App,
    /// What it answered is no page.
    Page,
    /// It did not answer in time.
    Timeout,
    /// The broker takes no more for now.
    Overload,
}

impl Why {
    pub const ALL: [Self; 5] = [
        Self::Unknown,
        Self::App,
        Self::Page,
        Self::Timeout,
        Self::Overload,
    ];

    /// The label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::App => "app_error",
            Self::Page => "bad_page",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
        }
    }
}

impl Unscraped {
    pub(super) fn new(why: Why, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { why, text }
    }
}
