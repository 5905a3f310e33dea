//! Habits that are cheaper to check than to remember.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helpers", "helper", "common", "misc", "types", "prelude",
];

const SOURCES: [&str; 5] = [
    "broker/src",
    "broker/rsocket/src",
    "broker/plugin-host/src",
    "plugin-sdk/src",
    "tests",
];

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// Every Rust file below a folder, in order; build output is none.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What is wrong with a file of this name and text.
fn untidy(path: &Path, text: &str) -> Option<&'static str> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default()
        .to_string_lossy();
    let is_door = matches!(&*stem, "mod" | "lib" | "main");
    if EMPTY_NAMES.contains(&&*stem) || (stem == "mod" && EMPTY_NAMES.contains(&&*folder)) {
        return Some("the name says nothing: name it after what is inside");
    }
    if is_door && !text.trim_start().starts_with("//!") {
        return Some("a door starts with //! and says what the module is for");
    }
    None
}

#[test]
fn files_have_names_and_doors_have_docs() {
    let mut found = Vec::new();
    for source in SOURCES {
        let files = rust_files(&workspace().join(source));
        assert!(!files.is_empty(), "{source} holds no Rust file");
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            if let Some(what) = untidy(&file, &text) {
                found.push(format!("{}: {what}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn planted_untidiness_is_caught() {
    for (path, text, tidy) in [
        ("a/utils.rs", "//! Doc.", false),
        ("a/common/mod.rs", "//! Doc.", false),
        ("a/common.rs", "", false),
        ("a/mod.rs", "use x;", false),
        ("a/mod.rs", "\n//! Doc.\nuse x;", true),
        ("a/refusal.rs", "use x;", true),
    ] {
        assert_eq!(untidy(Path::new(path), text).is_none(), tidy, "{path}");
    }
}
