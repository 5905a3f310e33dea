//! What the WIT package says, in Rust. The only generated code; nothing outside this package sees it.
//!
//! One module per world, since a guest exports and imports only what it uses.

/// What a handle to a `call` stands for: the one call on loan, so there is nothing in it.
#[allow(unreachable_pub, reason = "the generated code re-exports it")]
pub struct CallHandle;

pub(crate) mod lifecycle {
    wasmtime::component::bindgen!({ path: "../../wit", world: "with-lifecycle" });
}

pub(crate) mod routing_filter {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "with-routing-filter",
        imports: { default: trappable },
        with: { "jackfield:plugin/request.call": crate::bindings::CallHandle },
    });
}

pub(crate) mod names {
    wasmtime::component::bindgen!({ path: "../../wit", world: "with-names" });
}

pub(crate) mod log {
    wasmtime::component::bindgen!({ path: "../../wit", world: "with-log" });
}

pub(crate) mod metrics {
    wasmtime::component::bindgen!({ path: "../../wit", world: "with-metrics" });
}
