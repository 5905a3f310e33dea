//! `config show`: every setting in effect, and where it came from.

use std::fmt::Write;

use clap::{Args, Subcommand};

use super::{
    exit::Failure,
    print::{print_json, print_text},
    settings::ConfigArgs,
};

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Print every setting in effect
    Show(Show),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield config show --origin | grep limits")]
pub(super) struct Show {
    /// Say where each value came from
    #[arg(long)]
    origin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ConfigCommand {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Show(show) => show.run(),
        }
    }
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let settings = self.config.load()?.settings;
        if self.json {
            return print_json(&settings);
        }
        let text = settings.iter().fold(String::new(), |mut text, shown| {
            let line = format!("{} = {}", shown.key, shown.value);
            let _ = match self.origin {
                true => writeln!(text, "{line:<56}  # {}", shown.origin),
                false => writeln!(text, "{line}"),
            };
            text
        });
        print_text(&text)
    }
}
