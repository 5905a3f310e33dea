//! Sees that the configuration's files have changed, by content.
//!
//! It looks again and again instead of waiting for events: those miss network mounts and the symlink swaps of
//! mounted volumes. A change counts when two looks in a row find the same bytes, so a file that is half
//! written is left alone.

use std::path::Path;

use crate::config::Contents;

#[derive(Debug)]
pub(super) struct Watch {
    /// What the configuration in effect was, or was last tried to be, read from.
    known: Contents,
    resting: Option<Contents>,
    /// It has been told that the main file is gone.
    told_gone: bool,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Changed,
    /// The main file is gone for longer than it takes to replace it. Told once.
    Gone,
}

impl Watch {
    pub(super) fn new(known: Contents) -> Self {
        Self {
            known,
            resting: None,
            told_gone: false,
        }
    }

    /// A reload has tried this: it is no change any more.
    pub(super) fn tried(&mut self, contents: Contents) {
        self.known = contents;
        self.resting = None;
    }

    /// Whether the files have changed and come to rest; each change is told once. `main` is the file in effect, if
    /// any: while it is gone it is about to come back, and nothing else counts.
    pub(super) fn look(&mut self, found: Contents, main: Option<&Path>) -> Seen {
        let gone = main.is_some_and(|main| !found.contains_key(main));
        if !gone {
            self.told_gone = false;
        }
        if found == self.known || (gone && self.told_gone) {
            self.resting = None;
            return Seen::Nothing;
        }
        if self.resting.as_ref() != Some(&found) {
            self.resting = Some(found);
            return Seen::Nothing;
        }
        self.resting = None;
        if gone {
            self.told_gone = true;
            return Seen::Gone;
        }
        self.known = found;
        Seen::Changed
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

        fn looks(&mut self) -> [Seen; 3] {
            [0; 3].map(|_| self.look())
        }

        fn look(&mut self) -> Seen {
            let main = self.at("jackfield.toml");
            self.watch.look(self.surroundings.contents(), Some(&main))
        }
    }

    const TOLD: [Seen; 3] = [Seen::Nothing, Seen::Changed, Seen::Nothing];
    const QUIET: [Seen; 3] = [Seen::Nothing; 3];

    #[test]
    fn a_change_is_told_once_when_it_rests() {
        let mut it = Fixture::new(|folder| {
            fs::write(folder.join("jackfield.toml"), "one").unwrap();
            fs::create_dir(folder.join("conf.d")).unwrap();
        });
        assert_eq!(it.looks(), QUIET);
        it.write("jackfield.toml", "tw");
        assert_eq!(it.look(), Seen::Nothing, "may be half written");
        it.write("jackfield.toml", "two");
        assert_eq!(it.look(), Seen::Nothing, "was half written");
        assert_eq!(it.look(), Seen::Changed);
        it.write("jackfield.toml", "two");
        assert_eq!(it.looks(), QUIET, "the same content");
        it.write("conf.d/more.toml", "new");
        assert_eq!(it.looks(), TOLD, "a new file");
        fs::remove_file(it.at("conf.d/more.toml")).unwrap();
        assert_eq!(it.looks(), TOLD, "a file less");
    }

    #[test]
    fn a_file_that_is_gone_is_told_once_and_changes_nothing() {
        let mut it = Fixture::new(|folder| {
            fs::write(folder.join("jackfield.toml"), "one").unwrap();
        });
        for _ in 0..2 {
            fs::remove_file(it.at("jackfield.toml")).unwrap();
            let gone = [Seen::Nothing, Seen::Gone, Seen::Nothing];
            assert_eq!(
                it.looks(),
                gone,
                "the first look may be in the middle of a swap"
            );
            assert_eq!(it.looks(), QUIET);
            it.write("jackfield.toml", "one");
            assert_eq!(it.looks(), QUIET, "it is back, as it was");
        }
        fs::remove_file(it.at("jackfield.toml")).unwrap();
        it.look();
        it.write("jackfield.toml", "two");
        assert_eq!(it.looks(), TOLD, "it was only being replaced");
    }

    #[test]
    fn what_a_reload_has_tried_is_no_change() {
        let mut it = Fixture::new(|folder| {
            fs::write(folder.join("jackfield.toml"), "one").unwrap();
        });
        it.write("jackfield.toml", "two");
        let tried = it.surroundings.contents();
        it.watch.tried(tried);
        assert_eq!(it.looks(), QUIET);
        it.write("jackfield.toml", "three");
        assert_eq!(it.looks(), TOLD);
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
