//! `plugin test`: cases from a file, each in a fresh instance of the broker's own engine.
//!
//! ```text
//! file     what a case is: what the plugin is given, and what it must answer
//! engine   loads the component and asks it
//! answer   what it answered, as the file would write it
//! ```

mod answer;
mod engine;
mod file;
mod shown;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use self::{engine::Loaded, file::Cases};
use super::{
    super::{
        exit::Failure,
        look::text,
        print::{print_json, print_text},
    },
    build::build,
};

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield plugin test plugins/bouncer\n\n\
        A folder is built first. The cases are in cases.toml, beside the component or in the folder:\n\n\
        \x20 [[case]]\n\
        \x20 name = \"the spammer is refused\"\n\
        \x20 request = { service = \"com.example.User\", method = \"find\", app = \"spammer\" }\n\
        \x20 expect = { refuse = { code = 0x202, text = \"not tonight\" } }\n\n\
        Exit code 1 when a case fails. docs/plugins.md says what a case can have.")]
pub(super) struct Test {
    /// A component, or the folder of a plugin
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The cases [default: cases.toml beside it]
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Where Cargo keeps what it builds
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of one case.
struct Report {
    name: String,
    /// What went wrong; none: it passed.
    complaint: Option<String>,
}

impl Test {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let is_file = self.path.is_file() && !self.path.ends_with("Cargo.toml");
        let (component, dir) = match is_file {
            true => (
                self.path.clone(),
                self.path.parent().unwrap_or(Path::new(".")),
            ),
            false => (
                only_one(build(&self.path, self.target_dir.as_deref())?)?,
                &*self.path,
            ),
        };
        let cases = self.cases.clone().unwrap_or_else(|| dir.join(CASES));
        let reports = run_cases(&component, &cases)?;
        if self.json {
            let list: Vec<Value> = reports.iter().map(Report::described).collect();
            print_json(&list)?;
        } else {
            print_text(&reports.iter().map(Report::line).collect::<String>())?;
        }
        let failed = reports.iter().filter(|it| it.complaint.is_some()).count();
        match failed {
            0 => Ok(()),
            _ => Err(Failure::failed(format!(
                "{failed} of {} cases failed",
                reports.len()
            ))),
        }
    }
}

/// Where cases are when nobody says.
pub(super) const CASES: &str = "cases.toml";

/// Runs them all, and fails with the first complaint.
pub(super) fn pass(component: &Path, cases: &Path) -> Result<usize, Failure> {
    let reports = run_cases(component, cases)?;
    match reports.iter().find(|report| report.complaint.is_some()) {
        Some(report) => Err(Failure::failed(report.line().trim_end())),
        None => Ok(reports.len()),
    }
}

pub(super) fn only_one(mut components: Vec<PathBuf>) -> Result<PathBuf, Failure> {
    match components.len() {
        1 => Ok(components.remove(0)),
        many => Err(Failure::usage(format!(
            "there are {many} components here; name one of them"
        ))),
    }
}

fn run_cases(component: &Path, cases: &Path) -> Result<Vec<Report>, Failure> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::usage(format!("{} cannot be read: {error}", path.display()))
    };
    let bytes = fs::read(component).map_err(|error| unreadable(component, &error))?;
    let text = fs::read_to_string(cases).map_err(|error| unreadable(cases, &error))?;
    let cases = Cases::parse(&text).map_err(|error| unreadable(cases, &error))?;
    let loaded = Loaded::new(&bytes, &cases.plugin)
        .map_err(|error| Failure::failed(format!("{} {error}", component.display())))?;
    let report = |case: &file::Case| Report {
        name: case.name.clone(),
        complaint: loaded.run(&cases.plugin, case).err(),
    };
    Ok(cases.case.iter().map(report).collect())
}

impl Report {
    fn line(&self) -> String {
        match &self.complaint {
            None => format!("ok      {}\n", self.name),
            Some(complaint) => format!(
                "FAILED  {}\n        {}\n",
                self.name,
                text(&json!(complaint))
            ),
        }
    }

    fn described(&self) -> Value {
        json!({ "name": self.name, "ok": self.complaint.is_none(), "complaint": self.complaint })
    }
}
