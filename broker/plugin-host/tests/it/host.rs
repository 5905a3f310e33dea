//! The host side of these tests: a compiler, a call, and what guests logged and counted.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jackfield_plugin_host::{
    Call, Capability, Compiler, Counter, Decision, Engine, Gauge, Generation, HostCalls,
    Interaction, Level, Limits, Plugin, PluginError, Settings, Tags,
};

use crate::guests::Guest;

/// Remembers what guests told it.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) counted: Arc<AtomicU64>,
}

impl HostCalls for Recorder {
    fn log(&self, plugin: &str, level: Level, message: &str) {
        self.lines
            .lock()
            .unwrap()
            .push(format!("{plugin} {level:?} {message}"));
    }

    fn counter(&self, _plugin: &str, _name: &str) -> Option<Arc<dyn Counter>> {
        Some(Arc::new(Shared(Arc::clone(&self.counted))))
    }

    fn gauge(&self, _plugin: &str, _name: &str) -> Option<Arc<dyn Gauge>> {
        None
    }
}

struct Shared(Arc<AtomicU64>);

impl Counter for Shared {
    fn add(&self, delta: u64) {
        self.0.fetch_add(delta, Ordering::Relaxed);
    }
}

pub(crate) struct OneTag(pub(crate) &'static str, pub(crate) &'static str);

impl Tags for OneTag {
    fn value(&self, key: &str) -> Option<&str> {
        (key == self.0).then_some(self.1)
    }
}

pub(crate) fn call() -> Call<'static> {
    Call {
        interaction: Interaction::RequestResponse,
        sticky: false,
        group: "",
        service: "com.example.User",
        method: "find",
        version: "1",
        endpoint: "",
        tags: &OneTag("user", "alice"),
        app: "shop",
        principal: "shop@example",
        metadata: b"metadata",
    }
}

/// A loaded guest with what it needs to be called.
pub(crate) struct Fixture {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) generation: Generation,
    _engine: Engine,
}

pub(crate) const DEADLINE: Duration = Duration::from_millis(20);
const PAGE: u64 = 65_536;

pub(crate) fn load(guest: &Guest) -> Result<Fixture, PluginError> {
    load_with(guest, &[Capability::Log, Capability::Metrics], 16 * PAGE)
}

pub(crate) fn load_with(
    guest: &Guest,
    grants: &[Capability],
    memory: u64,
) -> Result<Fixture, PluginError> {
    load_bytes(&guest.component(), grants, memory)
}

pub(crate) fn load_bytes(
    bytes: &[u8],
    grants: &[Capability],
    memory: u64,
) -> Result<Fixture, PluginError> {
    let engine = Engine::new();
    let plugin = Plugin::load(&engine, &Compiler::here(), bytes, grants)?;
    let recorder = Arc::new(Recorder::default());
    let settings = Settings {
        name: "guest".into(),
        json: r#"{"percent":30}"#.into(),
        limits: Limits {
            deadline: DEADLINE,
            memory,
        },
        host: Arc::clone(&recorder) as Arc<dyn HostCalls>,
    };
    let generation = Generation::new(Arc::new(plugin), settings, 1)?;
    Ok(Fixture {
        recorder,
        generation,
        _engine: engine,
    })
}

impl Fixture {
    pub(crate) fn ask(&self) -> Result<Decision, PluginError> {
        self.ask_about(&call())
    }

    pub(crate) fn ask_about(&self, call: &Call<'_>) -> Result<Decision, PluginError> {
        self.generation
            .on_request(0, call, Duration::from_secs(1))
            .decision
    }
}

/// What was wrong.
pub(crate) fn error(result: Result<Fixture, PluginError>) -> PluginError {
    match result {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}
