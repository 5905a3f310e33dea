//! What the host adds to a bare call of a routing filter: the exchange of the instance, the deadline, the check of the
//! verdict.
//!
//!     cargo bench -p jackfield-plugin-host --bench hooks
//!
//! Interleaved rounds in one run; medians. The guest passes everything.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_plugin_host::{
    Call, Caller, Compiler, Counter, Engine, Entries, Gauge, Generation, HostCalls, Interaction,
    Level, Limits, Plugin, Settings,
};
use wasmtime::{
    Config, Store,
    component::{Component, HasSelf, Linker, Resource},
};

#[allow(
    dead_code,
    reason = "the vocabulary of the tests; not every word is used here"
)]
#[path = "../tests/it/guests.rs"]
mod guests;

/// The same bindings, with an import that answers nothing.
mod bare {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "with-routing-filter",
        with: { "jackfield:plugin/request.call": crate::Handle },
    });
}

#[derive(Clone, Copy)]
pub struct Handle;

struct Nothing;

impl bare::jackfield::plugin::message::Host for Nothing {}
impl bare::jackfield::plugin::request::Host for Nothing {}

/// One getter after the other, all empty.
macro_rules! empty {
    ($($name:ident($($argument:ty),*) -> $result:ty;)+) => {
        impl bare::jackfield::plugin::request::HostCall for Nothing {
            $(fn $name(&mut self, _: Resource<Handle> $(, _: $argument)*) -> $result {
                Default::default()
            })+

            fn drop(&mut self, _: Resource<Handle>) -> wasmtime::Result<()> {
                Ok(())
            }
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
    stable_hash(bare::jackfield::plugin::request::HashKey) -> Option<u64>;
    entry(String) -> Option<Vec<u8>>;
    metadata() -> Vec<u8>;
}

impl Entries for Nothing {
    fn tag(&self, _: &str) -> Option<&str> {
        None
    }

    fn entry(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

impl HostCalls for Nothing {
    fn log(&self, _: &str, _: Level, _: &str) {}

    fn counter(&self, _: &str, _: &str) -> Option<Arc<dyn Counter>> {
        None
    }

    fn gauge(&self, _: &str, _: &str) -> Option<Arc<dyn Gauge>> {
        None
    }
}

const ROUNDS: usize = 41;
const CALLS: u32 = 10_000;

fn main() {
    let guest = guests::Guest::new().component();
    let mut bare = bare_call(&guest);
    let mut hosted = hosted_call(&guest);
    let (mut of_bare, mut of_host, mut of_clock) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_bare.push(ns_per_call(&mut bare));
        of_host.push(ns_per_call(&mut hosted));
        of_clock.push(ns_per_call(&mut || {
            black_box(black_box(Instant::now()).elapsed());
        }));
    }
    let (bare, hosted) = (median(of_bare), median(of_host));
    println!(
        "two readings of the clock            {:7.1} ns",
        median(of_clock)
    );
    println!("bare call of the runtime             {bare:7.1} ns");
    println!(
        "with exchange, deadline and checks   {hosted:7.1} ns   {:+.1} ns",
        hosted - bare
    );
}

fn bare_call(component: &[u8]) -> impl FnMut() {
    let mut config = Config::new();
    config.epoch_interruption(true).concurrency_support(false);
    let engine = wasmtime::Engine::new(&config).expect("constant settings");
    let component = Component::new(&engine, component).expect("it compiles");
    let mut linker = Linker::<Nothing>::new(&engine);
    bare::WithRoutingFilter::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |state| state)
        .expect("it links");
    let mut store = Store::new(&engine, Nothing);
    store.set_epoch_deadline(u64::MAX / 2);
    let filter = bare::WithRoutingFilter::instantiate(&mut store, &component, &linker);
    let filter = filter.expect("it starts");
    let traits = bare::jackfield::plugin::request::Traits::REQUEST_RESPONSE;
    move || {
        let hook = filter.jackfield_plugin_routing_filter();
        let decision = hook.call_on_request(&mut store, 0, 0, traits, Resource::new_borrow(0));
        black_box(decision).expect("it passes");
    }
}

fn hosted_call(component: &[u8]) -> impl FnMut() {
    let engine = Engine::new();
    let plugin = Plugin::load(&engine, &Compiler::here(), component, &[]).expect("it loads");
    let settings = Settings {
        name: "bench".into(),
        json: "{}".into(),
        limits: Limits {
            deadline: Duration::from_millis(5),
            memory: 1 << 20,
        },
        host: Arc::new(Nothing),
        kv: Arc::default(),
    };
    let generation = Generation::new(Arc::new(plugin), settings, 1).expect("it starts");
    move || {
        let call = Call {
            interaction: Interaction::RequestResponse,
            sticky: false,
            group: "",
            service: "com.example.User",
            method: "find",
            version: "",
            endpoint: "",
            entries: &Nothing,
            caller: Caller::ANONYMOUS,
            metadata: b"",
        };
        let _running = &engine;
        let outcome = generation.on_request(0, black_box(&call), Duration::from_millis(10));
        black_box(outcome).decision.expect("it passes");
    }
}

fn ns_per_call(call: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
