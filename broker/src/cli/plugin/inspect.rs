//! `plugin inspect`: what a component implements, imports and needs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use jackfield_plugin_host::{Outline, PACKAGE};
use serde_json::{Value, json};

use super::super::{
    exit::Failure,
    print::{print_json, print_text},
};

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield plugin inspect canary.wasm\n\n\
        Exit code 1 when this version of jackfield would not load it.")]
pub(super) struct Inspect {
    /// A component
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<(), Failure> {
        show(&self.file, self.json)
    }
}

/// Describes a component whether it would be loaded or not, and fails when it would not.
pub(super) fn show(file: &Path, as_json: bool) -> Result<(), Failure> {
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
}
