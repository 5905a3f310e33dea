//! Named brokers: where each is administered, and with what token. Kept in a file of the user's own.
//!
//! ```toml
//! use = "edge"
//! [context.edge]
//! admin = "edge-1.example:9997"
//! token-file = "/home/ada/edge.token"
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    admin::{Token, write_private},
    config::HostPort,
};

use super::exit::Failure;

/// Which file they are in.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ContextFile {
    /// The file with named contexts [default: jackfield/contexts.toml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE", env = "JACKFIELD_CONTEXTS")]
    contexts: Option<PathBuf>,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Context {
    /// HOST:PORT.
    pub(super) admin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

/// All of them, and the one in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(super) in_use: Option<String>,
    #[serde(default, rename = "context")]
    pub(super) all: BTreeMap<String, Context>,
}

impl ContextFile {
    #[cfg(test)]
    pub(super) fn at(path: &Path) -> Self {
        Self {
            contexts: Some(path.to_owned()),
        }
    }

    /// None when nobody says where it would be.
    fn path(&self) -> Option<PathBuf> {
        let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty());
        self.contexts.clone().or_else(|| {
            let config = folder("XDG_CONFIG_HOME").map(PathBuf::from);
            let config = config.or_else(|| Some(Path::new(&folder("HOME")?).join(".config")));
            Some(config?.join("jackfield/contexts.toml"))
        })
    }

    /// A file that is not there has none in it.
    pub(super) fn read(&self) -> Result<Contexts, Failure> {
        let Some(path) = self.path() else {
            return Ok(Contexts::default());
        };
        let unusable = |error: &dyn std::fmt::Display| {
            let path = path.display();
            Failure::usage(format!(
                "{path} cannot be used: {error}; correct or delete it"
            ))
        };
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| unusable(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contexts::default()),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// It may hold tokens: nobody else can read it, and it is never half written.
    pub(super) fn write(&self, contexts: &Contexts) -> Result<(), Failure> {
        let Some(path) = self.path() else {
            let todo = "name the file with --contexts, or set HOME";
            return Err(Failure::usage(format!(
                "nobody says where contexts are kept; {todo}"
            )));
        };
        let text = toml::to_string(contexts).map_err(Failure::failed)?;
        write_private(&path, &text).map_err(|error| {
            let path = path.display();
            Failure::failed(format!("{path} cannot be written: {error}"))
        })
    }
}

impl Contexts {
    pub(super) fn find(&self, name: &str) -> Result<&Context, Failure> {
        self.all.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.all.keys().map(String::as_str).collect();
            let todo = match known.as_slice() {
                [] => "add it with `jackfield context add`".to_owned(),
                known => format!("there are {}", known.join(", ")),
            };
            Failure::usage(format!("there is no context `{name}`; {todo}"))
        })
    }

    /// The one in use; one that was removed by hand is none.
    pub(super) fn current(&self) -> Option<&Context> {
        self.all.get(self.in_use.as_deref()?)
    }
}

impl Context {
    pub(super) fn address(&self) -> Result<HostPort, Failure> {
        HostPort::parse_full(&self.admin).map_err(|todo| {
            Failure::usage(format!("the context's admin is {}; {todo}", self.admin))
        })
    }

    /// None when it has none.
    pub(super) fn token(&self) -> Result<Option<Token>, Failure> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(Token::from_text(token))),
            (None, Some(file)) => Token::load(file).map(Some).map_err(Failure::usage),
            (None, None) => Ok(None),
        }
    }
}
