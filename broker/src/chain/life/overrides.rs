//! What operators changed, as it is kept in the data directory: it survives reloads and restarts.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::KEPT_MAX;

/// A version that runs beside the live one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// SHA-256 of its component, in hexadecimal.
    pub digest: String,
    /// In parts of 10000 of all connections, each with one version for its whole life; none: in the shadow, asked
    /// about every request, and without effect.
    pub share: Option<u32>,
}

/// What operators changed about one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Override {
    /// Switched off, whatever the configuration says.
    pub off: bool,
    /// Runs instead of what the configuration names.
    pub digest: Option<String>,
    pub trial: Option<Trial>,
    /// What ran before a promotion: when the promoted version fails, the broker goes back to it by itself.
    pub promoted_over: Option<String>,
    /// Who changed it last, and when (milliseconds since 1970).
    pub who: String,
    pub at_ms: u64,
}

impl Override {
    fn is_empty(&self) -> bool {
        !self.off && self.digest.is_none() && self.trial.is_none()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::chain) struct Overrides {
    plugins: BTreeMap<String, Override>,
    /// The digests that were live, by plugin; the newest comes last.
    history: BTreeMap<String, Vec<String>>,
}

/// Why overrides cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {source}", path = .path.display())]
pub struct OverridesError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Overrides {
    /// None that are kept are no overrides. A file that cannot be read is an error: to go on without would undo what
    /// an operator did.
    pub(in crate::chain) fn read(path: &Path) -> Result<Self, OverridesError> {
        let wrong = |source| OverridesError {
            what: "cannot read what operators changed in",
            path: path.to_owned(),
            source,
        };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(io::Error::from)
                .map_err(wrong),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(error)),
        }
    }

    /// Whole or not at all.
    pub(in crate::chain) fn write(&self, path: &Path) -> Result<(), OverridesError> {
        let written = || {
            let dir = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(dir)?;
            let new = path.with_extension("new");
            let mut file = fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(new, path)
        };
        written().map_err(|source| OverridesError {
            what: "cannot keep what operators changed in",
            path: path.to_owned(),
            source,
        })
    }

    pub(in crate::chain) fn of(&self, plugin: &str) -> Option<&Override> {
        self.plugins.get(plugin)
    }

    pub(in crate::chain) fn change(&mut self, plugin: &str, change: impl FnOnce(&mut Override)) {
        let mut held = self.plugins.remove(plugin).unwrap_or_default();
        change(&mut held);
        if !held.is_empty() {
            self.plugins.insert(plugin.to_owned(), held);
        }
    }

    /// Gives up every version of a plugin but the one that the configuration pins; says which.
    pub(in crate::chain) fn pin(&mut self, plugin: &str, pinned: &str) -> Vec<String> {
        let mut given_up = Vec::new();
        let mut forbidden = |digest: &str| {
            let forbidden = digest != pinned;
            if forbidden {
                given_up.push(digest.to_owned());
            }
            forbidden
        };
        self.change(plugin, |held| {
            held.digest = held.digest.take().filter(|digest| !forbidden(digest));
            held.trial = held.trial.take().filter(|it| !forbidden(&it.digest));
            held.promoted_over = { held.promoted_over.take() }.filter(|it| it == pinned);
        });
        given_up
    }

    pub(in crate::chain) fn reset(&mut self, plugin: &str) {
        self.plugins.remove(plugin);
    }

    /// The digests that were live; the newest comes last.
    pub(in crate::chain) fn history(&self, plugin: &str) -> &[String] {
        self.history.get(plugin).map_or(&[], Vec::as_slice)
    }

    /// Whether that changed anything.
    pub(in crate::chain) fn note_live(&mut self, plugin: &str, digest: &str) -> bool {
        let history = self.history.entry(plugin.to_owned()).or_default();
        if history.last().is_some_and(|last| last == digest) {
            return false;
        }
        history.retain(|known| known != digest);
        history.push(digest.to_owned());
        let surplus = history.len().saturating_sub(KEPT_MAX);
        history.drain(..surplus);
        true
    }

    /// Every digest that may still be needed.
    pub(in crate::chain) fn needed(&self) -> impl Iterator<Item = &str> {
        let history = self.history.values().flatten().map(String::as_str);
        let named = self.plugins.values().flat_map(|held| {
            let trial = held.trial.as_ref().map(|trial| &*trial.digest);
            [held.digest.as_deref(), trial, held.promoted_over.as_deref()]
        });
        history.chain(named.flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins/overrides.json");
        assert_eq!(Overrides::read(&path).unwrap(), Overrides::default());
        let mut overrides = Overrides::default();
        overrides.change("canary", |held| {
            held.off = true;
            held.who = "ops".into();
        });
        overrides.note_live("canary", "00ff");
        overrides.write(&path).unwrap();
        assert_eq!(Overrides::read(&path).unwrap(), overrides);
        fs::write(&path, "{").unwrap();
        let error = Overrides::read(&path).unwrap_err().to_string();
        assert!(error.contains("overrides.json"), "{error}");
    }

    #[test]
    fn an_override_of_nothing_is_none() {
        let mut overrides = Overrides::default();
        overrides.change("a", |held| held.off = true);
        overrides.change("a", |held| held.off = false);
        assert_eq!(overrides.of("a"), None);
    }

    #[test]
    fn the_history_is_bounded_and_has_each_once() {
        let mut overrides = Overrides::default();
        for n in 0..20 {
            assert!(overrides.note_live("a", &n.to_string()));
            assert!(!overrides.note_live("a", &n.to_string()));
        }
        assert_eq!(overrides.history("a").len(), KEPT_MAX);
        overrides.note_live("a", "15");
        assert_eq!(overrides.history("a").last().unwrap(), "15");
        assert_eq!(overrides.history("a").len(), KEPT_MAX);
        overrides.change("a", |held| held.digest = Some("3".into()));
        let needed: Vec<_> = overrides.needed().collect();
        assert!(needed.contains(&"3") && needed.contains(&"15") && needed.len() == KEPT_MAX + 1);
    }
}
