//! The bare call of the runtime: a store, the generated bindings, and imports that answer nothing.

use std::hint::black_box;

use wasmtime::{
    Config, Engine, Store,
    component::{Component, HasSelf, Linker, TypedFunc},
};

#[allow(dead_code, reason = "only moved, never read here")]
#[path = "../../plugin-host/src/lifted.rs"]
mod lifted;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package jackfield:bench;
            world filter {
                include jackfield:plugin/with-lifecycle@0.1.0;
                include jackfield:plugin/with-routing-filter@0.1.0;
            }
        ",
        world: "jackfield:bench/filter",
    });
}

use bindings::{
    Filter, FilterIndices,
    jackfield::plugin::{message, request},
};

struct Nothing;

impl message::Host for Nothing {}

/// One getter after the other, all empty.
macro_rules! empty {
    ($($name:ident($($argument:ty),*) -> $result:ty;)+) => {
        impl request::Host for Nothing {
            $(fn $name(&mut self $(, _: $argument)*) -> $result {
                Default::default()
            })+
        }
    };
}

empty! {
    service() -> String;
    method() -> String;
    group() -> String;
    version() -> String;
    endpoint() -> String;
    version_is(String) -> bool;
    tag_is(String, String) -> bool;
    tag(String) -> Option<String>;
    app() -> String;
    app_is(String) -> bool;
    app_metadata(String) -> Option<String>;
    instance() -> String;
    address() -> String;
    principal() -> String;
    principal_is(String) -> bool;
    principal_has(String, String) -> bool;
    principal_attribute(String) -> Option<String>;
    stable_hash(request::HashKey) -> u64;
    stable_hash_of_tag(String) -> u64;
    entry(String) -> Option<Vec<u8>>;
    metadata() -> Vec<u8>;
}

/// Calls `on-request` of one instance, again and again.
pub(crate) fn call(component: &[u8], settings: &str) -> impl FnMut() {
    let mut config = Config::new();
    config.epoch_interruption(true).concurrency_support(false);
    let engine = Engine::new(&config).expect("constant settings");
    let component = Component::new(&engine, component).expect("it compiles");
    let mut linker = Linker::<Nothing>::new(&engine);
    Filter::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |state| state).expect("it links");
    let mut store = Store::new(&engine, Nothing);
    store.set_epoch_deadline(u64::MAX / 2);
    let pre = linker.instantiate_pre(&component).expect("it links");
    let instance = pre.instantiate(&mut store).expect("it starts");
    let exports = FilterIndices::new(&pre).and_then(|it| it.load(&mut store, &instance));
    let exports = exports.expect("it exports both");
    let lifecycle = exports.jackfield_plugin_lifecycle();
    let configured = lifecycle.call_configure(&mut store, settings);
    configured.expect("it answers").expect("it fits");
    // With the host's own types of the answer, so that what is compared is what the host adds.
    let interface = component.get_export_index(None, "jackfield:plugin/routing-filter@0.1.0");
    let function = component.get_export_index(interface.as_ref(), "on-request");
    let function = function.expect("it exports it");
    let hook: TypedFunc<(u32, u32, request::Traits), (lifted::Decision,)> = instance
        .get_typed_func(&mut store, function)
        .expect("its type");
    move || {
        let arguments = (0, 0, request::Traits::REQUEST_RESPONSE);
        let decision = hook.call(&mut store, arguments);
        black_box(decision).expect("it passes");
    }
}
