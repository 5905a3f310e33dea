//! `check`: is the configuration good? Changes nothing.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    chain::{Chains, CompileWith, GuestCalls, LoadErrors, Loader},
    config::{Loaded, Problem, Problems, load},
};

use super::{
    exit::Failure,
    print::{print_json, print_text},
    settings::ConfigArgs,
};

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield check --config jackfield.toml && systemctl reload jackfield\n\n\
                        Exit code 2 and file:line:column for each problem when it is not good."
)]
pub(super) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let loaded = load(&self.config.surroundings(&[]));
        let loaded = loaded.map_err(|problems| self.refuse(&problems))?;
        if !loaded.doubts.is_empty() {
            return Err(self.refuse(&loaded.doubts));
        }
        check_plugins(&loaded)?.map_err(|errors| self.refuse(&loaded.place(&errors)))?;
        let files: Vec<String> = loaded
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let without_effect = loaded.without_effect();
        if self.json {
            let answer = json!({
                "ok": true,
                "files": files,
                "problems": [],
                "without_effect": without_effect,
                "advice": loaded.advice.iter().map(show_problem).collect::<Vec<_>>(),
            });
            return print_json(&answer);
        }
        for advice in loaded.advice.iter() {
            eprintln!("jackfield: {advice}");
        }
        for key in without_effect {
            eprintln!("jackfield: {key} is good, and has no effect in this version");
        }
        match files.as_slice() {
            [] => print_text("ok: no file, the defaults hold"),
            files => print_text(&format!("ok: {}", files.join(", "))),
        }
    }

    fn refuse(&self, problems: &Problems) -> Failure {
        if self.json {
            let list: Vec<_> = problems.iter().map(show_problem).collect();
            // The exit code is what counts when standard output is gone.
            let _ = print_json(&json!({ "ok": false, "problems": list }));
        }
        Failure::placed(problems)
    }
}

fn show_problem(problem: &Problem) -> Value {
    json!({ "at": problem.at, "what": problem.what, "todo": problem.todo })
}

/// Loads every plugin as the broker would and lets it go again. Compiles in this process: nothing is left
/// in the cache.
fn check_plugins(loaded: &Loaded) -> Result<Result<(), LoadErrors>, Failure> {
    let registry = prometheus::Registry::new();
    let chains = Arc::new(Chains::new(&registry).map_err(Failure::failed)?);
    let calls = Arc::new(GuestCalls::new(&registry).map_err(Failure::failed)?);
    let loader = Loader::new(chains, 1, CompileWith::Here, calls);
    Ok(loader.check(&loaded.config.plugins).map(drop))
}
