//! Where a setting was written, and how to point at it.
//!
//! Invariants
//! - every value that came from outside has a [`Place`]
//! - what is shown never holds a secret: values of secret-looking keys and user info in URIs are masked

use std::{
    fmt::Write,
    ops::Range,
    path::{Path, PathBuf},
};

/// One text that settings came from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: SourceKind,
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    File(PathBuf),
    /// The name of a variable.
    Environment(String),
    /// The flag as typed, without its value.
    Flag(String),
}

/// A stretch of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) span: Range<usize>,
}

impl Source {
    /// The folder that relative paths in this source start from.
    pub(super) fn folder<'a>(&'a self, current: &'a Path) -> &'a Path {
        match &self.kind {
            SourceKind::File(path) => path.parent().unwrap_or(current),
            SourceKind::Environment(_) | SourceKind::Flag(_) => current,
        }
    }

    /// Whether every value is text here: a variable or a flag has no types.
    pub(super) fn is_untyped(&self) -> bool {
        !matches!(self.kind, SourceKind::File(_))
    }

    /// `file:line:column`, or the name of the variable or flag.
    pub(super) fn locate(&self, span: &Range<usize>) -> String {
        match &self.kind {
            SourceKind::File(path) => {
                let (line, column) = self.line_column(span.start);
                format!("{}:{line}:{column}", path.display())
            }
            SourceKind::Environment(name) => format!("environment variable {name}"),
            SourceKind::Flag(flag) => format!("flag {flag}"),
        }
    }

    /// The line the span starts on, with carets under the span; nothing for a variable or a flag.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> String {
        if self.is_untyped() {
            return String::new();
        }
        let (line, column) = self.line_column(span.start);
        let start = self.line_start(span.start);
        let content = self.text[start..].lines().next().unwrap_or_default();
        let shown = mask_line(content);
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let mut out = format!("{gutter} |\n{number} | {shown}\n{gutter} | ");
        if shown == content {
            let from = self.floor(span.start);
            let to = self
                .floor(span.end)
                .clamp(from, (start + content.len()).max(from));
            let width = self.text[from..to].chars().count().max(1);
            let _ = write!(out, "{}{}", " ".repeat(column - 1), "^".repeat(width));
        } else {
            out.push('^');
        }
        out
    }

    fn line_start(&self, at: usize) -> usize {
        let at = self.floor(at);
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Counted from one, in characters.
    fn line_column(&self, at: usize) -> (usize, usize) {
        let at = self.floor(at);
        let line = self.text[..at].matches('\n').count() + 1;
        let column = self.text[self.line_start(at)..at].chars().count() + 1;
        (line, column)
    }

    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Whether a value under this key must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names_file = key.ends_with("-file") || key.ends_with("_file") || key.ends_with("-url");
    let secret = [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "api-key",
        "api_key",
        "private",
    ];
    !names_file && secret.iter().any(|word| key.contains(word))
}

fn mask_line(line: &str) -> String {
    if let Some((key, _)) = line.split_once('=')
        && is_secret(key.trim())
    {
        return format!("{}= ...", key);
    }
    mask_user(line)
}

/// Leaves the user and password out of a URI.
pub(crate) fn mask_user(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}...{}", &text[..scheme + 3], &text[at..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Source {
        Source {
            kind: SourceKind::File("j.toml".into()),
            text: text.into(),
        }
    }

    #[test]
    fn positions_count_characters_from_one() {
        let source = file("a = 1\né = \"ü\" # x\n");
        let at = source.text.find("\"ü\"").unwrap();
        assert_eq!(source.locate(&(at..at + 4)), "j.toml:2:5");
        assert_eq!(
            source.excerpt(&(at..at + 4)),
            "  |\n2 | é = \"ü\" # x\n  |     ^^^"
        );
    }

    #[test]
    fn a_span_past_the_end_points_at_the_end() {
        let source = file("a = ");
        assert_eq!(source.locate(&(99..120)), "j.toml:1:5");
        assert!(source.excerpt(&(99..120)).ends_with("    ^"));
    }

    #[test]
    fn secrets_are_not_shown() {
        for line in [
            "tokn-secret = \"hunter2\"",
            "uri = \"tcp://me:hunter2@host:1\"",
        ] {
            let source = file(line);
            assert!(!source.excerpt(&(0..4)).contains("hunter2"), "{line}");
        }
        assert!(is_secret("admin.token") && !is_secret("token-file"));
    }
}
