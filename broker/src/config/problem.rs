use std::fmt;

use super::source::{Place, Source};

/// Everything wrong with a configuration, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `file:line:column`, or the name of the variable, flag or file.
    pub at: String,
    pub what: String,
    /// What the reader can do about it.
    pub todo: String,
    /// The line with carets under the culprit; may be empty.
    pub excerpt: String,
}

impl Problem {
    /// A problem with a whole file rather than a place in it.
    pub fn at(at: impl fmt::Display, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            at: at.to_string(),
            what: what.into(),
            todo: todo.into(),
            excerpt: String::new(),
        }
    }

    pub(super) fn in_source(
        sources: &[Source],
        place: &Place,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        let source = &sources[place.source];
        Self {
            at: source.locate(&place.span),
            what: what.into(),
            todo: todo.into(),
            excerpt: source.excerpt(&place.span),
        }
    }
}

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.at, self.what, self.todo)?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}
