//! The files of a new plugin.

use std::path::Path;

use super::{Hook, Language};

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Of one hook: its name, the cases, and the plugin in Rust, JavaScript and Python.
macro_rules! plugin_of {
    ($name:literal) => {
        Texts {
            hook: $name,
            cases: include_str!(concat!("cases/", $name, ".toml")),
            rust: include_str!(concat!("rust/", $name, ".rs")),
            javascript: include_str!(concat!("javascript/", $name, ".js")),
            python: include_str!(concat!("python/", $name, ".py")),
        }
    };
}

struct Texts {
    hook: &'static str,
    cases: &'static str,
    rust: &'static str,
    javascript: &'static str,
    python: &'static str,
}

const fn texts(hook: Hook) -> Texts {
    match hook {
        Hook::RoutingFilter => plugin_of!("routing-filter"),
        Hook::EndpointSelector => plugin_of!("endpoint-selector"),
        Hook::Chaos => plugin_of!("chaos"),
        Hook::Authenticator => plugin_of!("authenticator"),
        Hook::MetricsCollector => plugin_of!("metrics-collector"),
        Hook::Events => plugin_of!("events"),
    }
}

/// Paths within the folder, and what is in them.
pub(super) fn files(
    language: Language,
    hook: Hook,
    name: &str,
    sdk: Option<&Path>,
) -> Vec<(String, String)> {
    let texts = texts(hook);
    let mut files = Files {
        name,
        // The only one that writes to the log.
        with: if hook == Hook::Events { &["log"] } else { &[] },
        files: Vec::new(),
    };
    files.add("cases.toml", &cases(language, texts.cases));
    match language {
        Language::Rust => files.rust(&texts, sdk),
        Language::Javascript => {
            files.contract();
            files.world(texts.hook);
            files.add("plugin.js", texts.javascript);
            files.add("package.json", include_str!("javascript/package.json"));
            files.add("build.mjs", include_str!("javascript/build.mjs"));
            files.add(".gitignore", "dist/\nnode_modules/\n");
        }
        Language::Python => {
            files.contract();
            files.world(texts.hook);
            files.add("plugin.py", texts.python);
            files.add("requirements.txt", "componentize-py==0.25.1\n");
            files.add("build.py", include_str!("python/build.py"));
            files.add(".gitignore", "dist/\n.venv/\n__pycache__/\n");
        }
    }
    files.files
}

/// An interpreter brings its heap along, and is slower to begin.
fn cases(language: Language, cases: &str) -> String {
    let more = match language {
        Language::Rust => return cases.to_owned(),
        Language::Javascript => "memory = \"32MiB\"\ndeadline = \"50ms\"\n",
        Language::Python => "memory = \"64MiB\"\ndeadline = \"50ms\"\n",
    };
    cases.replacen("[plugin]\n", &format!("[plugin]\n{more}"), 1)
}

struct Files<'a> {
    name: &'a str,
    with: &'a [&'a str],
    files: Vec<(String, String)>,
}

impl Files<'_> {
    fn add(&mut self, path: &str, text: &str) {
        self.files
            .push((path.into(), text.replace("NAME", self.name)));
    }

    fn rust(&mut self, texts: &Texts, sdk: Option<&Path>) {
        self.add("src/lib.rs", texts.rust);
        self.add(".gitignore", "target/\n");
        let path = match sdk {
            Some(path) => path.display().to_string(),
            None => "jackfield/plugin-sdk".into(),
        };
        let manifest = include_str!("rust/manifest.toml").replace("SDK", &format!("{path:?}"));
        self.add("Cargo.toml", &manifest);
        if sdk.is_none() {
            self.contract();
            for (path, text) in SDK {
                let text = match *path {
                    "Cargo.toml" => standalone(text),
                    _ => (*text).to_owned(),
                };
                self.files
                    .push((format!("jackfield/plugin-sdk/{path}"), text));
            }
        }
    }

    fn contract(&mut self) {
        for (path, text) in WIT {
            let path = format!("jackfield/wit/{path}");
            self.files.push((path, (*text).to_owned()));
        }
    }

    /// The plugin's own world: the hook, and what it imports beside that.
    fn world(&mut self, hook: &str) {
        let version = jackfield_plugin_host::VERSION;
        let includes: String = ["lifecycle", hook]
            .iter()
            .chain(self.with)
            .map(|name| format!("    include jackfield:plugin/with-{name}@{version};\n"))
            .collect();
        let text = format!(
            "package plugin:own;\n\n/// What the plugin exports and imports: one include per hook and per import it uses.\n\
             world plugin {{\n{includes}}}\n"
        );
        self.add("world.wit", &text);
    }
}

/// The SDK's manifest, free of the workspace it comes from.
fn standalone(manifest: &str) -> String {
    let version = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
    let rust = concat!("rust-version = \"", env!("CARGO_PKG_RUST_VERSION"), "\"");
    manifest
        .replace("rust-version.workspace = true", rust)
        .replace("version.workspace = true", version)
        .replace("edition.workspace = true", "edition = \"2024\"")
        .replace("license.workspace = true", "license = \"Apache-2.0\"")
        .replace("repository.workspace = true\n", "")
        .replace(
            "serde.workspace = true",
            "serde = { version = \"1\", features = [\"derive\"] }",
        )
        .replace("serde_json.workspace = true", "serde_json = \"1\"")
        .replace("[lints]\nworkspace = true\n", "")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_sdk_stands_alone() {
        let (_, manifest) = SDK.iter().find(|(path, _)| *path == "Cargo.toml").unwrap();
        let manifest = standalone(manifest);
        assert!(!manifest.contains("workspace"), "{manifest}");
        let parsed: toml::Table = toml::from_str(&manifest).unwrap();
        assert_eq!(
            parsed["package"]["version"].as_str(),
            Some(env!("CARGO_PKG_VERSION"))
        );
        assert!(SDK.iter().any(|(path, _)| *path == "src/lib.rs"));
        assert!(WIT.iter().any(|(path, _)| *path == "worlds.wit"));
    }

    #[test]
    fn every_folder_is_whole_and_bears_its_name() {
        for language in Language::value_variants() {
            for hook in Hook::value_variants() {
                let files = files(*language, *hook, "my-plugin", None);
                let main = match language {
                    Language::Rust => "src/lib.rs",
                    Language::Javascript => "plugin.js",
                    Language::Python => "plugin.py",
                };
                for wanted in ["cases.toml", "jackfield/wit/worlds.wit", main] {
                    assert!(files.iter().any(|(path, _)| path == wanted), "{wanted}");
                }
                for (path, text) in files {
                    assert!(!text.is_empty() && !text.contains("NAME,"), "{path}");
                }
            }
        }
    }
}
