//! `plugin new`: a folder that builds and passes its test at once, in three languages, for each hook.
//!
//! The same small plugin in each language, so that one file of cases fits all three. The folder brings the contract
//! along, and for Rust the SDK of this very version: nothing has to be published or checked out.

mod files;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::super::{exit::Failure, print::print_text};
use files::files;

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield plugin new bouncer --hook routing-filter && jackfield plugin test bouncer\n\n\
        Rust needs a toolchain with the target wasm32-unknown-unknown, JavaScript needs Node.js 20, Python needs 3.10\n\
        and componentize-py."
)]
pub(super) struct New {
    /// The plugin's name: small letters, digits and dashes
    #[arg(value_parser = name)]
    name: String,
    /// What it decides
    #[arg(long, value_enum, default_value = "routing-filter")]
    hook: Hook,
    /// In which language
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// Where to [default: a folder of its name]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// For Rust: the SDK in this folder, instead of a copy
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hook {
    RoutingFilter,
    EndpointSelector,
    Chaos,
    Authenticator,
    MetricsCollector,
    Events,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Javascript,
    Python,
}

impl New {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let dir = self
            .path
            .clone()
            .unwrap_or_else(|| PathBuf::from(&self.name));
        if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::usage(format!(
                "{} is not empty; name another folder with --path",
                dir.display()
            )));
        }
        let sdk = self.sdk.as_deref().map(fs::canonicalize).transpose();
        let sdk = sdk.map_err(|error| Failure::usage(format!("--sdk cannot be found: {error}")))?;
        for (path, text) in files(self.lang, self.hook, &self.name, sdk.as_deref()) {
            write(&dir.join(path), &text)
                .map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))?;
        }
        let dir = dir.display();
        print_text(&format!(
            "{dir} is ready:\n  jackfield plugin test {dir}     # builds it and runs {dir}/cases.toml\n"
        ))
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text)
}

fn name(text: &str) -> Result<String, String> {
    let small = |c: char| c.is_ascii_lowercase();
    let fits = |c: char| small(c) || c.is_ascii_digit() || c == '-';
    // Tools of each language make an identifier of it.
    let words = text.split('-').all(|word| word.starts_with(small));
    match words && text.chars().all(fits) && text.len() <= 64 {
        true => Ok(text.to_owned()),
        false => Err(
            "write words of small letters and digits with dashes between them, such as rate-limit"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for good in ["bouncer", "rate-limit", "v2-canary"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "Bouncer", "2nd", "a--b", "-a", "a_b", "a-2", "../a"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "mine").unwrap();
        let new = New {
            name: "bouncer".into(),
            hook: Hook::Chaos,
            lang: Language::Python,
            path: Some(dir.path().to_owned()),
            sdk: None,
        };
        let failure = new.run().unwrap_err();
        assert!(failure.to_string().contains("is not empty"), "{failure}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
