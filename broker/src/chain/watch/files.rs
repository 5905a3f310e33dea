//! Which files have changed, by content.
//!
//! A file counts as changed when two looks in a row find the same stamp and digest, and the digest
//! is not the one known before. So a file that is being written is left alone until it rests, and a
//! symlink swap or a `touch` that leads to the same bytes is no change. A file that is gone is not a
//! change either: it may be about to come back.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jackfield_plugin_host::Digest;

#[derive(Default)]
pub(super) struct Files {
    known: HashMap<PathBuf, Known>,
}

#[derive(Default)]
struct Known {
    /// The stamp under which `digest` was last confirmed.
    stamp: Option<Stamp>,
    digest: Option<String>,
    /// What the last look found, if it was new.
    resting: Option<(Stamp, String)>,
}

/// Cheap to get; changes with nearly every write and with every swap of a symlink.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl Files {
    /// This content is in use already.
    pub(super) fn know(&mut self, path: PathBuf, digest: String) {
        let known = Known {
            digest: Some(digest),
            ..Known::default()
        };
        self.known.insert(path, known);
    }

    /// Whatever they contain now is in use already.
    pub(super) fn know_as_they_are(&mut self, paths: &[PathBuf]) {
        for path in paths {
            let found = fingerprint(path);
            let (stamp, digest) = found.unzip();
            self.known.insert(
                path.clone(),
                Known {
                    stamp,
                    digest,
                    resting: None,
                },
            );
        }
    }

    /// The last content that came to rest.
    pub(super) fn digest(&self, path: &Path) -> Option<&str> {
        self.known.get(path)?.digest.as_deref()
    }

    /// Those whose content has changed and come to rest; each change is told once.
    pub(super) fn look(&mut self, paths: &[PathBuf]) -> Vec<PathBuf> {
        paths
            .iter()
            .filter(|path| self.has_changed(path))
            .cloned()
            .collect()
    }

    fn has_changed(&mut self, path: &Path) -> bool {
        let known = self.known.entry(path.to_owned()).or_default();
        if stamp(path).is_some_and(|now| known.stamp == Some(now)) {
            known.resting = None;
            return false;
        }
        let found = fingerprint(path);
        if found.is_none() || known.resting != found {
            known.resting = found;
            return false;
        }
        let Some((stamp, digest)) = known.resting.take() else {
            return false;
        };
        known.stamp = Some(stamp);
        known.digest.replace(digest) != known.digest
    }
}

fn fingerprint(path: &Path) -> Option<(Stamp, String)> {
    let before = stamp(path)?;
    let digest = Digest::of(&fs::read(path).ok()?).to_string();
    (stamp(path)? == before).then_some((before, digest))
}

/// Follows symlinks, as reading does.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        path: PathBuf,
        files: Files,
    }

    impl Fixture {
        fn new(content: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("plugin.wasm");
            fs::write(&path, content).unwrap();
            let mut files = Files::default();
            files.know_as_they_are(std::slice::from_ref(&path));
            Self { dir, path, files }
        }

        fn changed(&mut self) -> bool {
            !self.files.look(std::slice::from_ref(&self.path)).is_empty()
        }
    }

    #[test]
    fn a_change_is_told_once_and_at_the_second_look() {
        let mut it = Fixture::new("one");
        assert!(!it.changed());
        fs::write(&it.path, "two, longer").unwrap();
        assert!(!it.changed());
        assert!(it.changed());
        assert!(!it.changed());
        assert_eq!(
            it.files.digest(&it.path),
            Some(&*Digest::of(b"two, longer").to_string())
        );
    }

    #[test]
    fn a_file_that_is_being_written_is_left_alone() {
        let mut it = Fixture::new("one");
        for part in ["t", "tw", "two"] {
            fs::write(&it.path, part).unwrap();
            assert!(!it.changed());
        }
        assert!(it.changed());
    }

    #[test]
    fn a_file_that_is_gone_for_a_while_is_no_change() {
        let mut it = Fixture::new("one");
        fs::remove_file(&it.path).unwrap();
        assert!(!it.changed() && !it.changed());
        fs::write(&it.path, "one").unwrap();
        assert!(!it.changed() && !it.changed(), "the content is the same");
    }

    /// Kubernetes: `plugin.wasm -> ..data/plugin.wasm`, `..data -> ..2026_1`, and only `..data` is
    /// swapped.
    #[test]
    fn a_symlink_swap_is_a_change() {
        let mut it = Fixture::new("");
        fs::remove_file(&it.path).unwrap();
        for (version, content) in [("..1", "one"), ("..2", "two"), ("..3", "two")] {
            fs::create_dir(it.dir.path().join(version)).unwrap();
            fs::write(it.dir.path().join(version).join("plugin.wasm"), content).unwrap();
        }
        let swap = |to: &str| {
            let next = it.dir.path().join("..next");
            symlink(to, &next).unwrap();
            fs::rename(next, it.dir.path().join("..data")).unwrap();
        };
        swap("..1");
        symlink("..data/plugin.wasm", &it.path).unwrap();
        it.files.know_as_they_are(std::slice::from_ref(&it.path));
        swap("..2");
        let mut looks = [0; 4].map(|_| !it.files.look(std::slice::from_ref(&it.path)).is_empty());
        assert_eq!(looks, [false, true, false, false]);
        swap("..3");
        looks = looks.map(|_| !it.files.look(std::slice::from_ref(&it.path)).is_empty());
        assert_eq!(looks, [false; 4], "other files, the same content");
    }

    #[test]
    fn what_is_running_is_known_by_digest() {
        let mut it = Fixture::new("two");
        it.files
            .know(it.path.clone(), Digest::of(b"one").to_string());
        assert!(!it.changed());
        assert!(
            it.changed(),
            "it changed between its load and the first look"
        );
        it.files
            .know(it.path.clone(), Digest::of(b"two").to_string());
        assert!(!it.changed() && !it.changed());
    }
}
