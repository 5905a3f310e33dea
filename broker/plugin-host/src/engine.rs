//! The Wasm runtime's settings, each with its reason, and the clock that interrupts guests.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::OnceLock,
    thread,
    time::Duration,
};

use wasmtime::{Config, EngineWeak};

/// How often running guests are interrupted to look at their deadline.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// A guest that recurses deeper traps. Data-plane threads have at least 2 MiB.
const GUEST_STACK: usize = 512 << 10;

/// Compiles and runs components. One per process is enough; dropping it ends its ticker thread.
pub struct Engine {
    runtime: wasmtime::Engine,
    ticker: OnceLock<()>,
}

impl Engine {
    pub fn new() -> Self {
        let runtime = wasmtime::Engine::new(&config()).expect("the settings are constant and fit");
        Self {
            runtime,
            ticker: OnceLock::new(),
        }
    }

    pub(crate) const fn runtime(&self) -> &wasmtime::Engine {
        &self.runtime
    }

    /// Starts the ticks on first use, so that a broker without plugins is not woken a thousand
    /// times a second.
    pub(crate) fn tick(&self) {
        self.ticker.get_or_init(|| {
            let weak = self.runtime.weak();
            thread::Builder::new()
                .name("plugin-ticker".into())
                .spawn(move || tick_while_alive(&weak))
                .expect("a process that cannot start one thread cannot start at all");
        });
    }

    /// Changes whenever compiled code of another engine would not fit this one.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.runtime
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        hasher.finish()
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // Interrupts cost nothing on small calls; fuel would cost a fifth.
        .epoch_interruption(true)
        // Hot hooks are synchronous; support for concurrent calls would triple the cost of a call.
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK)
        // Inlining triples the compile time and gained nothing.
        .compiler_inlining(wasmtime::Inlining::No);
    config
}

fn tick_while_alive(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(TICK);
    }
}
