//! What the WIT package says, generated. Plugins never see it.
//!
//! The interfaces that several hooks use are generated once, so that their types are the same everywhere.

#[allow(unreachable_pub, reason = "generated")]
pub mod shared {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package jackfield:sdk;
            world shared {
                import jackfield:plugin/message@0.1.0;
                import jackfield:plugin/apps@0.1.0;
                import jackfield:plugin/request@0.1.0;
                import jackfield:plugin/candidates@0.1.0;
            }
        ",
        world: "jackfield:sdk/shared",
        generate_all,
        additional_derives: [PartialEq, Eq],
        additional_derives_ignore: ["traits"],
    });
}

/// A hook: its world, the macro that exports it, what it shares with others, and for hot ones a prefix: their export is
/// [`crate::plugin`]'s own, and the generated one stands under a name that nobody calls.
macro_rules! hook {
    ($module:ident, $world:literal, $export:literal, $path:literal { $($share:literal: $with:ident),* } $($prefix:literal)?) => {
        #[allow(unreachable_pub, reason = "generated")]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $path,
                $(export_prefix: $prefix,)?
                with: { $($share: crate::bindings::shared::jackfield::plugin::$with),* },
                additional_derives: [PartialEq, Eq],
                additional_derives_ignore: ["rights"],
            });
        }
    };
}

hook!(lifecycle, "with-lifecycle", "export_lifecycle", "jackfield_plugin_sdk::expansion::lifecycle" {});
hook!(
    routing_filter,
    "with-routing-filter",
    "export_routing_filter",
    "jackfield_plugin_sdk::expansion::routing_filter"
    {
        "jackfield:plugin/message@0.1.0": message,
        "jackfield:plugin/request@0.1.0": request
    }
    "generated:"
);
hook!(
    endpoint_selector,
    "with-endpoint-selector",
    "export_endpoint_selector",
    "jackfield_plugin_sdk::expansion::endpoint_selector"
    {
        "jackfield:plugin/request@0.1.0": request,
        "jackfield:plugin/candidates@0.1.0": candidates
    }
    "generated:"
);
hook!(
    chaos,
    "with-chaos",
    "export_chaos",
    "jackfield_plugin_sdk::expansion::chaos"
    {
        "jackfield:plugin/message@0.1.0": message,
        "jackfield:plugin/request@0.1.0": request
    }
    "generated:"
);
hook!(
    authenticator,
    "with-authenticator",
    "export_authenticator",
    "jackfield_plugin_sdk::expansion::authenticator"
    { "jackfield:plugin/message@0.1.0": message }
);
hook!(
    metrics_collector,
    "with-metrics-collector",
    "export_metrics_collector",
    "jackfield_plugin_sdk::expansion::metrics_collector"
    {
        "jackfield:plugin/message@0.1.0": message,
        "jackfield:plugin/apps@0.1.0": apps
    }
);
hook!(
    events,
    "with-events",
    "export_events",
    "jackfield_plugin_sdk::expansion::events"
    { "jackfield:plugin/apps@0.1.0": apps }
);

/// An import: its world, what it shares with others.
macro_rules! import {
    ($module:ident, $world:literal { $($share:literal: $with:ident),* }) => {
        #[allow(unreachable_pub, dead_code, reason = "generated")]
        pub(crate) mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                with: { $($share: crate::bindings::shared::jackfield::plugin::$with),* },
                additional_derives: [PartialEq, Eq],
            });
        }
    };
}

import!(names, "with-names" {});
import!(log, "with-log" {});
import!(metrics, "with-metrics" {});
import!(kv, "with-kv" {});
import!(directory, "with-directory" { "jackfield:plugin/apps@0.1.0": apps });
import!(clock, "with-clock" {});
import!(random, "with-random" {});
import!(call, "with-call" { "jackfield:plugin/message@0.1.0": message });
import!(http, "with-http" {});
