//! One instance of a plugin for its hot hooks: a store, its guest, and what it may take.
//!
//! An instance whose call failed must be dropped: the guest may be half way through a change.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use wasmtime::{
    Store,
    component::{ComponentExportIndex, InstancePre, TypedFunc},
};

use crate::{
    Call, Candidates, Decision, Hook, Interaction, Outline, PACKAGE, Plan, PluginError, Selection,
    Settings, VERSION, Verdict,
    bindings::{
        chaos::{WithChaos, WithChaosIndices},
        endpoint_selector::{WithEndpointSelector, WithEndpointSelectorIndices},
        lifecycle::WithLifecycleIndices,
        shared::jackfield::plugin::request::Traits,
    },
    call::{Lent, lend},
    engine::Watch,
    fault, lifted,
    limits::CpuLimit,
    selection,
    state::{State, arm, fault as explained, first_line, store},
    verdict,
};

const LIFTED_BYTES_MAX: usize = 4 << 20;

/// What instances are made from: the linked component, and where its exports are.
pub(crate) struct HotExports {
    linked: InstancePre<State>,
    watch: Arc<Watch>,
    lifecycle: WithLifecycleIndices,
    on_request: Option<ComponentExportIndex>,
    selector: Option<WithEndpointSelectorIndices>,
    chaos: Option<WithChaosIndices>,
}

impl HotExports {
    /// Checks the types of the exports.
    pub(crate) fn of(
        linked: InstancePre<State>,
        watch: Arc<Watch>,
        outline: &Outline,
    ) -> Result<Self, PluginError> {
        let has = |hook| outline.hooks.contains(&hook).then_some(&linked);
        let checked = (|| {
            Ok(Self {
                lifecycle: WithLifecycleIndices::new(&linked)?,
                on_request: has(Hook::RoutingFilter).map(on_request).transpose()?,
                selector: has(Hook::EndpointSelector)
                    .map(WithEndpointSelectorIndices::new)
                    .transpose()?,
                chaos: has(Hook::Chaos).map(WithChaosIndices::new).transpose()?,
                linked: linked.clone(),
                watch,
            })
        })();
        checked.map_err(PluginError::mismatch)
    }
}

type OnRequest = TypedFunc<(u32, u32, Traits), (lifted::Decision,)>;

/// Where `on-request` is.
fn on_request(linked: &InstancePre<State>) -> wasmtime::Result<ComponentExportIndex> {
    let component = linked.component();
    let interface = format!("{PACKAGE}/{}@{VERSION}", Hook::RoutingFilter.name());
    let interface = component.get_export_index(None, &interface);
    interface
        .and_then(|interface| component.get_export_index(Some(&interface), "on-request"))
        .ok_or_else(|| wasmtime::format_err!("no function `on-request` in `routing-filter`"))
}

pub(crate) struct Instance {
    store: Store<State>,
    on_request: Option<OnRequest>,
    selector: Option<WithEndpointSelector>,
    chaos: Option<WithChaos>,
}

impl Instance {
    /// Instantiates and configures, both within `deadline`.
    pub(crate) fn new(
        exports: &HotExports,
        settings: &Settings,
        memory_gauge: Arc<AtomicU64>,
        deadline: Duration,
    ) -> Result<Self, PluginError> {
        let (cpu, watch) = (CpuLimit::default(), Arc::clone(&exports.watch));
        let state = State::new(settings, memory_gauge, cpu, watch, LIFTED_BYTES_MAX);
        let mut store = store(exports.linked.engine(), state);
        arm(&mut store, deadline);
        let linked = exports.linked.instantiate(&mut store);
        let instance = linked.map_err(|error| explained(&mut store, &error))?;
        let lifecycle = exports.lifecycle.load(&mut store, &instance);
        let lifecycle = lifecycle.map_err(PluginError::mismatch)?;
        let lifecycle = lifecycle.jackfield_plugin_lifecycle();
        let configured = lifecycle.call_configure(&mut store, &settings.json);
        configured
            .map_err(|error| explained(&mut store, &error))?
            .map_err(|message| PluginError::Refused(first_line(&message)))?;
        let mut loaded = || {
            let on_request = exports.on_request.as_ref();
            let selector = exports.selector.as_ref();
            let chaos = exports.chaos.as_ref();
            wasmtime::error::Ok((
                on_request
                    .map(|it| instance.get_typed_func(&mut store, it))
                    .transpose()?,
                { selector }
                    .map(|it| it.load(&mut store, &instance))
                    .transpose()?,
                chaos.map(|it| it.load(&mut store, &instance)).transpose()?,
            ))
        };
        let (on_request, selector, chaos) = loaded().map_err(PluginError::mismatch)?;
        Ok(Self {
            store,
            on_request,
            selector,
            chaos,
        })
    }

    /// One call of the hook `routing-filter`. In place, as [`crate::Generation`] asks.
    #[inline(always)]
    pub(crate) fn on_request(
        &mut self,
        call: &Call<'_>,
        deadline: Duration,
    ) -> Result<Decision, Box<PluginError>> {
        let hook = self.on_request.as_ref().ok_or_else(absent)?;
        let lent = Lent {
            call,
            candidates: None,
        };
        let (verdict, remember) = ask(&mut self.store, lent, deadline, |store, it| {
            // Looked at where it lies: most answers say no more than that.
            match hook.call(store, (it.service, it.handler, it.traits))?.0 {
                lifted::Decision {
                    verdict: lifted::Verdict::Pass,
                    remember,
                } => Ok((Ok(Verdict::Pass), remember)),
                lifted::Decision { verdict, remember } => {
                    Ok((verdict::checked(verdict, call.interaction), remember))
                }
            }
        })?;
        Ok(Decision {
            verdict: verdict.map_err(nonsense)?,
            remember: remember && !self.store.data().has_read_outside(),
        })
    }

    /// One call of the hook `endpoint-selector`.
    pub(crate) fn select(
        &mut self,
        call: &Call<'_>,
        candidates: &dyn Candidates,
        deadline: Duration,
    ) -> Result<Selection, Box<PluginError>> {
        let selector = self.selector.as_ref().ok_or_else(absent)?;
        let hook = selector.jackfield_plugin_endpoint_selector();
        let count = candidates.len();
        let lent = Lent {
            call,
            candidates: Some(candidates),
        };
        let selected = ask(&mut self.store, lent, deadline, |store, it| {
            let count = count as u32;
            hook.call_select(store, it.service, it.handler, it.traits, count)
        })?;
        selection::checked(selected, count).map_err(nonsense)
    }

    /// One call of the hook `chaos`.
    pub(crate) fn disturb(
        &mut self,
        call: &Call<'_>,
        deadline: Duration,
    ) -> Result<Plan, Box<PluginError>> {
        let chaos = self.chaos.as_ref().ok_or_else(absent)?;
        let hook = chaos.jackfield_plugin_chaos();
        let lent = Lent {
            call,
            candidates: None,
        };
        let plan = ask(&mut self.store, lent, deadline, |store, it| {
            hook.call_disturb(store, it.service, it.handler, it.traits)
        })?;
        Ok(Plan {
            faults: fault::checked(plan.faults).map_err(nonsense)?,
            remember: plan.remember && !self.store.data().has_read_outside(),
        })
    }

    /// CPU time of the last call, when it was long enough to be interrupted.
    pub(crate) fn spent(&self) -> Duration {
        self.store.data().spent()
    }
}

/// What every hot hook is given.
struct Given {
    service: u32,
    handler: u32,
    traits: Traits,
}

#[inline(always)]
fn ask<R>(
    store: &mut Store<State>,
    lent: Lent<'_>,
    deadline: Duration,
    hook: impl FnOnce(&mut Store<State>, Given) -> wasmtime::Result<R>,
) -> Result<R, Box<PluginError>> {
    arm(store, deadline);
    let call = lent.call;
    let (service, handler) = match &store.data().names {
        None => (0, 0),
        Some(names) => (
            names.service(call.service),
            names.handler(call.service, call.method),
        ),
    };
    let given = Given {
        service,
        handler,
        traits: traits(call),
    };
    lend(lent, || hook(store, given)).map_err(|error| Box::new(explained(store, &error)))
}

fn absent() -> PluginError {
    PluginError::Unavailable("does not implement the hook it was asked for".into())
}

fn nonsense(why: &str) -> Box<PluginError> {
    Box::new(PluginError::Answer(why.to_owned()))
}

fn traits(call: &Call<'_>) -> Traits {
    let mut traits = match call.interaction {
        Interaction::RequestResponse => Traits::REQUEST_RESPONSE,
        Interaction::FireAndForget => Traits::FIRE_AND_FORGET,
        Interaction::Stream => Traits::REQUEST_STREAM,
        Interaction::Channel => Traits::REQUEST_CHANNEL,
    };
    for (holds, flag) in [
        (call.sticky, Traits::STICKY),
        (!call.caller.principal.is_empty(), Traits::AUTHENTICATED),
        (!call.group.is_empty(), Traits::HAS_GROUP),
        (!call.version.is_empty(), Traits::HAS_VERSION),
        (!call.endpoint.is_empty(), Traits::HAS_ENDPOINT),
    ] {
        if holds {
            traits |= flag;
        }
    }
    traits
}
