//! What an operator can do to a plugin. Waits for compilation: never call it on a data-plane thread.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use jackfield_plugin_host::{Happening, PluginError};

use super::{
    super::{Component, LoadErrors, Loader, PluginState},
    Overrides, OverridesError, Trial,
};

/// A version to bring in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewVersion {
    Component(Component),
    /// One that is kept.
    Digest(String),
}

impl NewVersion {
    /// The component in a file.
    pub fn read(file: &Path) -> Result<Self, PluginError> {
        Component::read(file).map(Self::Component)
    }
}

/// Why an operation changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("there is no plugin `{0}` in the configuration")]
    NoSuchPlugin(String),
    #[error(
        "nothing runs beside the live version of `{0}`: load one with a share or in the shadow first"
    )]
    NoTrial(String),
    #[error("`{0}` has no earlier version that is kept")]
    NoEarlier(String),
    #[error("the plugin {0}")]
    Plugin(#[from] PluginError),
    #[error("{0}")]
    Load(#[from] LoadErrors),
    #[error("{0}")]
    Keep(#[from] OverridesError),
}

/// The operations, for the admin API. Each gives the generation that came of it.
#[derive(Clone)]
pub struct Operations(Arc<Loader>);

type Done = Result<u64, OperationError>;

impl Operations {
    pub const fn new(loader: Arc<Loader>) -> Self {
        Self(loader)
    }

    /// Brings another version in: at once, for a share of the connections (of 10000), or in the shadow.
    pub fn load(
        &self,
        plugin: &str,
        version: NewVersion,
        beside: Option<Beside>,
        who: &str,
    ) -> Done {
        let digest = match version {
            NewVersion::Component(component) => self.0.components()?.keep(&component)?,
            NewVersion::Digest(digest) => digest,
        };
        let at_ms = now_ms();
        self.change(plugin, who, "loaded", |overrides| {
            overrides.change(plugin, |held| {
                match beside {
                    None => {
                        held.digest = Some(digest.clone());
                        held.trial = None;
                        held.promoted_over = None;
                    }
                    Some(beside) => {
                        let share = match beside {
                            Beside::Share(share) => Some(share.min(10_000)),
                            Beside::Shadow => None,
                        };
                        let digest = digest.clone();
                        held.trial = Some(Trial { digest, share });
                    }
                }
                (held.who, held.at_ms) = (who.to_owned(), at_ms);
            });
            Ok(())
        })
    }

    /// Makes the version on trial the live one. When it then fails too often, the broker goes back by itself.
    pub fn promote(&self, plugin: &str, who: &str) -> Done {
        let live = self.live_digest(plugin);
        let at_ms = now_ms();
        self.change(plugin, who, "promoted", |overrides| {
            let trial = overrides.of(plugin).and_then(|held| held.trial.clone());
            let trial = trial.ok_or_else(|| OperationError::NoTrial(plugin.to_owned()))?;
            overrides.change(plugin, |held| {
                held.digest = Some(trial.digest);
                held.trial = None;
                held.promoted_over = live;
                (held.who, held.at_ms) = (who.to_owned(), at_ms);
            });
            Ok(())
        })
    }

    /// Goes back to a version that is kept: this one, or the one before the live one. A trial ends.
    pub fn rollback(&self, plugin: &str, to: Option<&str>, who: &str) -> Done {
        let live = self.live_digest(plugin);
        let at_ms = now_ms();
        self.change(plugin, who, "rolled-back", |overrides| {
            let earlier = || {
                let over = overrides
                    .of(plugin)
                    .and_then(|held| held.promoted_over.clone());
                let mut history = overrides.history(plugin).iter().rev();
                over.or_else(|| history.find(|known| Some(*known) != live.as_ref()).cloned())
            };
            let to = to.map(str::to_owned).or_else(earlier);
            let to = to.ok_or_else(|| OperationError::NoEarlier(plugin.to_owned()))?;
            overrides.change(plugin, |held| {
                held.digest = Some(to);
                held.trial = None;
                held.promoted_over = None;
                (held.who, held.at_ms) = (who.to_owned(), at_ms);
            });
            Ok(())
        })
    }

    /// Switches it off, whatever the configuration says.
    pub fn disable(&self, plugin: &str, who: &str) -> Done {
        self.switch(plugin, true, who, "disabled")
    }

    /// Undoes `disable`.
    pub fn enable(&self, plugin: &str, who: &str) -> Done {
        self.switch(plugin, false, who, "enabled")
    }

    /// Forgets what operators changed: the configuration holds again.
    pub fn reset(&self, plugin: &str, who: &str) -> Done {
        self.change(plugin, who, "reset", |overrides| {
            overrides.reset(plugin);
            Ok(())
        })
    }

    /// Goes back from every promoted version whose circuit has opened. To be called now and then.
    pub fn heal(&self) {
        for view in self.0.chains().views() {
            let promoted =
                { view.overridden.as_ref() }.is_some_and(|it| it.promoted_over.is_some());
            if promoted && view.state == PluginState::Open {
                match self.rollback(&view.name, None, "the broker") {
                    Ok(generation) => tracing::error!(
                        plugin = view.name,
                        generation,
                        "a promoted version failed too often; the one before it runs again"
                    ),
                    Err(error) => {
                        tracing::error!(plugin = view.name, %error, "a promoted version fails, and the one before it cannot be brought back");
                    }
                }
            }
        }
    }

    fn switch(&self, plugin: &str, off: bool, who: &str, change: &'static str) -> Done {
        let at_ms = now_ms();
        self.change(plugin, who, change, |overrides| {
            overrides.change(plugin, |held| {
                held.off = off;
                (held.who, held.at_ms) = (who.to_owned(), at_ms);
            });
            Ok(())
        })
    }

    fn change(
        &self,
        plugin: &str,
        who: &str,
        change: &'static str,
        of: impl FnOnce(&mut Overrides) -> Result<(), OperationError>,
    ) -> Done {
        let generation = self.0.override_with(plugin, of)?;
        tracing::info!(plugin, who, generation, "a plugin was {change}");
        let digest = self.live_digest(plugin).unwrap_or_default();
        self.0.chains().tell(Happening::PluginChanged {
            plugin: plugin.to_owned(),
            digest,
            generation,
            change,
        });
        Ok(generation)
    }

    fn live_digest(&self, plugin: &str) -> Option<String> {
        let views = self.0.chains().views();
        views.into_iter().find(|view| view.name == plugin)?.digest
    }
}

/// How a new version runs beside the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// For so many of 10000 connections.
    Share(u32),
    Shadow,
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
