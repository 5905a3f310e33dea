//! The host side of these tests: a compiler, a call, and what guests logged and counted.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jackfield_plugin_host::{
    Call, Caller, Candidates, Capability, Compiler, Counter, Decision, Engine, Entries, Gauge,
    Generation, HostCalls, Interaction, Level, Limits, NoFacts, Plan, Plugin, PluginError,
    Selection, Settings,
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

impl Entries for OneTag {
    fn tag(&self, key: &str) -> Option<&str> {
        (key == self.0).then_some(self.1)
    }

    fn entry(&self, mime: &str) -> Option<&[u8]> {
        (mime == "text/plain").then_some(b"metadata")
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
        entries: &OneTag("user", "alice"),
        caller: Caller {
            app: "shop",
            instance: "shop-1",
            address: "10.0.0.7",
            principal: "shop@example",
            facts: &NoFacts,
        },
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
    load_with(guest, &Capability::ALL, 16 * PAGE)
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
    load_limited(bytes, r#"{"percent":30}"#, grants, memory)
}

/// With settings of its own, and room enough.
pub(crate) fn load_configured(
    bytes: &[u8],
    json: &str,
    grants: &[Capability],
) -> Result<Fixture, PluginError> {
    load_limited(bytes, json, grants, 64 * PAGE)
}

fn load_limited(
    bytes: &[u8],
    json: &str,
    grants: &[Capability],
    memory: u64,
) -> Result<Fixture, PluginError> {
    let engine = Engine::new();
    let plugin = Plugin::load(&engine, &Compiler::here(), bytes, grants)?;
    let recorder = Arc::new(Recorder::default());
    let settings = settings(json, memory, &recorder);
    let generation = Generation::new(Arc::new(plugin), settings, 1)?;
    Ok(Fixture {
        recorder,
        generation,
        _engine: engine,
    })
}

pub(crate) fn settings(json: &str, memory: u64, recorder: &Arc<Recorder>) -> Settings {
    Settings {
        name: "guest".into(),
        json: json.into(),
        limits: Limits {
            deadline: DEADLINE,
            memory,
        },
        host: Arc::clone(recorder) as Arc<dyn HostCalls>,
        kv: Arc::default(),
    }
}

impl Fixture {
    pub(crate) fn ask(&self) -> Result<Decision, PluginError> {
        self.ask_about(&call())
    }

    pub(crate) fn ask_about(&self, call: &Call<'_>) -> Result<Decision, PluginError> {
        self.generation
            .on_request(call, Duration::from_secs(1))
            .decision
            .map_err(|error| *error)
    }

    pub(crate) fn select(&self, candidates: &dyn Candidates) -> Result<Selection, PluginError> {
        self.generation
            .select(&call(), candidates, Duration::from_secs(1))
            .decision
            .map_err(|error| *error)
    }

    pub(crate) fn disturb(&self) -> Result<Plan, PluginError> {
        self.generation
            .disturb(&call(), Duration::from_secs(1))
            .decision
            .map_err(|error| *error)
    }
}

/// Instances in zones; the index is the number of calls in flight.
pub(crate) struct Zones(pub(crate) &'static [&'static str]);

impl Candidates for Zones {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn uuid(&self, index: usize) -> String {
        format!("uuid-{index}")
    }

    fn app(&self, _: usize) -> String {
        "orders".into()
    }

    fn ip(&self, index: usize) -> String {
        format!("10.0.0.{index}")
    }

    fn tag(&self, index: usize, key: &str) -> Option<String> {
        (key == "zone").then(|| self.0[index].to_owned())
    }

    fn has(&self, index: usize, key: &str, value: &str) -> bool {
        key == "zone" && self.0[index] == value
    }

    fn power(&self, _: usize) -> u32 {
        1
    }

    fn in_flight(&self, index: usize) -> u32 {
        index as u32
    }
}

/// What was wrong.
pub(crate) fn error(result: Result<Fixture, PluginError>) -> PluginError {
    match result {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}
