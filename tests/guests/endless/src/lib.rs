//! A filter that never returns: the disturbance `plugin` of the harm bound.

use std::hint::black_box;

use jackfield_plugin_sdk::{Decision, Plugin, Request, RoutingFilter, plugin};
use serde::Deserialize;

#[derive(Deserialize)]
struct Endless {}

impl Plugin for Endless {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }
}

impl RoutingFilter for Endless {
    fn on_request(&self, _: &Request<'_>) -> Decision {
        loop {
            black_box(());
        }
    }
}

plugin!(Endless: RoutingFilter);
