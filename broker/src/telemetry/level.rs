use std::fmt;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What is logged: a level, and levels of single targets: `info,jackfield::relay=debug`.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    text: String,
    targets: Targets,
}

/// The target of the audit log.
pub const AUDIT: &str = "jackfield::audit";

const WORDS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl Level {
    /// The error says what to write.
    ///
    /// The audit log stays on at any level, unless it is named itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let todo = || {
            format!(
                "write one of {}, or \"info,TARGET=debug\"",
                WORDS.join(", ")
            )
        };
        let mut targets = audited();
        for part in text.split(',').map(str::trim) {
            let (target, word) = match part.split_once('=') {
                Some((target, word)) => (Some(target.trim()), word.trim()),
                None => (None, part),
            };
            if !WORDS.contains(&word) {
                return Err(todo());
            }
            let level: LevelFilter = word.parse().map_err(|_| todo())?;
            targets = match target {
                Some("") => return Err(todo()),
                Some(target) => targets.with_target(target, level),
                None => targets.with_default(level),
            };
        }
        Ok(Self {
            text: text.to_owned(),
            targets,
        })
    }

    pub(super) fn targets(&self) -> Targets {
        self.targets.clone()
    }
}

impl Default for Level {
    fn default() -> Self {
        Self {
            text: "info".into(),
            targets: audited().with_default(LevelFilter::INFO),
        }
    }
}

fn audited() -> Targets {
    Targets::new().with_target(AUDIT, LevelFilter::INFO)
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::{AUDIT, Level};

    #[test]
    fn words_and_targets() {
        for (text, fits) in [
            ("info", true),
            ("off", true),
            ("warn, jackfield::relay=debug", true),
            ("jackfield::relay=trace", true),
            ("loud", false),
            ("", false),
            ("info,", false),
            ("=debug", false),
            ("a=loud", false),
        ] {
            assert_eq!(Level::parse(text).is_ok(), fits, "{text:?}");
        }
    }

    #[test]
    fn the_audit_log_is_not_silenced_in_passing() {
        let audits = |text: &str| {
            Level::parse(text)
                .unwrap()
                .targets()
                .would_enable(AUDIT, &tracing::Level::INFO)
        };
        assert!(audits("off") && audits("error"));
        assert!(!audits("info,jackfield::audit=off"));
    }

    #[test]
    fn a_target_has_its_own_level() {
        let level = Level::parse("warn,jackfield::relay=debug").unwrap();
        let targets = level.targets();
        assert_eq!(targets.default_level(), Some(LevelFilter::WARN));
        assert!(targets.would_enable("jackfield::relay", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("jackfield::admin", &tracing::Level::INFO));
    }
}
