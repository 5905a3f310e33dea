//! A plugin that can run: compiled, its imports linked, its exports checked against their types.

use wasmtime::{
    Engine as Runtime,
    component::{Component, HasSelf, InstancePre, Linker},
};

use crate::{
    Capability, Compiler, Engine, Hook, Outline, PluginError,
    bindings::{
        call, call_denied, clock, directory, http, http_denied, kv, log, metrics, names, random,
        shared,
    },
    instance::HotExports,
    slow::SlowExports,
    state::State,
};

/// Immutable, and shared by all instances of all its generations.
pub struct Plugin {
    pub(crate) hot: Option<HotExports>,
    pub(crate) slow: Option<SlowExports>,
    outline: Outline,
}

impl Plugin {
    /// Checks names and grants, then compiles (or takes from the cache), then checks types. Takes
    /// from microseconds to a minute; never call it on a data-plane thread.
    pub fn load(
        engine: &Engine,
        compiler: &Compiler,
        bytes: &[u8],
        grants: &[Capability],
    ) -> Result<Self, PluginError> {
        let outline = Outline::read(bytes)?;
        outline.check()?;
        outline.check_grants(grants)?;
        let component = compiler.compile(engine, &outline.digest, bytes)?;
        let linked = |heat| link(engine.runtime(), &component, &outline.capabilities, heat);
        let has = |hot| outline.hooks.iter().any(|hook| hook.is_hot() == hot);
        let hot = has(true)
            .then(|| HotExports::of(linked(Heat::Hot)?, engine.watch(), &outline))
            .transpose()?;
        let slow = has(false)
            .then(|| SlowExports::of(linked(Heat::Slow)?, engine.watch(), &outline))
            .transpose()?;
        Ok(Self { hot, slow, outline })
    }

    pub const fn outline(&self) -> &Outline {
        &self.outline
    }

    pub fn implements(&self, hook: Hook) -> bool {
        self.outline.hooks.contains(&hook)
    }
}

/// Which of the two kinds of stores is linked for.
#[derive(Clone, Copy)]
enum Heat {
    /// Called synchronously: nothing it imports may wait.
    Hot,
    Slow,
}

/// Links what is free and what is granted; everything else does not exist for this guest.
fn link(
    runtime: &Runtime,
    component: &Component,
    grants: &[Capability],
    heat: Heat,
) -> Result<InstancePre<State>, PluginError> {
    let mut linker = Linker::<State>::new(runtime);
    let linked = (|| {
        names::WithNames::add_to_linker::<_, Own>(&mut linker, own)?;
        shared::Shared::add_to_linker::<_, Own>(&mut linker, own)?;
        for &grant in grants {
            grant_to(&mut linker, grant, heat)?;
        }
        linker.instantiate_pre(component)
    })();
    linked.map_err(PluginError::mismatch)
}

type Own = HasSelf<State>;

const fn own(state: &mut State) -> &mut State {
    state
}

fn grant_to(
    linker: &mut Linker<State>,
    capability: Capability,
    heat: Heat,
) -> wasmtime::Result<()> {
    match (capability, heat) {
        (Capability::Log, _) => log::WithLog::add_to_linker::<_, Own>(linker, own),
        (Capability::Metrics, _) => metrics::WithMetrics::add_to_linker::<_, Own>(linker, own),
        (Capability::Kv, _) => kv::WithKv::add_to_linker::<_, Own>(linker, own),
        (Capability::Directory, _) => {
            directory::WithDirectory::add_to_linker::<_, Own>(linker, own)
        }
        (Capability::Clock, _) => clock::WithClock::add_to_linker::<_, Own>(linker, own),
        (Capability::Random, _) => random::WithRandom::add_to_linker::<_, Own>(linker, own),
        (Capability::Call, Heat::Slow) => call::WithCall::add_to_linker::<_, Own>(linker, own),
        (Capability::Call, Heat::Hot) => {
            call_denied::WithCall::add_to_linker::<_, Own>(linker, own)
        }
        (Capability::Http, Heat::Slow) => http::WithHttp::add_to_linker::<_, Own>(linker, own),
        (Capability::Http, Heat::Hot) => {
            http_denied::WithHttp::add_to_linker::<_, Own>(linker, own)
        }
    }
}
