//! A plane with real plugins, small ones.

use std::{fs, path::PathBuf, time::Duration};

use super::*;
use crate::chain::{
    Capability, ChainConfig, CompileWith, FailurePolicy, GuestCalls, Loader, Mode, PluginConfig,
    Source,
};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the vocabulary of the plugin host's tests; not every word is used here"
)]
#[path = "../../../plugin-host/tests/it/guests.rs"]
mod guests;

pub(super) use guests::Guest;

/// The plugins of a world, and where they lie.
pub(super) struct Plugins {
    folder: tempfile::TempDir,
    registry: prometheus::Registry,
    loader: Loader,
    config: ChainConfig,
}

impl Plugins {
    pub(super) fn of(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(GuestCalls::new(&prometheus::Registry::new()).unwrap());
        Self {
            registry: world.registry.clone(),
            loader: Loader::new(world.plane.chains.clone(), 1, CompileWith::Here, host),
            config: ChainConfig {
                chaos: true,
                deadline: Duration::from_secs(1),
                cache_dir: folder.path().join("cache"),
                kept_dir: None,
                plugins: Vec::new(),
            },
            folder,
        }
    }

    /// Puts one more plugin behind the others, into effect at once.
    pub(super) fn add(&mut self, name: &str, guest: &Guest) {
        self.add_with(name, guest, |_| {});
    }

    pub(super) fn add_with(
        &mut self,
        name: &str,
        guest: &Guest,
        change: impl FnOnce(&mut PluginConfig),
    ) {
        let mut plugin = PluginConfig {
            name: name.into(),
            source: Source::File(self.write(name, guest)),
            order: i32::try_from(self.config.plugins.len()).unwrap(),
            matches: Vec::new(),
            on_failure: None,
            deadline: Duration::from_millis(5),
            memory: 1 << 20,
            allow: Capability::ALL.to_vec(),
            slow: Default::default(),
            outbound: Default::default(),
            mode: Mode::Live,
            sha256: None,
            signed_by: None,
            settings: serde_json::Value::Null,
        };
        change(&mut plugin);
        self.config.plugins.push(plugin);
        self.load();
    }

    /// The operator's switch.
    pub(super) fn allow_chaos(&mut self, allow: bool) {
        self.config.chaos = allow;
        self.load();
    }

    /// Whatever fails is gone without.
    pub(super) fn open_on_failure(&mut self) {
        for plugin in &mut self.config.plugins {
            plugin.on_failure = Some(FailurePolicy::Open);
        }
        self.load();
    }

    /// Calls of a hook by what came of them.
    pub(super) fn calls(&self, plugin: &str, hook: &str, outcome: &str) -> u64 {
        let families = self.registry.gather();
        let family = { families.iter() }.find(|it| it.name() == "jackfield_plugin_calls_total");
        let labels = [("plugin", plugin), ("hook", hook), ("outcome", outcome)];
        let fits = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                let mut there = metric.get_label().iter();
                there.any(|label| label.name() == *name && label.value() == *value)
            })
        };
        let metric = family.and_then(|family| family.get_metric().iter().find(fits));
        metric.map_or(0, |metric| metric.get_counter().get_value() as u64)
    }

    fn load(&self) {
        self.loader.load(&self.config).unwrap();
    }

    fn write(&self, name: &str, guest: &Guest) -> PathBuf {
        let path = self.folder.path().join(name).with_extension("wasm");
        fs::write(&path, guest.component()).unwrap();
        path
    }
}
