//! From configuration to a running chain: everything, or nothing and why.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fmt, fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jackfield_plugin_host::{
    Cache, CompileLimits, Compiler, Engine, Generation, Hook, HostCalls, Kv, Limits, Outline,
    Plugin, PluginError, Settings,
};

use super::{
    Chain, ChainConfig, Chains, Mode, PluginConfig, PluginView, Source, builtin,
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
    loading: Mutex<()>,
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

    /// Loads every plugin and swaps the chain, or changes nothing. Returns the new generation.
    pub fn load(&self, config: &ChainConfig) -> Result<u64, LoadErrors> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.chains.generation() + 1;
        let chain = self.build(config, generation, self.threads)?;
        let plugins = chain.views().len();
        self.chains.swap(chain);
        self.forget_kvs_but_of(config);
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
        Ok(self.build(config, 0, 1)?.views())
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
        generation: u64,
        threads: usize,
    ) -> Result<Chain, LoadErrors> {
        let mut plugins: Vec<&PluginConfig> = config.plugins.iter().collect();
        plugins.sort_by_key(|plugin| (plugin.order, &plugin.name));
        let (mut stages, mut off, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = HashSet::new();
        let mut compiler = None;
        for plugin in plugins {
            let stage = match plugin.mode {
                _ if !names.insert(&plugin.name) => Err(PluginError::Unavailable(
                    "has the name of another plugin".into(),
                )),
                Mode::Off => {
                    off.push(plugin.clone());
                    continue;
                }
                Mode::Live => self
                    .compiler(config, &mut compiler)
                    .and_then(|compiler| self.stage(plugin, compiler, threads)),
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
                Ok(Chain::new(
                    generation,
                    config.deadline,
                    stages,
                    off,
                    observers,
                ))
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

    fn stage(
        &self,
        config: &PluginConfig,
        compiler: &Compiler,
        threads: usize,
    ) -> Result<Stage, PluginError> {
        let bytes = read(&config.source)?;
        check_pin(config, &bytes)?;
        let plugin = Plugin::load(&self.engine, compiler, &bytes, &config.allow)?;
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

fn read(source: &Source) -> Result<Vec<u8>, PluginError> {
    match source {
        Source::File(path) => {
            let io = |source| PluginError::Io {
                what: "cannot be read".into(),
                source,
            };
            Outline::check_size(fs::metadata(path).map_err(io)?.len())?;
            fs::read(path).map_err(io)
        }
        Source::Builtin(name) => builtin::component(name).map(<[u8]>::to_vec).ok_or_else(|| {
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
        }),
    }
}

fn check_pin(config: &PluginConfig, bytes: &[u8]) -> Result<(), PluginError> {
    let Some(pinned) = config.sha256 else {
        return Ok(());
    };
    let (found, pinned) = (jackfield_plugin_host::Digest::of(bytes), pinned.into());
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
