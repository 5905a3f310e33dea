//! `context`: give brokers names, so that commands find them and their tokens.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::HostPort;

use super::{
    contexts::{Context, ContextFile},
    exit::Failure,
    print::{print_json, print_text, table},
};

#[derive(Subcommand, Debug)]
pub(super) enum ContextCommand {
    /// Give a broker a name; the first one is used at once
    #[command(
        after_help = "Examples:\n  jackfield context add edge --admin edge-1.example:9997 --token-file ~/edge.token\n  \
                      jackfield apps --context edge"
    )]
    Add(Add),
    /// Use this one when a command names none, and no configuration file is found
    #[command(after_help = "Example:\n  jackfield context use edge")]
    Use(Named),
    /// List them
    #[command(after_help = "Example:\n  jackfield context list --json")]
    List(List),
    /// Forget one
    #[command(after_help = "Example:\n  jackfield context remove edge")]
    Remove(Named),
}

#[derive(Args, Debug)]
pub(super) struct Add {
    name: String,
    /// Its admin API
    #[arg(long, value_name = "HOST:PORT", value_parser = HostPort::parse_full)]
    admin: HostPort,
    /// A file with its token; read whenever it is needed
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Its token, kept in the contexts' file
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    file: ContextFile,
}

#[derive(Args, Debug)]
pub(super) struct Named {
    name: String,
    #[command(flatten)]
    file: ContextFile,
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ContextFile,
}

impl ContextCommand {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::Use(named) => named.use_it(),
            Self::List(list) => list.run(),
            Self::Remove(named) => named.remove(),
        }
    }
}

impl Add {
    fn run(&self) -> Result<(), Failure> {
        let token_file = self.token_file.as_deref().map(std::path::absolute);
        let context = Context {
            admin: self.admin.to_string(),
            token_file: token_file.transpose().map_err(Failure::usage)?,
            token: self.token.clone(),
        };
        let mut contexts = self.file.read()?;
        contexts.all.insert(self.name.clone(), context);
        contexts.in_use.get_or_insert_with(|| self.name.clone());
        self.file.write(&contexts)
    }
}

impl Named {
    fn use_it(&self) -> Result<(), Failure> {
        let mut contexts = self.file.read()?;
        contexts.find(&self.name)?;
        contexts.in_use = Some(self.name.clone());
        self.file.write(&contexts)
    }

    fn remove(&self) -> Result<(), Failure> {
        let mut contexts = self.file.read()?;
        contexts.find(&self.name)?;
        contexts.all.remove(&self.name);
        contexts.in_use = contexts.in_use.filter(|name| *name != self.name);
        self.file.write(&contexts)
    }
}

impl List {
    /// A token is not shown.
    fn run(&self) -> Result<(), Failure> {
        let contexts = self.file.read()?;
        let in_use = |name: &str| contexts.in_use.as_deref() == Some(name);
        let token = |context: &Context| match (&context.token, &context.token_file) {
            (Some(_), _) => "kept here".to_owned(),
            (None, Some(file)) => file.display().to_string(),
            (None, None) => "-".to_owned(),
        };
        if self.json {
            let shown = contexts.all.iter().map(|(name, context)| {
                json!({
                    "name": name, "admin": context.admin, "token": token(context), "in_use": in_use(name),
                })
            });
            return print_json(&shown.collect::<Vec<_>>());
        }
        let row = |(name, context): (&String, &Context)| {
            let mark = if in_use(name) { "*" } else { "" };
            vec![
                mark.to_owned(),
                name.clone(),
                context.admin.clone(),
                token(context),
            ]
        };
        let rows: Vec<_> = contexts.all.iter().map(row).collect();
        print_text(&table(&["", "NAME", "ADMIN", "TOKEN"], &rows))
    }
}
