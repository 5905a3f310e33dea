/// Makes a component of a plugin: its type, and the hooks it implements.
///
/// ```ignore
/// plugin!(Canary: RoutingFilter);
/// ```
///
/// The hooks are `RoutingFilter`, `EndpointSelector`, `Chaos`, `Authenticator`, `MetricsCollector` and `Events`.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty: $($hook:ident),+ $(,)?) => {
        const _: () = {
            struct Guest;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::OnceCell<$plugin> =
                    const { ::std::cell::OnceCell::new() };
            }

            /// Runs a hook on the configured plugin.
            fn with<R>(hook: impl ::std::ops::FnOnce(&$plugin) -> R) -> R {
                INSTANCE.with(|cell| hook(cell.get().expect("the host configures before it calls")))
            }

            use $crate::expansion::lifecycle::exports::jackfield::plugin::lifecycle;

            impl lifecycle::Guest for Guest {
                fn configure(
                    settings: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    let instance = $crate::expansion::settings::<$plugin>(&settings)?;
                    // The host configures an instance once; a second time changes nothing.
                    INSTANCE.with(|cell| cell.set(instance).ok());
                    Ok(())
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::expansion::lifecycle::export_lifecycle!(
                Guest with_types_in $crate::expansion::lifecycle
            );

            // On the host nothing is exported, and nothing of the plugin is dead code all the same.
            #[cfg(not(target_family = "wasm"))]
            const _: fn(
                ::std::string::String,
            ) -> ::std::result::Result<(), ::std::string::String> =
                <Guest as lifecycle::Guest>::configure;

            $($crate::plugin!(@hook $hook);)+
        };
    };
    (@hook RoutingFilter) => {
        use $crate::expansion::routing_filter::exports::jackfield::plugin::routing_filter;

        impl routing_filter::Guest for Guest {
            // In place, as the other hot hooks: the answer is written where the host reads it, without a look at its case.
            #[inline(always)]
            fn on_request(
                service: u32,
                handler: u32,
                traits: routing_filter::Traits,
            ) -> routing_filter::Decision {
                let request = $crate::expansion::guest_request(service, handler, traits);
                with(|plugin| $crate::RoutingFilter::on_request(plugin, &request))
            }
        }

        $crate::plugin!(@export routing_filter export_routing_filter on_request);
        $crate::plugin!(
            @hot routing_filter "jackfield:plugin/routing-filter@0.1.0#on-request" (service, handler, traits)
                _export_on_request_cabi __post_return_on_request (u8 at 0)
        );
    };
    (@hook EndpointSelector) => {
        use $crate::expansion::endpoint_selector::exports::jackfield::plugin::endpoint_selector;

        impl endpoint_selector::Guest for Guest {
            #[inline(always)]
            fn select(
                service: u32,
                handler: u32,
                traits: endpoint_selector::Traits,
                count: u32,
            ) -> endpoint_selector::Selection {
                let request = $crate::expansion::guest_request(service, handler, traits);
                let candidates = $crate::expansion::guest_candidates(count);
                with(|plugin| $crate::EndpointSelector::select(plugin, &request, &candidates))
            }
        }

        $crate::plugin!(@export endpoint_selector export_endpoint_selector select);
        $crate::plugin!(
            @hot endpoint_selector "jackfield:plugin/endpoint-selector@0.1.0#select" (service, handler, traits, count)
                _export_select_cabi __post_return_select (u8 at 0)
        );
    };
    (@hook Chaos) => {
        use $crate::expansion::chaos::exports::jackfield::plugin::chaos;

        impl chaos::Guest for Guest {
            #[inline(always)]
            fn disturb(
                service: u32,
                handler: u32,
                traits: chaos::Traits,
            ) -> chaos::Plan {
                let request = $crate::expansion::guest_request(service, handler, traits);
                with(|plugin| $crate::Chaos::disturb(plugin, &request))
            }
        }

        $crate::plugin!(@export chaos export_chaos disturb);
        $crate::plugin!(
            @hot chaos "jackfield:plugin/chaos@0.1.0#disturb" (service, handler, traits)
                _export_disturb_cabi __post_return_disturb (u32 at 4)
        );
    };
    (@hook Authenticator) => {
        use $crate::expansion::authenticator::exports::jackfield::plugin::authenticator;

        impl authenticator::Guest for Guest {
            fn authenticate(applicant: authenticator::Applicant) -> authenticator::Outcome {
                with(|plugin| $crate::Authenticator::authenticate(plugin, &applicant))
            }
        }

        $crate::plugin!(@export authenticator export_authenticator authenticate);
    };
    (@hook MetricsCollector) => {
        use $crate::expansion::metrics_collector::exports::jackfield::plugin::metrics_collector;

        impl metrics_collector::Guest for Guest {
            fn greet(
                app: metrics_collector::App,
            ) -> ::std::option::Option<metrics_collector::Question> {
                with(|plugin| $crate::MetricsCollector::greet(plugin, &app))
            }

            fn ask(
                app: metrics_collector::App,
                scrape: metrics_collector::Scrape,
            ) -> ::std::option::Option<metrics_collector::Question> {
                with(|plugin| $crate::MetricsCollector::ask(plugin, &app, &scrape))
            }

            fn read(
                app: metrics_collector::App,
                context: ::std::vec::Vec<u8>,
                reply: metrics_collector::Payload,
            ) -> ::std::result::Result<metrics_collector::Part, ::std::string::String> {
                with(|plugin| $crate::MetricsCollector::read(plugin, &app, context, reply))
            }

            fn on_family(
                app: metrics_collector::App,
                family: metrics_collector::Family,
            ) -> metrics_collector::Treatment {
                with(|plugin| $crate::MetricsCollector::on_family(plugin, &app, &family))
            }

            fn on_push(
                app: metrics_collector::App,
                pushed: metrics_collector::Payload,
            ) -> ::std::result::Result<
                ::std::option::Option<metrics_collector::Part>,
                ::std::string::String,
            > {
                with(|plugin| $crate::MetricsCollector::on_push(plugin, &app, pushed))
            }
        }

        $crate::plugin!(@export metrics_collector export_metrics_collector ask);
    };
    (@hook Events) => {
        use $crate::expansion::events::exports::jackfield::plugin::events;

        impl events::Guest for Guest {
            fn on_events(events: ::std::vec::Vec<events::Event>, dropped: u64) {
                with(|plugin| $crate::Events::on_events(plugin, events, dropped))
            }
        }

        $crate::plugin!(@export events export_events on_events);
    };
    (@export $module:ident $export:ident $function:ident) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || {
            let _ = <Guest as $module::Guest>::$function;
        };

        #[cfg(target_family = "wasm")]
        $crate::expansion::$module::$export!(
            Guest with_types_in $crate::expansion::$module
        );
    };
    // The export of a hot hook. What it answered is freed when it is asked again, and only if it holds anything; the
    // generated export has a function for that, and to call it the host would enter the guest once more each time.
    //
    // It leans on three things: the names of the generated functions, for which wit-bindgen is pinned; that an interface
    // of a hot hook has one function, since all functions of an interface answer in one place; and the layout of the
    // answer, of which `($word at $offset)` is 0 if it holds nothing: the case of a variant, whose first is `pass` or
    // `any`, or the length of the list of faults.
    (@hot $module:ident $name:literal ($($argument:ident),+) $ask:ident $free:ident ($word:ident at $offset:literal)) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use ::std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

            static ANSWERED: AtomicPtr<u8> = AtomicPtr::new(::std::ptr::null_mut());

            /// # Safety
            ///
            /// For the host, by the canonical ABI. What it returns stays as it is until the next call.
            #[unsafe(export_name = $name)]
            unsafe extern "C" fn hot($($argument: i32),+) -> *mut u8 {
                let answered = ANSWERED.swap(::std::ptr::null_mut(), Relaxed);
                // SAFETY: the host has read the answer before it asks again, and it is forgotten before it is freed. A new
                // one lies whole and aligned where the generated function says.
                unsafe {
                    if !answered.is_null() {
                        $module::$free::<Guest>(answered);
                    }
                    let answer = $module::$ask::<Guest>($($argument),+);
                    if answer.add($offset).cast::<$word>().read() != 0 {
                        ANSWERED.store(answer, Relaxed);
                    }
                    answer
                }
            }
        };
    };
}
