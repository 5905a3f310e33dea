//! `doctor`: what this machine lacks for the configuration, each with the command that mends it.
//!
//! `measure` looks and changes nothing; the checks are functions of what was measured, so each is tested both
//! ways. A check that is *bad* keeps the broker from starting or from doing what the configuration promises; one to
//! *look at* costs speed or safety.

mod checks;
mod finding;
mod measure;
mod places;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    exit::Failure,
    print::{print_json, print_text},
    settings::ConfigArgs,
};

use finding::{Finding, Verdict};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield doctor --config jackfield.toml\n  \
                        jackfield doctor --certificate tls.crt --key tls.key\n\n\
                        Exit code 1 when something is bad."
)]
pub(super) struct Doctor {
    /// Also check this certificate, with those that link it to its authority behind it
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The key of the certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        let certificates = self.certificate.iter().zip(&self.key);
        let findings = measure::examine(&loaded.config, certificates);
        let bad = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Bad)
            .count();
        if self.json {
            print_json(&json!({ "ok": bad == 0, "findings": findings }))?;
        } else {
            print_text(&report(&findings))?;
        }
        match bad {
            0 => Ok(()),
            1 => Err(Failure::failed("one thing is bad")),
            _ => Err(Failure::failed(format!("{bad} things are bad"))),
        }
    }
}

fn report(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for Finding {
        name,
        verdict,
        what,
        todo,
    } in findings
    {
        let verdict = verdict.as_str();
        text.push_str(&format!("{verdict:<5} {name:<width$}  {what}\n"));
        if let Some(todo) = todo {
            text.push_str(&format!("{:<5} {:<width$}  -> {todo}\n", "", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_and_what_to_do() {
        let findings = [
            Finding::good("clock", "fine"),
            Finding::bad("descriptors", "too few", "ulimit -Hn 9"),
        ];
        assert_eq!(
            report(&findings),
            "ok    clock        fine\nbad   descriptors  too few\n                   -> ulimit -Hn 9\n"
        );
    }
}
