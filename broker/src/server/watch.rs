//! Sees that the configuration's files have changed, by content.
//!
//! It looks again and again instead of waiting for events: those miss network mounts and the symlink swaps of
//! mounted volumes. A change counts when two looks in a row find the same bytes, so a file that is half
//! written is left alone.

use crate::config::Contents;

#[derive(Debug)]
pub(super) struct Watch {
    /// What the configuration in effect was, or was last tried to be, read from.
    known: Contents,
    resting: Option<Contents>,
}

impl Watch {
    pub(super) fn new(known: Contents) -> Self {
        Self {
            known,
            resting: None,
        }
    }

    /// Whether the files have changed and come to rest; each change is told once. Files that are gone are
    /// about to come back, as long as one is left.
    pub(super) fn look(&mut self, found: Contents) -> bool {
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use tempfile::TempDir;

    use crate::config::Surroundings;

    use super::*;

    struct Fixture {
        folder: TempDir,
        surroundings: Surroundings,
        watch: Watch,
    }

    impl Fixture {
        fn new(arrange: impl FnOnce(&Path)) -> Self {
            let folder = TempDir::new().unwrap();
            arrange(folder.path());
            let surroundings = Surroundings {
                current_dir: folder.path().to_owned(),
                ..Surroundings::default()
            };
            let watch = Watch::new(surroundings.contents());
            Self {
                folder,
                surroundings,
                watch,
            }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.at(name), text).unwrap();
        }

        fn looks(&mut self) -> [bool; 3] {
            [0; 3].map(|_| self.watch.look(self.surroundings.contents()))
        }

        fn look(&mut self) -> bool {
            self.watch.look(self.surroundings.contents())
        }
    }

    const TOLD: [bool; 3] = [false, true, false];
    const QUIET: [bool; 3] = [false; 3];

    #[test]
    fn a_change_is_told_once_when_it_rests() {
        let mut it = Fixture::new(|folder| {
            fs::write(folder.join("jackfield.toml"), "one").unwrap();
            fs::create_dir(folder.join("conf.d")).unwrap();
        });
        assert_eq!(it.looks(), QUIET);
        it.write("jackfield.toml", "tw");
        assert!(!it.look(), "may be half written");
        it.write("jackfield.toml", "two");
        assert!(!it.look(), "was half written");
        assert!(it.look());
        it.write("jackfield.toml", "two");
        assert_eq!(it.looks(), QUIET, "the same content");
        it.write("conf.d/more.toml", "new");
        assert_eq!(it.looks(), TOLD, "a new file");
        fs::remove_file(it.at("conf.d/more.toml")).unwrap();
        assert_eq!(it.looks(), TOLD, "a file less");
        fs::remove_file(it.at("jackfield.toml")).unwrap();
        assert_eq!(it.looks(), QUIET, "nothing left: it is being replaced");
    }

    #[test]
    fn a_change_before_the_first_look_is_told() {
        let mut it = Fixture::new(|folder| {
            fs::write(folder.join("jackfield.toml"), "").unwrap();
        });
        let loaded = crate::config::load(&Surroundings {
            variables: [("HOME".to_owned(), "/home/op".to_owned())].into(),
            ..it.surroundings.clone()
        });
        it.write("jackfield.toml", "[log]");
        it.watch = Watch::new(loaded.unwrap().contents);
        assert_eq!(it.looks(), TOLD);
    }

    #[test]
    fn a_symlink_swap_is_a_change() {
        use std::os::unix::fs::symlink;
        let mut it = Fixture::new(|folder| {
            for (version, text) in [("..1", "one"), ("..2", "two")] {
                fs::create_dir(folder.join(version)).unwrap();
                fs::write(folder.join(version).join("jackfield.toml"), text).unwrap();
            }
            symlink("..1", folder.join("..data")).unwrap();
            symlink("..data/jackfield.toml", folder.join("jackfield.toml")).unwrap();
        });
        symlink("..2", it.at("..next")).unwrap();
        fs::rename(it.at("..next"), it.at("..data")).unwrap();
        assert_eq!(it.looks(), TOLD);
    }
}
