//! What the WIT package says, generated. Plugins never see it.

#[allow(unreachable_pub, reason = "generated")]
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-lifecycle",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "jackfield_plugin_sdk::expansion::lifecycle",
    });
}

#[allow(unreachable_pub, reason = "generated")]
pub mod routing_filter {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-routing-filter",
        pub_export_macro: true,
        export_macro_name: "export_routing_filter",
        default_bindings_module: "jackfield_plugin_sdk::expansion::routing_filter",
        additional_derives: [PartialEq, Eq],
        additional_derives_ignore: ["call", "traits"],
    });
}

pub(crate) mod names {
    wit_bindgen::generate!({ path: "../wit", world: "with-names" });
}

pub(crate) mod log {
    wit_bindgen::generate!({ path: "../wit", world: "with-log" });
}

pub(crate) mod metrics {
    wit_bindgen::generate!({ path: "../wit", world: "with-metrics" });
}
