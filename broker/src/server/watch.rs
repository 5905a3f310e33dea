//! Sees that the configuration's files have changed, by content.
//!
//! It looks again and again instead of waiting for events: those miss network mounts and the symlink swaps of
//! mounted volumes. A change counts when two looks in a row find the same bytes, so a file that is half
//! written is left alone.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
};

#[derive(Debug)]
pub(super) struct Watch {
    hasher: RandomState,
    /// What the configuration in effect was, or was last tried to be, read from.
    known: Fingerprint,
    resting: Option<Fingerprint>,
}

/// Every file there is, with length and digest.
type Fingerprint = BTreeMap<PathBuf, (usize, u64)>;

impl Watch {
    /// What the files hold now counts as known.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let hasher = RandomState::new();
        Self {
            known: fingerprint(&hasher, files),
            hasher,
            resting: None,
        }
    }

    /// Whether the files have changed and come to rest; each change is told once. Files that are gone are
    /// about to come back, as long as one is left.
    pub(super) fn look(&mut self, files: &[PathBuf]) -> bool {
        let found = fingerprint(&self.hasher, files);
        if found == self.known || found.is_empty() {
            self.resting = None;
            return false;
        }
        if self.resting.as_ref() != Some(&found) {
            self.resting = Some(found);
            return false;
        }
        self.resting = None;
        self.known = found;
        true
    }
}

fn fingerprint(hasher: &RandomState, files: &[PathBuf]) -> Fingerprint {
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).ok()?;
        Some((path.clone(), (bytes.len(), hasher.hash_one(&bytes))))
    };
    files.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_change_is_told_once_when_it_rests() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("a.toml");
        let files = [file.clone(), folder.path().join("b.toml")];
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new(&files);
        assert!(!watch.look(&files));
        fs::write(&file, "tw").unwrap();
        assert!(!watch.look(&files), "may be half written");
        fs::write(&file, "two").unwrap();
        assert!(!watch.look(&files), "was half written");
        assert!(watch.look(&files));
        assert!(!watch.look(&files), "told once");
        fs::write(&file, "two").unwrap();
        assert!(
            !watch.look(&files) && !watch.look(&files),
            "the same content"
        );
        fs::write(&files[1], "new").unwrap();
        assert!(!watch.look(&files) && watch.look(&files), "a new file");
        fs::remove_file(&files[1]).unwrap();
        assert!(!watch.look(&files) && watch.look(&files), "a file less");
        fs::remove_file(&file).unwrap();
        assert!(
            !watch.look(&files) && !watch.look(&files),
            "nothing left: it is being replaced"
        );
    }

    #[test]
    fn a_symlink_swap_is_a_change() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("j.toml"), text).unwrap();
        }
        std::os::unix::fs::symlink(at("..1"), at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/j.toml", at("j.toml")).unwrap();
        let files = [at("j.toml")];
        let mut watch = Watch::new(&files);
        std::os::unix::fs::symlink(at("..2"), at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert!(!watch.look(&files) && watch.look(&files));
    }
}
