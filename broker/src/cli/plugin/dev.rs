//! `plugin dev`: builds, tests and loads into a running broker, again at each change of the sources.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use super::{
    super::{client::AdminArgs, exit::Failure},
    build::build,
    cases::{CASES, only_one, pass},
    live::{act, here},
};

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield plugin dev plugins/bouncer --plugin bouncer\n\n\
        The plugin must be in the broker's configuration; `mode = \"shadow\"` there lets it watch only. When the\n\
        component does not build, or a case of cases.toml fails, the broker keeps what it has. At the end\n\
        `jackfield plugin reset NAME` brings back what the configuration says."
)]
pub(super) struct Dev {
    /// The folder of the plugin
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The plugin's name in the broker's configuration
    #[arg(long, value_name = "NAME")]
    plugin: String,
    /// Where Cargo keeps what it builds
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Do it once, and watch nothing
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// How often the sources are looked at. File events would miss network mounts and containers.
const LOOK: Duration = Duration::from_millis(300);
/// What tools write, not people.
const IGNORED: [&str; 5] = [
    "target",
    "dist",
    "node_modules",
    "__pycache__",
    "Cargo.lock",
];

impl Dev {
    pub(super) fn run(&self) -> Result<(), Failure> {
        if self.once {
            return self.round();
        }
        let mut seen = None;
        loop {
            let now = fingerprint(&self.path)?;
            if seen != Some(now) {
                if let Err(failure) = self.round() {
                    eprintln!("jackfield: {failure}; the broker keeps what it has");
                }
                seen = Some(now);
                eprintln!("watching {}; end with Ctrl-C", self.path.display());
            }
            thread::sleep(LOOK);
        }
    }

    fn round(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        let component = only_one(build(&self.path, self.target_dir.as_deref())?)?;
        let cases = self.path.join(CASES);
        let passed = match cases.is_file() {
            true => pass(&component, &cases)?,
            false => 0,
        };
        let body = json!({ "file": here(&component)? });
        let answer = act(&self.admin, &self.plugin, "load", &body)?;
        let (generation, took) = (&answer["generation"], begun.elapsed());
        eprintln!(
            "{}: {passed} cases pass; loaded as generation {generation}, {took:.1?}",
            self.plugin
        );
        Ok(())
    }
}

/// Names, sizes and times of the sources; hidden files and what tools write are left out.
fn fingerprint(dir: &Path) -> Result<u64, Failure> {
    let mut hasher = DefaultHasher::new();
    visit(dir, &mut hasher)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", dir.display())))?;
    Ok(hasher.finish())
}

fn visit(dir: &Path, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || IGNORED.contains(&&*name) {
            continue;
        }
        // A file that an editor has just taken away will be there at the next look.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_dir() {
            visit(&entry.path(), hasher)?;
        } else {
            (&*name, about.len(), about.modified().ok()).hash(hasher);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_count_as_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let before = fingerprint(dir.path()).unwrap();
        for ignored in [
            "target/x.wasm",
            "dist/plugin.wasm",
            ".git/index",
            "Cargo.lock",
        ] {
            write(ignored, "made");
            assert_eq!(fingerprint(dir.path()).unwrap(), before, "{ignored}");
        }
        write("src/lib.rs", "three");
        let changed = fingerprint(dir.path()).unwrap();
        assert_ne!(changed, before);
        write("src/more.rs", "");
        assert_ne!(fingerprint(dir.path()).unwrap(), changed);
    }
}
