//! Expressions over endpoint rules: `zone:eu and not (canary:1 or ip:10.0.0.1)`.

use jackfield_plugin_sdk::{Candidates, Request};

/// `not` binds tighter than `and`, `and` tighter than `or`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Rule { key: String, value: Value },
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    /// What the caller says about itself under this key.
    OfCaller(String),
}

/// Parentheses and `not` may be nested so deep.
const DEPTH_MAX: usize = 32;

impl Expression {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let mut words = Words {
            words: spaced.split_whitespace().collect(),
            at: 0,
        };
        let expression = words.any_of(0)?;
        match words.next() {
            None => Ok(expression),
            Some(word) => Err(format!(
                "`{word}` is one too many; join rules by `and` or `or`"
            )),
        }
    }

    /// By candidate, whether it fits.
    pub(crate) fn fits(&self, request: &Request<'_>, candidates: &Candidates<'_>) -> Vec<bool> {
        match self {
            Self::Rule { key, value } => {
                let mut fits = vec![false; candidates.len() as usize];
                let value = match value {
                    Value::Text(text) => Some(text.clone()),
                    Value::OfCaller(key) => request.app_metadata(key),
                };
                for index in value.map_or(Vec::new(), |value| candidates.having(key, &value)) {
                    fits[index as usize] = true;
                }
                fits
            }
            Self::Not(inner) => {
                let fits = inner.fits(request, candidates);
                fits.into_iter().map(|fits| !fits).collect()
            }
            Self::And(one, other) => both(one, other, request, candidates, |a, b| a && b),
            Self::Or(one, other) => both(one, other, request, candidates, |a, b| a || b),
        }
    }
}

fn both(
    one: &Expression,
    other: &Expression,
    request: &Request<'_>,
    candidates: &Candidates<'_>,
    join: fn(bool, bool) -> bool,
) -> Vec<bool> {
    let one = one.fits(request, candidates).into_iter();
    let other = other.fits(request, candidates);
    one.zip(other).map(|(a, b)| join(a, b)).collect()
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn take(&mut self, wanted: &str) -> bool {
        let there = self.words.get(self.at) == Some(&wanted);
        self.at += usize::from(there);
        there
    }

    fn any_of(&mut self, depth: usize) -> Result<Expression, String> {
        let mut expression = self.all_of(depth)?;
        while self.take("or") {
            let other = self.all_of(depth)?;
            expression = Expression::Or(expression.into(), other.into());
        }
        Ok(expression)
    }

    fn all_of(&mut self, depth: usize) -> Result<Expression, String> {
        let mut expression = self.one(depth)?;
        while self.take("and") {
            let other = self.one(depth)?;
            expression = Expression::And(expression.into(), other.into());
        }
        Ok(expression)
    }

    fn one(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}"));
        }
        if self.take("not") {
            return Ok(Expression::Not(self.one(depth + 1)?.into()));
        }
        if self.take("(") {
            let inner = self.any_of(depth + 1)?;
            return match self.take(")") {
                true => Ok(inner),
                false => Err("a `)` is missing".into()),
            };
        }
        let word = self
            .next()
            .ok_or("a rule `key:value` is missing at the end")?;
        match word.split_once(':') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(Expression::Rule {
                key: key.to_owned(),
                value: match value.strip_prefix('@') {
                    Some(key) => Value::OfCaller(key.to_owned()),
                    None => Value::Text(value.to_owned()),
                },
            }),
            _ => Err(format!("`{word}` is no rule `key:value`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(key: &str) -> Box<Expression> {
        let (key, value) = (key.to_owned(), Value::Text("1".into()));
        Expression::Rule { key, value }.into()
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let expression = Expression::parse("a:1 or b:1 and not c:1").unwrap();
        let not = Expression::Not(rule("c"));
        let and = Expression::And(rule("b"), not.into());
        assert_eq!(expression, Expression::Or(rule("a"), and.into()));
        let expression = Expression::parse("(a:1 or b:1) and c:1").unwrap();
        let or = Expression::Or(rule("a"), rule("b"));
        assert_eq!(expression, Expression::And(or.into(), rule("c")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "missing"),
            ("a", "no rule"),
            ("a:", "no rule"),
            ("a:1 b:1", "one too many"),
            ("(a:1", "`)` is missing"),
            ("a:1 and", "missing"),
            ("a:1)", "one too many"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = "(".repeat(1_000) + "a:1";
        assert!(Expression::parse(&deep).unwrap_err().contains("nested"));
        let deep = "not ".repeat(1_000) + "a:1";
        assert!(Expression::parse(&deep).unwrap_err().contains("nested"));
    }
}
