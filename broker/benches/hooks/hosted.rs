//! The same call through the plugin host: the thread's instance, the deadline, the check of the verdict.

use std::{hint::black_box, sync::Arc, time::Duration};

use jackfield_plugin_host::{
    Call, Caller, Compiler, Counter, Engine, Entries, Gauge, Generation, HostCalls, Interaction,
    Level, Limits, Plugin, Settings,
};

struct Nothing;

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

/// Asks one generation, again and again.
pub(crate) fn call(component: &[u8], settings: &str) -> impl FnMut() {
    let engine = Engine::new();
    let plugin = Plugin::load(&engine, &Compiler::here(), component, &[]).expect("it loads");
    let settings = Settings {
        name: "bench".into(),
        json: settings.into(),
        limits: Limits {
            deadline: Duration::from_millis(5),
            memory: 4 << 20,
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
            caller: Caller {
                app: "shop",
                ..Caller::ANONYMOUS
            },
            metadata: b"",
        };
        let _running = &engine;
        let outcome = generation.on_request(black_box(&call), Duration::from_millis(10));
        black_box(outcome).decision.expect("it passes");
    }
}
