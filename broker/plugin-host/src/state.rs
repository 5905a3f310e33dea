//! What the imports of one instance work on, and the store around it: armed before each call, explained after a failure.

use std::{
    mem::offset_of,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use wasmtime::{Store, UpdateDeadline};

use crate::{
    Counter, Gauge, HostCalls, Kv, PluginError,
    dice::Dice,
    engine::Watch,
    limits::{CpuLimit, Limits, MemoryLimit},
    names::Names,
};

/// How a plugin is to run.
#[derive(Clone)]
pub struct Settings {
    /// The plugin's name: for its log lines, its metrics and its errors.
    pub name: Arc<str>,
    /// `[plugin.settings]` as JSON text.
    pub json: Arc<str>,
    pub limits: Limits,
    pub host: Arc<dyn HostCalls>,
    /// Shared by all instances of all generations.
    pub kv: Arc<Kv>,
}

/// What the guest's imports work on.
///
/// Laid out in this order (`repr(C)`): what every call touches comes first, in one line of the cache.
#[repr(C, align(64))]
pub(crate) struct State {
    cpu: CpuLimit,
    /// None until the guest interns one.
    pub(crate) names: Option<Box<Names>>,
    outside: bool,
    watch: Arc<Watch>,
    pub(crate) plugin: Arc<str>,
    pub(crate) host: Arc<dyn HostCalls>,
    pub(crate) kv: Arc<Kv>,
    pub(crate) counters: Vec<Arc<dyn Counter>>,
    pub(crate) gauges: Vec<Arc<dyn Gauge>>,
    pub(crate) dice: Dice,
    memory: MemoryLimit,
    lifted_max: usize,
}

// All that a call touches is before it.
const _: () = assert!(offset_of!(State, watch) <= 64);

impl State {
    /// `lifted_max`: bytes that the guest may hand over in one call or return. A list of many views of the same bytes is
    /// a cheap way to make the host allocate; this is what bounds it.
    pub(crate) fn new(
        settings: &Settings,
        memory_gauge: Arc<AtomicU64>,
        cpu: CpuLimit,
        watch: Arc<Watch>,
        lifted_max: usize,
    ) -> Self {
        Self {
            cpu,
            names: None,
            outside: false,
            watch,
            plugin: Arc::clone(&settings.name),
            host: Arc::clone(&settings.host),
            kv: Arc::clone(&settings.kv),
            counters: Vec::new(),
            gauges: Vec::new(),
            dice: Dice::default(),
            memory: MemoryLimit::new(settings.limits.memory, memory_gauge),
            lifted_max,
        }
    }

    /// The guest looks at something that is neither its route nor its connection.
    pub(crate) const fn read_outside(&mut self) {
        self.outside = true;
    }

    /// Whether it did, in this call.
    pub(crate) const fn has_read_outside(&self) -> bool {
        self.outside
    }

    /// At each tick while the guest runs: tells the ticker that somebody does, and counts.
    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.watch.found();
        self.cpu.tick()
    }

    /// CPU time of the last call, when it was long enough to be interrupted.
    pub(crate) fn spent(&self) -> Duration {
        self.cpu.spent()
    }
}

pub(crate) fn store(runtime: &wasmtime::Engine, state: State) -> Store<State> {
    let lifted_max = state.lifted_max;
    let mut store = Store::new(runtime, state);
    store.limiter(|state| &mut state.memory);
    store.epoch_deadline_callback(|mut store| store.data_mut().tick());
    store.set_hostcall_fuel(lifted_max);
    store
}

/// Before each call into the guest.
pub(crate) fn arm(store: &mut Store<State>, deadline: Duration) {
    let state = store.data_mut();
    state.cpu.arm(deadline);
    state.outside = false;
    store.set_epoch_deadline(1);
}

/// What the runtime's error means for the operator.
pub(crate) fn fault(store: &mut Store<State>, error: &wasmtime::Error) -> PluginError {
    let state = store.data_mut();
    if let Some(limit) = state.cpu.killed() {
        return PluginError::Deadline { limit };
    }
    if let Some((needed, limit)) = state.memory.take_refused() {
        return PluginError::Memory { needed, limit };
    }
    let text = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    if text.contains("fuel allocated for hostcalls") {
        let max = state.lifted_max;
        return PluginError::Trap(format!("it handed over more than {max} bytes"));
    }
    PluginError::Trap(first_line(&text))
}

const LINE_BYTES_MAX: usize = 500;

/// Guest text goes to logs and terminals: one line, bounded, no control characters.
pub(crate) fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line[..line.floor_char_boundary(LINE_BYTES_MAX)].replace(|c: char| c.is_control(), " ")
}
