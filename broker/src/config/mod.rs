//! File, environment and flags become each room's checked configuration.
//!
//! Two stages: `layers` and `tree` say what was written and where; `checked` turns it into what the rooms
//! need, through a `reader` that collects every problem. One table, `keys`, says which keys there are.
//!
//! Invariants
//! - an error says where (`file:line:column`), what, and what to do
//! - a key that does not exist, or belongs to a later version, is an error
//! - nothing here opens a socket, creates a file or changes the process; certificates are read, and checked
//!
//! Looks down at: scrape, relay, chain, identity, directory, telemetry (their configuration types). Looked at by:
//! server, cli.

mod address;
mod auth;
mod checked;
mod faces;
mod keys;
mod layers;
mod listeners;
mod metrics;
mod plugins;
mod problem;
mod reader;
mod show;
mod source;
mod suggest;
mod tree;
mod units;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use address::HostPort;
pub use checked::{Cluster, Config, MemoryLimit, Node};
pub use faces::{AdminFace, AdminToken, HttpFace};
pub use keys::{KEYS, Key, Reload, Support};
pub use layers::{Contents, Setting, Surroundings, contents_of};
pub use listeners::{Listener, ListenerTls, Socket};
pub use problem::{Problem, Problems};
pub use show::Shown;
pub use units::{parse_duration, parse_size, show_size};

use reader::Reader;

use crate::{
    chain::{LoadError, LoadErrors, PluginError},
    telemetry,
};

/// A checked configuration with what is known of its making.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// What they held, so that a watcher misses no change since then.
    pub contents: Contents,
    /// Every setting in effect and its origin.
    pub settings: Vec<Shown>,
    /// What is good today and will not do, such as a certificate that has expired.
    pub doubts: Problems,
    /// What is better done another way, and may be meant.
    pub advice: Problems,
}

/// Reads and checks everything, or says everything that is wrong.
pub fn load(surroundings: &Surroundings) -> Result<Loaded, Problems> {
    let written = layers::collect(surroundings)?;
    let reader = Reader::new(&written.sources, &written.root, &surroundings.current_dir);
    let config = checked::check(&reader, surroundings);
    let problems = reader.problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    let settings = show::show(&written.sources, &written.root, &config);
    let mut contents = written.contents();
    for tls in config.listeners.iter().filter_map(|it| it.tls.as_ref()) {
        contents.extend(tls.contents().clone());
    }
    let (doubts, advice) = (reader.doubts(), reader.advice());
    Ok(Loaded {
        config,
        files: written.files,
        contents,
        settings,
        doubts,
        advice,
    })
}

impl Loaded {
    /// The keys that differ in `new` and take effect only after a restart.
    pub fn need_restart(&self, new: &Self) -> Vec<String> {
        show::need_restart(&self.settings, &new.settings)
    }

    /// What a reload of `self` puts into effect: settings that need a restart stay those of `running`.
    #[must_use]
    pub fn keep_until_restart(self, running: &Self) -> Self {
        let old = running.config.clone();
        let config = Config {
            log: telemetry::LogConfig {
                level: self.config.log.level,
                format: old.log.format,
            },
            auth: self.config.auth,
            routing: self.config.routing,
            plugins: self.config.plugins,
            cluster: self.config.cluster,
            listeners: listeners::renew(old.listeners, &self.config.listeners),
            ..old
        };
        let settings = show::in_effect(&running.settings, &self.settings);
        Self {
            config,
            settings,
            ..self
        }
    }

    /// The files of certificates and keys, which are watched like the configuration itself.
    pub fn tls_files(&self) -> impl Iterator<Item = &Path> {
        let listeners = self.config.listeners.iter();
        listeners
            .filter_map(|listener| listener.tls.as_ref())
            .flat_map(ListenerTls::files)
    }

    /// Where the plugins that failed to load are written.
    pub fn place(&self, errors: &LoadErrors) -> Problems {
        let todo = "correct the plugin, or set mode = \"off\" to go on without it";
        let mut problems = Problems::default();
        for error in &errors.0 {
            let at = self.origin(error).unwrap_or("[[plugin]]");
            problems.push(Problem::at(at, error.to_string(), todo));
        }
        problems
    }

    /// Where the setting is written that does not fit, or else the plugin's `file`.
    fn origin(&self, error: &LoadError) -> Option<&str> {
        let mut plugins = self.config.plugins.plugins.iter();
        let at = plugins.position(|written| written.name == error.plugin)?;
        let origin = |key: &str| {
            let shown = self.settings.iter().find(|shown| shown.key == key)?;
            Some(&*shown.origin)
        };
        let setting = match &error.fault {
            PluginError::Setting { path, .. } => {
                let keys = (1..=path.len()).rev().map(|len| path[..len].join("."));
                { keys }.find_map(|keys| origin(&format!("plugin.{at}.settings.{keys}")))
            }
            _ => None,
        };
        setting.or_else(|| origin(&format!("plugin.{at}.file")))
    }
}
