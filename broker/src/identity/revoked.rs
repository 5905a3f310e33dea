//! The list of revoked tokens: one name per line, `#` begins a comment.
//!
//! ```text
//! 7f9c...                 the `jti` of a token, or the `id` of one of the archived broker
//! jti:7f9c...             the same
//! sha256:9f86d081...      the hash that `jackfield token inspect` prints
//! sub:orders              every token of a subject
//! ```

use std::collections::HashSet;

use super::{keys::KeyError, principal::Principal};

/// More than this would be a case for shorter lives of tokens.
const LINES_MAX: usize = 100_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Revoked {
    ids: HashSet<Box<str>>,
    hashes: HashSet<[u8; 32]>,
    subjects: HashSet<Box<str>>,
}

impl Revoked {
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let mut revoked = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if index >= LINES_MAX {
                let what = format!("has more than {LINES_MAX} lines");
                return Err(KeyError::new(what, "leave out tokens that have expired"));
            }
            match line.split_once(':') {
                _ if line.is_empty() => {}
                Some(("sha256", hash)) => {
                    let hash = parse_hash(hash).ok_or_else(|| {
                        let what = format!("line {}: not a SHA-256", index + 1);
                        KeyError::new(what, "write the 64 digits of `jackfield token inspect`")
                    })?;
                    revoked.hashes.insert(hash);
                }
                Some(("sub", subject)) => {
                    revoked.subjects.insert(subject.trim().into());
                }
                Some(("jti", id)) => {
                    revoked.ids.insert(id.trim().into());
                }
                _ => {
                    revoked.ids.insert(line.into());
                }
            }
        }
        Ok(revoked)
    }

    /// Whether the token by which somebody was known is on the list.
    pub(super) fn names(&self, principal: &Principal) -> bool {
        principal.token.as_ref().is_some_and(|token| {
            self.hashes.contains(&token.sha256)
                || self.subjects.contains(&principal.subject)
                || token.id.as_ref().is_some_and(|id| self.ids.contains(id))
        })
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::{Kind, TokenName};

    fn bearer(subject: &str, id: Option<&str>, first: u8) -> Principal {
        let mut sha256 = [0; 32];
        sha256[0] = first;
        Principal {
            token: Some(TokenName {
                sha256,
                id: id.map(Into::into),
            }),
            ..Principal::new(Kind::Token, subject)
        }
    }

    #[test]
    fn a_token_is_named_by_id_hash_or_subject() {
        let hash = format!("sha256:ab{}", "00".repeat(31));
        let list = format!("# leaked\none # by mistake\n\njti:two\n{hash}\nsub:orders\n");
        let revoked = Revoked::parse(&list).unwrap();
        for (principal, named) in [
            (bearer("a", Some("one"), 1), true),
            (bearer("a", Some("two"), 1), true),
            (bearer("a", Some("three"), 1), false),
            (bearer("a", None, 0xAB), true),
            (bearer("orders", None, 1), true),
            (Principal::new(Kind::User, "orders"), false),
            (Principal::anonymous(), false),
        ] {
            assert_eq!(revoked.names(&principal), named, "{principal:?}");
        }
    }

    #[test]
    fn a_hash_that_is_none_is_refused_with_its_line() {
        let error = Revoked::parse("one\nsha256:abc\n").unwrap_err();
        assert_eq!(error.what, "line 2: not a SHA-256");
    }
}
