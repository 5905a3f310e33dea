use std::fmt;

/// A service name with `*` for any run of characters, dots included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePattern(String);

impl ServicePattern {
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` fits the pattern as a whole.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for ServicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_crosses_dots() {
        for (pattern, name, fits) in [
            ("com.example.*", "com.example.a.B", true),
            ("com.example.*", "com.exampl", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*.User", "com.User", true),
            ("*.User", "com.Users", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(
                ServicePattern::new(pattern).matches(name),
                fits,
                "{pattern} {name}"
            );
        }
    }
}
