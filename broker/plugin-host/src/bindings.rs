//! What the WIT package says, in Rust. The only generated code; nothing outside this package sees it.
//!
//! One module per world, since a guest exports and imports only what it uses. Slow hooks are called asynchronously, and
//! only their imports may wait; a hot hook that reaches for one of those is told that it cannot.

/// The interfaces that several worlds use: one set of types for all.
pub(crate) mod shared {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package jackfield:host;
            world shared {
                import jackfield:plugin/message@0.1.0;
                import jackfield:plugin/apps@0.1.0;
                import jackfield:plugin/request@0.1.0;
                import jackfield:plugin/candidates@0.1.0;
            }
        ",
        world: "jackfield:host/shared",
    });
}

/// A world: its name, what it shares with others, how its imports and exports are called.
macro_rules! world {
    ($module:ident = $world:literal { $($share:literal: $with:ident),* } $($options:tt)*) => {
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                path: "../../wit",
                world: $world,
                with: { $($share: crate::bindings::shared::jackfield::plugin::$with),* },
                $($options)*
            });
        }
    };
}

world!(lifecycle = "with-lifecycle" {});
world!(lifecycle_slow = "with-lifecycle" {} exports: { default: async });

world!(endpoint_selector = "with-endpoint-selector" {
    "jackfield:plugin/request": request, "jackfield:plugin/candidates": candidates
});
world!(chaos = "with-chaos" {
    "jackfield:plugin/message": message, "jackfield:plugin/request": request
});
world!(authenticator = "with-authenticator" {
    "jackfield:plugin/message": message
} exports: { default: async });
world!(metrics_collector = "with-metrics-collector" {
    "jackfield:plugin/message": message, "jackfield:plugin/apps": apps
} exports: { default: async });
world!(events = "with-events" { "jackfield:plugin/apps": apps } exports: { default: async });

world!(names = "with-names" {});
world!(log = "with-log" {});
world!(metrics = "with-metrics" {});
world!(kv = "with-kv" {});
world!(directory = "with-directory" { "jackfield:plugin/apps": apps });
world!(clock = "with-clock" {});
world!(random = "with-random" {});

world!(call = "with-call" { "jackfield:plugin/message": message } imports: { default: async });
world!(call_denied = "with-call" { "jackfield:plugin/message": message });
world!(http = "with-http" {} imports: { default: async });
world!(http_denied = "with-http" {});
