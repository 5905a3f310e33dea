//! One instance of a plugin: a store, its guest, and what it may take.
//!
//! An instance whose call failed must be dropped: the guest may be half way through a change.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use wasmtime::{
    Store,
    component::{InstancePre, Resource},
};

use crate::{
    Call, Decision, HostCalls, PluginError,
    bindings::{
        lifecycle::{WithLifecycle, WithLifecycleIndices},
        routing_filter::{
            WithRoutingFilter, WithRoutingFilterIndices, jackfield::plugin::request::Traits,
        },
    },
    call::{Interaction, Reads, lend},
    imports::{Counter, Gauge},
    limits::{CpuLimit, MemoryLimit},
    names::Names,
    verdict::checked,
};

/// What one instance may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The guest's own CPU time, per call.
    pub deadline: Duration,
    /// Linear memory, in bytes.
    pub memory: u64,
}

/// What the guest's imports work on.
pub(crate) struct State {
    pub(crate) plugin: Arc<str>,
    pub(crate) host: Arc<dyn HostCalls>,
    pub(crate) names: Names,
    pub(crate) counters: Vec<Arc<dyn Counter>>,
    pub(crate) gauges: Vec<Arc<dyn Gauge>>,
    memory: MemoryLimit,
    cpu: CpuLimit,
}

/// Bytes a guest may hand over in one call or return. A list of many views of the same bytes is a
/// cheap way to make the host allocate; this is what bounds it.
const LIFTED_BYTES_MAX: usize = 4 << 20;

/// What instances of a plugin are made from: its linked component, and where its exports are.
pub(crate) struct Exports {
    linked: InstancePre<State>,
    lifecycle: WithLifecycleIndices,
    filter: WithRoutingFilterIndices,
}

impl Exports {
    /// Checks the types of the exports.
    pub(crate) fn of(linked: InstancePre<State>) -> Result<Self, PluginError> {
        let lifecycle = WithLifecycleIndices::new(&linked).map_err(PluginError::mismatch)?;
        let filter = WithRoutingFilterIndices::new(&linked).map_err(PluginError::mismatch)?;
        Ok(Self {
            linked,
            lifecycle,
            filter,
        })
    }
}

pub(crate) struct Instance {
    store: Store<State>,
    filter: WithRoutingFilter,
}

impl Instance {
    /// Instantiates and configures, both within `deadline`.
    pub(crate) fn new(
        exports: &Exports,
        name: Arc<str>,
        host: Arc<dyn HostCalls>,
        limits: Limits,
        memory_gauge: Arc<AtomicU64>,
        settings: &str,
        deadline: Duration,
    ) -> Result<Self, PluginError> {
        let state = State {
            plugin: name,
            host,
            names: Names::default(),
            counters: Vec::new(),
            gauges: Vec::new(),
            memory: MemoryLimit::new(limits.memory, memory_gauge),
            cpu: CpuLimit::default(),
        };
        let mut store = Store::new(exports.linked.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().cpu.tick());
        store.set_hostcall_fuel(LIFTED_BYTES_MAX);
        arm(&mut store, deadline);
        let (filter, configured) = start(exports, &mut store, settings)?;
        configured.map_err(|message| PluginError::Refused(first_line(&message)))?;
        Ok(Self { store, filter })
    }

    /// One call of the hook `routing-filter`.
    pub(crate) fn on_request(
        &mut self,
        call: &Call<'_>,
        deadline: Duration,
    ) -> Result<Decision, PluginError> {
        arm(&mut self.store, deadline);
        let names = &self.store.data().names;
        let service = names.service(call.service);
        let handler = names.handler(call.service, call.method);
        let reads = Reads::default();
        let decided = lend(call, &reads, || {
            self.filter
                .jackfield_plugin_routing_filter()
                .call_on_request(
                    &mut self.store,
                    service,
                    handler,
                    traits(call),
                    Resource::new_borrow(0),
                )
        });
        let decision = decided.map_err(|error| fault(&mut self.store, &error))?;
        let verdict = checked(decision.verdict, call.interaction)
            .map_err(|why| PluginError::Answer(why.to_owned()))?;
        Ok(Decision {
            verdict,
            remember: decision.remember && !reads.any_outside(),
        })
    }

    /// CPU time of the last call, when it was long enough to be interrupted.
    pub(crate) fn spent(&self) -> Option<Duration> {
        self.store.data().cpu.spent()
    }
}

fn arm(store: &mut Store<State>, deadline: Duration) {
    store.data_mut().cpu.arm(deadline);
    store.set_epoch_deadline(1);
}

type Configured = Result<(), String>;

fn start(
    exports: &Exports,
    store: &mut Store<State>,
    settings: &str,
) -> Result<(WithRoutingFilter, Configured), PluginError> {
    let linked = exports.linked.instantiate(&mut *store);
    let instance = linked.map_err(|error| fault(store, &error))?;
    let lifecycle: WithLifecycle = exports
        .lifecycle
        .load(&mut *store, &instance)
        .map_err(PluginError::mismatch)?;
    let filter = exports
        .filter
        .load(&mut *store, &instance)
        .map_err(PluginError::mismatch)?;
    let lifecycle = lifecycle.jackfield_plugin_lifecycle();
    let configured = lifecycle.call_configure(&mut *store, settings);
    Ok((filter, configured.map_err(|error| fault(store, &error))?))
}

/// What the runtime's error means for the operator.
fn fault(store: &mut Store<State>, error: &wasmtime::Error) -> PluginError {
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
        return PluginError::Trap(format!("it handed over more than {LIFTED_BYTES_MAX} bytes"));
    }
    PluginError::Trap(first_line(&text))
}

const LINE_BYTES_MAX: usize = 500;

/// Guest text goes to logs and terminals: one line, bounded, no control characters.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line[..line.floor_char_boundary(LINE_BYTES_MAX)].replace(|c: char| c.is_control(), " ")
}

fn traits(call: &Call<'_>) -> Traits {
    let interaction = match call.interaction {
        Interaction::RequestResponse => Traits::REQUEST_RESPONSE,
        Interaction::FireAndForget => Traits::FIRE_AND_FORGET,
        Interaction::Stream => Traits::REQUEST_STREAM,
        Interaction::Channel => Traits::REQUEST_CHANNEL,
    };
    if call.sticky {
        interaction | Traits::STICKY
    } else {
        interaction
    }
}
