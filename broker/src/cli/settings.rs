//! The flags that say which configuration a command works with.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Loaded, Setting, Surroundings, load};

use super::exit::Failure;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct ConfigArgs {
    /// The configuration file [default: ./jackfield.toml, then /etc/jackfield/jackfield.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Set one value, such as limits.frame=1MiB; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse)]
    pub(super) settings: Vec<Setting>,
}

impl ConfigArgs {
    pub(super) fn surroundings(&self, listeners: &[String]) -> Surroundings {
        let listen = |(index, uri): (usize, &String)| Setting::listener(index, uri);
        let listeners = listeners.iter().enumerate().map(listen);
        let settings = self.settings.iter().cloned().chain(listeners).collect();
        Surroundings::of_process(self.config.clone(), settings)
    }

    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        load(&self.surroundings(&[])).map_err(|problems| Failure::placed(&problems))
    }
}
