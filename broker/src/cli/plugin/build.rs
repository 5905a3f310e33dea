//! `plugin build`: a folder becomes a component, by the ordinary tools of its language.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;
use serde_json::Value;

use super::super::{
    exit::Failure,
    settings_schema as schema,
    wasm_toolchain::{REMEDY, TARGET, WasmToolchain},
};
use super::inspect::show;

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield plugin build plugins/canary\n\n\
        A folder with a Cargo.toml is built for wasm32-unknown-unknown, one with a package.json by `npm run build`,\n\
        one with a build.py by Python; these two leave dist/plugin.wasm. The component imports nothing but\n\
        Jackfield's own interfaces. A settings.schema.json in the folder becomes part of it.")]
pub(super) struct Build {
    /// The folder of the plugin
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Where Cargo keeps what it builds
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(&self) -> Result<(), Failure> {
        for file in build(&self.path, self.target_dir.as_deref())? {
            show(&file, self.json)?;
        }
        Ok(())
    }
}

/// The components made of a folder, each with the folder's schema of its settings; at least one.
pub(super) fn build(dir: &Path, target_dir: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let dir = match dir.file_name() {
        Some(name) if name == "Cargo.toml" => dir.parent().unwrap_or(dir),
        _ => dir,
    };
    let components = by_tools(dir, target_dir)?;
    for component in &components {
        schema::add(&dir.join(schema::FILE), component)
            .map_err(|error| Failure::failed(format!("{}: {error}", component.display())))?;
    }
    Ok(components)
}

fn by_tools(dir: &Path, target_dir: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let has = |file: &str| dir.join(file).is_file();
    match () {
        () if has("Cargo.toml") => by_cargo(dir, target_dir),
        () if has("package.json") => by_npm(dir),
        () if has("build.py") => by_python(dir),
        () => Err(Failure::usage(format!(
            "{} has no Cargo.toml, package.json or build.py; name the folder of a plugin, such as plugins/canary, \
             or make one with `jackfield plugin new`",
            dir.display()
        ))),
    }
}

fn by_npm(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !dir.join("node_modules").is_dir() {
        run(
            dir,
            Command::new("npm").args(["install", "--no-audit", "--no-fund"]),
        )?;
    }
    run(dir, Command::new("npm").args(["run", "--silent", "build"]))?;
    built_plugin(dir)
}

fn by_python(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    // The folder's own environment, when it has one.
    let own = dir.join(".venv/bin/python");
    let python = match std::fs::canonicalize(dir) {
        Ok(dir) if own.exists() => dir.join(".venv/bin/python"),
        _ => PathBuf::from("python3"),
    };
    run(dir, Command::new(python).arg("build.py"))?;
    built_plugin(dir)
}

/// Its output is for people: standard output is kept for what this command prints itself.
fn run(dir: &Path, command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::failed(format!("cannot run {name}: {error}; install it")))?;
    eprint!("{}", String::from_utf8_lossy(&output.stdout));
    match output.status.success() {
        true => Ok(()),
        false => Err(not_built(dir)),
    }
}

fn built_plugin(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let file = dir.join("dist/plugin.wasm");
    match file.is_file() {
        true => Ok(vec![file]),
        false => Err(Failure::failed(format!(
            "{} was not made; the build must leave the component there",
            file.display()
        ))),
    }
}

fn not_built(dir: &Path) -> Failure {
    Failure::failed(format!("{} was not built", dir.display()))
}

/// The components that Cargo made of a folder.
fn by_cargo(dir: &Path, target_dir: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let Some(toolchain) = WasmToolchain::find() else {
        return Err(Failure::failed(format!(
            "no Rust toolchain here has the target {TARGET}; {REMEDY}"
        )));
    };
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--target", TARGET]);
    if let Some(target_dir) = target_dir {
        let target_dir = std::path::absolute(target_dir).map_err(Failure::failed)?;
        cargo.arg("--target-dir").arg(target_dir);
    }
    let output = cargo
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            Failure::failed(format!("cannot run cargo: {error}; see https://rustup.rs"))
        })?;
    if !output.status.success() {
        return Err(not_built(dir));
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
    fn a_folder_without_a_manifest_is_bad_usage() {
        let dir = tempfile::tempdir().unwrap();
        let failure = build(dir.path(), None).unwrap_err();
        assert!(
            failure.to_string().contains("has no Cargo.toml"),
            "{failure}"
        );
    }
}
