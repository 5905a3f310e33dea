/// Makes a component of a plugin: its type, and the hooks it implements.
///
/// ```ignore
/// plugin!(Canary: RoutingFilter);
/// ```
#[macro_export]
macro_rules! plugin {
    ($plugin:ty: $($hook:ident),+ $(,)?) => {
        const _: () = {
            struct Guest;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::OnceCell<$plugin> =
                    const { ::std::cell::OnceCell::new() };
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
            fn on_request(
                service: u32,
                handler: u32,
                traits: routing_filter::Traits,
                call: &routing_filter::Call,
            ) -> routing_filter::Decision {
                let request = $crate::expansion::guest_request(service, handler, traits, call);
                INSTANCE.with(|cell| {
                    let instance = cell.get().expect("the host configures before it calls");
                    $crate::RoutingFilter::on_request(instance, &request)
                })
            }
        }

        #[cfg(not(target_family = "wasm"))]
        const _: fn(
            u32,
            u32,
            routing_filter::Traits,
            &routing_filter::Call,
        ) -> routing_filter::Decision = <Guest as routing_filter::Guest>::on_request;

        #[cfg(target_family = "wasm")]
        $crate::expansion::routing_filter::export_routing_filter!(
            Guest with_types_in $crate::expansion::routing_filter
        );
    };
}
