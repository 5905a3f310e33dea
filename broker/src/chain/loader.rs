//! From configuration to a running chain: everything, or nothing and why.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_plugin_host::{
    Cache, CompileLimits, Compiler, Digest, Engine, Generation, Happening, Hook, HostCalls, Kv,
    Limits, Plugin, PluginError, Settings,
};

use super::{
    Chain, ChainConfig, Chains, Component, Mode, OperationError, Override, PluginConfig,
    PluginView, Source, builtin,
    life::{Components, Overrides},
    slow::{Outside, Pool, Threads},
    slow_hooks::Observer,
    stage::Stage,
};

/// Builds chains and swaps them in. Compiling takes from milliseconds to a minute: never call it on
/// a data-plane thread.
pub struct Loader {
    chains: Arc<Chains>,
    threads: usize,
    compile_with: CompileWith,
    host: Arc<dyn HostCalls>,
    engine: Engine,
    /// One load at a time, so that generations appear in the order of their numbers.
    /// What was loaded last.
    loading: Mutex<Option<ChainConfig>>,
    /// What plugins keep in `kv`, by name: it outlives generations, and ends when the configuration no longer has the
    /// plugin.
    kvs: Mutex<HashMap<String, Arc<Kv>>>,
    threads_of_slow: Mutex<Option<Arc<Threads>>>,
}

/// How components are compiled.
#[derive(Clone, Debug)]
pub enum CompileWith {
    /// This program with these arguments must end in `jackfield_plugin_host::compile_as_child`.
    Child {
        program: PathBuf,
        args: Vec<OsString>,
    },
    /// In this process, without limits or cache: for tests and one-shot tools.
    Here,
}

/// What is wrong with one plugin. `Display` is a whole sentence for the operator.
#[derive(Debug)]
pub struct LoadError {
    pub plugin: String,
    pub source: Source,
    pub fault: PluginError,
}

/// What is wrong, plugin by plugin; never empty.
#[derive(Debug)]
pub struct LoadErrors(pub Vec<LoadError>);

impl Loader {
    /// `threads`: how many data-plane threads ask, each with an instance of its own.
    pub fn new(
        chains: Arc<Chains>,
        threads: usize,
        compile_with: CompileWith,
        host: Arc<dyn HostCalls>,
    ) -> Self {
        let (engine, loading) = (Engine::new(), Mutex::default());
        Self {
            chains,
            threads,
            compile_with,
            host,
            engine,
            loading,
            kvs: Mutex::default(),
            threads_of_slow: Mutex::default(),
        }
    }

    /// Loads every plugin and swaps the chain, or changes nothing. What operators changed holds over what the
    /// configuration says. Returns the new generation.
    pub fn load(&self, config: &ChainConfig) -> Result<u64, LoadErrors> {
        let mut loaded = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let (overrides, given_up) = self.under_pins(config)?;
        let before = (loaded.clone(), self.chains.views());
        let generation = self.replace(&mut loaded, config, overrides)?;
        for (plugin, digest) in given_up {
            tracing::warn!(
                plugin,
                digest,
                "the configuration pins another version than operators loaded; theirs is given up"
            );
        }
        self.tell_changes(before, config);
        Ok(generation)
    }

    /// What a load brought in, changed or took out. What operators do is told where they do it.
    fn tell_changes(&self, before: (Option<ChainConfig>, Vec<PluginView>), config: &ChainConfig) {
        let (old, old_views) = before;
        let old = old.map_or_else(Vec::new, |config| config.plugins);
        let of = |plugins: &[PluginConfig], name: &str| {
            { plugins.iter() }
                .find(|plugin| plugin.name == name)
                .cloned()
        };
        let views = self.chains.views();
        for view in &views {
            let known = { old_views.iter() }.find(|known| known.name == view.name);
            let same = known.is_some_and(|known| known.digest == view.digest)
                && of(&old, &view.name) == of(&config.plugins, &view.name);
            if !same {
                self.tell_change(view, "loaded");
            }
        }
        let gone = |old: &&PluginView| !views.iter().any(|view| view.name == old.name);
        for view in old_views.iter().filter(gone) {
            let view = PluginView {
                digest: None,
                generation: self.chains.generation(),
                ..view.clone()
            };
            self.tell_change(&view, "removed");
        }
    }

    fn tell_change(&self, view: &PluginView, change: &'static str) {
        self.chains.tell(Happening::PluginChanged {
            plugin: view.name.clone(),
            digest: view.digest.clone().unwrap_or_default(),
            generation: view.generation,
            change,
        });
    }

    /// Tries a change of what operators changed: it is kept, and the chain that follows from it swapped in, or nothing
    /// changes.
    pub(super) fn override_with(
        &self,
        plugin: &str,
        change: impl FnOnce(&mut Overrides) -> Result<(), OperationError>,
    ) -> Result<u64, OperationError> {
        let mut loaded = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let no_such = || OperationError::NoSuchPlugin(plugin.to_owned());
        let config = loaded.clone().ok_or_else(no_such)?;
        if !config.plugins.iter().any(|known| known.name == plugin) {
            return Err(no_such());
        }
        let mut overrides = self.overrides(&config)?;
        change(&mut overrides)?;
        Ok(self.replace(&mut loaded, &config, overrides)?)
    }

    fn replace(
        &self,
        loaded: &mut Option<ChainConfig>,
        config: &ChainConfig,
        mut overrides: Overrides,
    ) -> Result<u64, LoadErrors> {
        let generation = self.chains.generation() + 1;
        let chain = self.build(config, &overrides, generation, self.threads)?;
        if let Some(dir) = &config.kept_dir {
            for view in chain.views() {
                if let Some(digest) = &view.digest {
                    overrides.note_live(&view.name, digest);
                }
            }
            let kept = overrides.write(&overrides_path(dir));
            kept.map_err(|error| whole(PluginError::Unavailable(error.to_string())))?;
            Components::new(dir).keep_only(overrides.needed());
        }
        let plugins = chain.views().len();
        self.chains.swap(chain);
        self.forget_kvs_but_of(config);
        *loaded = Some(config.clone());
        tracing::info!(
            code = "RST-910200",
            generation,
            plugins,
            "the plugin chain was swapped"
        );
        Ok(generation)
    }

    /// Loads every plugin as `load` does, and lets it go again.
    pub fn check(&self, config: &ChainConfig) -> Result<Vec<PluginView>, LoadErrors> {
        let (overrides, _) = self.under_pins(config)?;
        Ok(self.build(config, &overrides, 0, 1)?.views())
    }

    /// What operators changed, without the versions that the configuration does not allow; and these, by plugin.
    fn under_pins(
        &self,
        config: &ChainConfig,
    ) -> Result<(Overrides, Vec<(String, String)>), LoadErrors> {
        let mut overrides = self.overrides(config)?;
        let mut given_up = Vec::new();
        for plugin in &config.plugins {
            if let Some(pinned) = plugin.sha256 {
                let pinned = Digest::from(pinned).to_string();
                let digests = overrides.pin(&plugin.name, &pinned).into_iter();
                given_up.extend(digests.map(|digest| (plugin.name.clone(), digest)));
            }
        }
        Ok((overrides, given_up))
    }

    fn overrides(&self, config: &ChainConfig) -> Result<Overrides, LoadErrors> {
        match &config.kept_dir {
            None => Ok(Overrides::default()),
            Some(dir) => Overrides::read(&overrides_path(dir))
                .map_err(|error| whole(PluginError::Unavailable(error.to_string()))),
        }
    }

    /// Where components are kept that were live once.
    pub(super) fn components(&self) -> Result<Components, PluginError> {
        let loaded = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = loaded.as_ref().and_then(|config| config.kept_dir.clone());
        let absent =
            || PluginError::Unavailable("cannot be kept: there is no data directory".into());
        Ok(Components::new(&dir.ok_or_else(absent)?))
    }

    /// Started with the first plugin that needs them, and kept.
    fn slow_threads(&self) -> Result<Arc<Threads>, PluginError> {
        let mut threads = self
            .threads_of_slow
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if threads.is_none() {
            let started = Threads::start().map_err(|source| PluginError::Io {
                what: "needs threads of its own".into(),
                source,
            })?;
            *threads = Some(Arc::new(started));
        }
        Ok(Arc::clone(
            threads.as_ref().expect("they were just started"),
        ))
    }

    fn kv(&self, plugin: &str) -> Arc<Kv> {
        let mut kvs = self.kvs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kvs.entry(plugin.to_owned()).or_default())
    }

    fn forget_kvs_but_of(&self, config: &ChainConfig) {
        let mut kvs = self.kvs.lock().unwrap_or_else(PoisonError::into_inner);
        kvs.retain(|name, _| config.plugins.iter().any(|plugin| plugin.name == *name));
    }

    pub(super) fn chains(&self) -> &Chains {
        &self.chains
    }

    fn build(
        &self,
        config: &ChainConfig,
        overrides: &Overrides,
        generation: u64,
        threads: usize,
    ) -> Result<Chain, LoadErrors> {
        let mut plugins: Vec<&PluginConfig> = config.plugins.iter().collect();
        plugins.sort_by_key(|plugin| (plugin.order, &plugin.name));
        let (mut stages, mut off, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = HashSet::new();
        let mut compiler = None;
        for plugin in plugins {
            let held = overrides.of(&plugin.name);
            let mode = match held {
                Some(Override { off: true, .. }) => Mode::Off,
                _ => plugin.mode,
            };
            let stage = match mode {
                _ if !names.insert(&plugin.name) => Err(PluginError::Unavailable(
                    "has the name of another plugin".into(),
                )),
                Mode::Off => {
                    off.push(PluginView {
                        generation,
                        overridden: held.cloned(),
                        versions: overrides.history(&plugin.name).to_vec(),
                        ..PluginView::of_config(plugin)
                    });
                    continue;
                }
                Mode::Live | Mode::Shadow => {
                    self.compiler(config, &mut compiler).and_then(|compiler| {
                        let kept = config.kept_dir.as_deref().map(Components::new);
                        let history = overrides.history(&plugin.name).to_vec();
                        let stage =
                            self.versions(plugin, held, kept.as_ref(), compiler, threads)?;
                        Ok(stage.overridden(held.cloned(), history))
                    })
                }
            };
            match stage {
                Ok(stage) => stages.push(Arc::new(stage)),
                Err(fault) => errors.push(LoadError {
                    plugin: plugin.name.clone(),
                    source: plugin.source.clone(),
                    fault,
                }),
            }
        }
        match errors.is_empty() {
            true => {
                let observers = self.observers(&stages)?;
                let chain = Chain::new(generation, config.deadline, stages, off, observers);
                Ok(match config.chaos {
                    true => chain,
                    false => chain.without_chaos(),
                })
            }
            false => Err(LoadErrors(errors)),
        }
    }

    fn observers(&self, stages: &[Arc<Stage>]) -> Result<Vec<Observer>, LoadErrors> {
        let observing = { stages.iter() }.filter(|stage| stage.plugin().implements(Hook::Events));
        let observer = |stage: &Arc<Stage>| {
            let threads = self.slow_threads().map_err(|fault| {
                LoadErrors(vec![LoadError {
                    plugin: stage.name().to_string(),
                    source: stage.source().clone(),
                    fault,
                }])
            })?;
            Ok(Observer::start(&threads, stage, &self.chains.metrics))
        };
        observing.map(observer).collect()
    }

    /// Opened with the first plugin: a broker without plugins needs no cache.
    fn compiler<'c>(
        &self,
        config: &ChainConfig,
        compiler: &'c mut Option<Compiler>,
    ) -> Result<&'c Compiler, PluginError> {
        if compiler.is_none() {
            *compiler = Some(match &self.compile_with {
                CompileWith::Here => Compiler::here(),
                CompileWith::Child { program, args } => {
                    let cache = Cache::open(&config.cache_dir)?;
                    Compiler::child(program, args.clone(), CompileLimits::default(), cache)
                }
            });
        }
        Ok(compiler.as_ref().expect("it was just put there"))
    }

    /// The live version, and the one on trial beside it.
    fn versions(
        &self,
        config: &PluginConfig,
        held: Option<&Override>,
        kept: Option<&Components>,
        compiler: &Compiler,
        threads: usize,
    ) -> Result<Stage, PluginError> {
        let of_digest = |digest: &str| {
            let absent = || PluginError::Unavailable("has no version that is kept".into());
            kept.ok_or_else(absent)?.read(digest)
        };
        let component = match held.and_then(|held| held.digest.as_deref()) {
            Some(digest) => of_digest(digest)?,
            None => read(&config.source)?,
        };
        let stage = self.stage(config, &component, compiler, threads)?;
        if let Some(kept) = kept {
            kept.keep(&component)?;
        }
        let Some(trial) = held.and_then(|held| held.trial.as_ref()) else {
            return Ok(stage);
        };
        let component = of_digest(&trial.digest)?;
        let beside = self.stage(config, &component, compiler, threads)?;
        Ok(stage.with_trial(beside, trial.share, &self.chains.metrics))
    }

    fn stage(
        &self,
        config: &PluginConfig,
        component: &Component,
        compiler: &Compiler,
        threads: usize,
    ) -> Result<Stage, PluginError> {
        check_pin(config, &component.bytes)?;
        component.check(config.signed_by.as_deref())?;
        let plugin = Plugin::load(&self.engine, compiler, &component.bytes, &config.allow)?;
        let name: Arc<str> = config.name.as_str().into();
        let settings = Settings {
            name: Arc::clone(&name),
            json: match &config.settings {
                serde_json::Value::Null => "{}".into(),
                settings => settings.to_string().into(),
            },
            limits: Limits {
                deadline: config.deadline,
                memory: config.memory,
            },
            host: Arc::new(Outside::new(
                Arc::clone(&self.host),
                config.outbound.clone(),
            )),
            kv: self.kv(&config.name),
        };
        let plugin = Arc::new(plugin);
        let has = |hot| {
            plugin
                .outline()
                .hooks
                .iter()
                .any(|hook| hook.is_hot() == hot)
        };
        let hot = has(true)
            .then(|| Generation::new(Arc::clone(&plugin), settings.clone(), threads))
            .transpose()?;
        let slow = match has(false) {
            false => None,
            true => {
                let threads = self.slow_threads()?;
                Some(Pool::start(
                    &threads,
                    Arc::clone(&plugin),
                    settings,
                    config.slow,
                )?)
            }
        };
        let metrics = &self.chains.metrics;
        Ok(Stage::new(config.clone(), name, plugin, hot, slow, metrics))
    }
}

fn overrides_path(dir: &Path) -> PathBuf {
    dir.join("overrides.json")
}

/// What is wrong with no plugin in particular.
fn whole(fault: PluginError) -> LoadErrors {
    LoadErrors(vec![LoadError {
        plugin: "*".into(),
        source: Source::Builtin("*".into()),
        fault,
    }])
}

fn read(source: &Source) -> Result<Component, PluginError> {
    match source {
        Source::File(path) => Component::read(path),
        Source::Builtin(name) => {
            builtin::component(name)
                .map(|bytes| bytes.to_vec().into())
                .ok_or_else(|| {
                    let why = match builtin::is_left_out(name) {
                true => "was not embedded when this program was built, for want of a Wasm target; \
                         run scripts/setup-wasm.sh and build again"
                    .to_owned(),
                false => format!(
                    "is not embedded in this program; it has: {}",
                    builtin::names().collect::<Vec<_>>().join(", ")
                ),
            };
                    PluginError::Unavailable(why)
                })
        }
    }
}

fn check_pin(config: &PluginConfig, bytes: &[u8]) -> Result<(), PluginError> {
    let Some(pinned) = config.sha256 else {
        return Ok(());
    };
    let (found, pinned) = (Digest::of(bytes), pinned.into());
    if found == pinned {
        Ok(())
    } else {
        Err(PluginError::Digest { found, pinned })
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plugin,
            source,
            fault,
        } = self;
        write!(f, "plugin \"{plugin}\" ({source}) {fault}")
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for LoadErrors {}
