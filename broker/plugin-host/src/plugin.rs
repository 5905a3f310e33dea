//! A plugin that can run: compiled, its imports linked, its exports checked against their types.

use wasmtime::{
    Engine as Runtime,
    component::{Component, HasSelf, InstancePre, Linker},
};

use crate::{
    Capability, Compiler, Engine, Outline, PluginError,
    bindings::{log, metrics, names, routing_filter},
    instance::{Exports, State},
};

/// Immutable, and shared by all instances of all its generations.
pub struct Plugin {
    pub(crate) exports: Exports,
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
        let linked = link(engine.runtime(), &component, &outline.capabilities)?;
        let exports = Exports::of(linked)?;
        engine.tick();
        Ok(Self { exports, outline })
    }

    pub const fn outline(&self) -> &Outline {
        &self.outline
    }
}

/// Links what is free and what is granted; everything else does not exist for this guest.
fn link(
    runtime: &Runtime,
    component: &Component,
    grants: &[Capability],
) -> Result<InstancePre<State>, PluginError> {
    let mut linker = Linker::<State>::new(runtime);
    let linker_mut = &mut linker;
    type Own = HasSelf<State>;
    let linked = (|| {
        names::WithNames::add_to_linker::<_, Own>(linker_mut, |state| state)?;
        routing_filter::WithRoutingFilter::add_to_linker::<_, Own>(linker_mut, |state| state)?;
        for grant in grants {
            match grant {
                Capability::Log => log::WithLog::add_to_linker::<_, Own>(linker_mut, |s| s)?,
                Capability::Metrics => {
                    metrics::WithMetrics::add_to_linker::<_, Own>(linker_mut, |s| s)?;
                }
            }
        }
        linker_mut.instantiate_pre(component)
    })();
    linked.map_err(PluginError::mismatch)
}
