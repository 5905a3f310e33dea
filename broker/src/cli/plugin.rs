//! `plugin`: what is in a component, and how to make one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::{Args, Subcommand};
use jackfield_plugin_host::{Outline, PACKAGE};
use serde_json::{Value, json};

use super::{
    exit::Failure,
    print::{print_json, print_text},
    wasm_toolchain::{REMEDY, TARGET, WasmToolchain},
};

#[derive(Args, Debug)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand, Debug)]
enum PluginCommand {
    /// Compile a Rust plugin to a sealed component
    Build(Build),
    /// Show what a component implements, imports and needs
    Inspect(Inspect),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield plugin build plugins/canary\n\n\
        The component imports nothing but Jackfield's own interfaces.")]
struct Build {
    /// The folder of the plugin, with its Cargo.toml
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield plugin inspect canary.wasm\n\n\
        Exit code 1 when this version of jackfield would not load it.")]
struct Inspect {
    /// A component
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Plugin {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.command {
            PluginCommand::Build(build) => build.run(),
            PluginCommand::Inspect(inspect) => inspect.run(),
        }
    }
}

impl Build {
    fn run(&self) -> Result<(), Failure> {
        for file in build(&self.path)? {
            show(&file, self.json)?;
        }
        Ok(())
    }
}

impl Inspect {
    fn run(&self) -> Result<(), Failure> {
        show(&self.file, self.json)
    }
}

/// The components that Cargo made of a folder.
fn build(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let dir = match dir.file_name() {
        Some(name) if name == "Cargo.toml" => dir.parent().unwrap_or(dir),
        _ => dir,
    };
    if !dir.join("Cargo.toml").is_file() {
        return Err(Failure::usage(format!(
            "{} has no Cargo.toml; name the folder of a Rust plugin, such as plugins/canary",
            dir.display()
        )));
    }
    let Some(toolchain) = WasmToolchain::find() else {
        return Err(Failure::failed(format!(
            "no Rust toolchain here has the target {TARGET}; {REMEDY}"
        )));
    };
    let output = toolchain
        .cargo()
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        // Makes a component, and imports nothing the source does not: no WASI.
        .args([
            "--config",
            &format!("target.{TARGET}.linker=\"wasm-component-ld\""),
        ])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            Failure::failed(format!("cannot run cargo: {error}; see https://rustup.rs"))
        })?;
    if !output.status.success() {
        return Err(Failure::failed(format!("{} was not built", dir.display())));
    }
    let files = built_components(&String::from_utf8_lossy(&output.stdout));
    if files.is_empty() {
        return Err(Failure::failed(format!(
            "{} has no component; add to its Cargo.toml: [lib] crate-type = [\"cdylib\"]",
            dir.display()
        )));
    }
    Ok(files)
}

/// Cargo prints one JSON object a line for everything it made.
fn built_components(messages: &str) -> Vec<PathBuf> {
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact");
    artifacts
        .flat_map(|artifact| match &artifact["filenames"] {
            Value::Array(files) => files.clone(),
            _ => Vec::new(),
        })
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect()
}

fn show(file: &Path, as_json: bool) -> Result<(), Failure> {
    let broken =
        |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", file.display()));
    let bytes = fs::read(file).map_err(|error| broken(&error))?;
    let outline = Outline::read(&bytes).map_err(|error| broken(&error))?;
    let loads = outline.check();
    let refusal = loads.as_ref().err().map(ToString::to_string);
    if as_json {
        print_json(&described(file, &outline, refusal.as_deref()))?;
    } else {
        print_text(&text(file, &outline, refusal.as_deref()))?;
    }
    loads.map_err(|error| broken(&error))
}

fn described(file: &Path, outline: &Outline, refusal: Option<&str>) -> Value {
    let mut value = json!(outline);
    value["file"] = json!(file);
    value["loads"] = json!(refusal.is_none());
    value["refusal"] = json!(refusal);
    value
}

fn text(file: &Path, outline: &Outline, refusal: Option<&str>) -> String {
    let or = |words: Vec<String>, none: &str| match words.is_empty() {
        true => none.to_owned(),
        false => words.join(", "),
    };
    let hooks = outline
        .hooks
        .iter()
        .map(|hook| hook.name().to_owned())
        .collect();
    let needs = outline
        .capabilities
        .iter()
        .map(|capability| capability.name().to_owned())
        .collect();
    let contract = outline
        .versions
        .iter()
        .map(|version| format!("{PACKAGE}@{version}"))
        .collect();
    [
        ("file", file.display().to_string()),
        ("size", format!("{} bytes", outline.size)),
        ("sha256", outline.digest.to_string()),
        ("contract", or(contract, "none of ours")),
        ("hooks", or(hooks, "none")),
        ("allow", or(needs, "needs no grant")),
        ("imports", or(outline.imports.clone(), "nothing")),
        ("exports", or(outline.exports.clone(), "nothing")),
        (
            "loads",
            refusal.map_or("yes".to_owned(), |why| format!("no, it {why}")),
        ),
    ]
    .iter()
    .map(|(name, value)| format!("{name:<9} {value}\n"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/t/libserde.rlib"]}
not json
{"reason":"compiler-artifact","filenames":["/t/canary.wasm","/t/libcanary.rlib"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            built_components(messages),
            [PathBuf::from("/t/canary.wasm")]
        );
    }

    #[test]
    fn what_does_not_load_is_described_all_the_same() {
        let component = wat::parse_str(
            r#"(component
                (import "wasi:clocks/wall-clock@0.2.0" (instance))
                (instance $nothing)
                (export "jackfield:plugin/routing-filter@0.1.0" (instance $nothing)))"#,
        );
        let outline = Outline::read(&component.unwrap()).unwrap();
        let refusal = outline.check().unwrap_err().to_string();
        let text = text(Path::new("p.wasm"), &outline, Some(&refusal));
        assert!(text.contains("hooks     routing-filter\n"), "{text}");
        assert!(
            text.contains("loads     no, it imports `wasi:clocks/wall-clock@0.2.0`"),
            "{text}"
        );
        let value = described(Path::new("p.wasm"), &outline, Some(&refusal));
        assert_eq!(
            (&value["loads"], &value["hooks"][0]),
            (&json!(false), &json!("routing-filter"))
        );
        assert_eq!(value["digest"].as_str().map(str::len), Some(64));
    }

    #[test]
    fn a_folder_without_a_manifest_is_bad_usage() {
        let dir = tempfile::tempdir().unwrap();
        let failure = build(dir.path()).unwrap_err();
        assert!(
            failure.to_string().contains("has no Cargo.toml"),
            "{failure}"
        );
    }
}
