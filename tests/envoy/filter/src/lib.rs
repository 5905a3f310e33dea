//! The canary as a proxy-wasm filter: thirty percent of the users, always the same ones, go to another route.
//!
//! It does what `plugins/canary` does with `by = "tag:user"`: one value is read, hashed by the same function, and for
//! some of them one field that the route depends on is written.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::{Action, LogLevel},
};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_http_context(|_, _| -> Box<dyn HttpContext> { Box::new(Canary) });
}}

struct Canary;

impl Context for Canary {}

impl HttpContext for Canary {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let user = self.get_http_request_header("x-user");
        if user.is_some_and(|user| stable_hash(&user) % 10_000 < 3_000) {
            self.set_http_request_header("x-version", Some("canary"));
        }
        Action::Continue
    }
}

/// FNV-1a (64 bit), then the finaliser of MurmurHash3: as the broker's.
fn stable_hash(key: &str) -> u64 {
    let fnv = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
