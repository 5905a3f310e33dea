//! The Wasm runtime's settings, each with its reason, and the clock that interrupts guests.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Config, EngineWeak};

/// How often running guests are interrupted to look at their deadline.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How often it is looked whether one is running at all. A tick costs its core more than ten calls of a guest.
const GLANCE: Duration = Duration::from_millis(4);

/// A guest that recurses deeper traps. Data-plane threads have at least 2 MiB.
const GUEST_STACK: usize = 512 << 10;

/// Compiles and runs components. One per process is enough; dropping it ends its ticker thread.
pub struct Engine {
    runtime: wasmtime::Engine,
    watch: Arc<Watch>,
}

/// The ticks: one each [`GLANCE`], and each [`TICK`] while they find a guest running.
#[derive(Default)]
pub(crate) struct Watch {
    ticker: OnceLock<Thread>,
    /// The last tick interrupted a guest.
    found: AtomicBool,
}

impl Watch {
    /// A guest was interrupted: the next tick comes soon.
    pub(crate) fn found(&self) {
        if !self.found.swap(true, Ordering::Relaxed)
            && let Some(ticker) = self.ticker.get()
        {
            ticker.unpark();
        }
    }

    /// Ticks until the runtime is gone.
    fn tick(&self, runtime: &EngineWeak) {
        while let Some(runtime) = runtime.upgrade() {
            self.found.store(false, Ordering::Relaxed);
            runtime.increment_epoch();
            drop(runtime);
            // Woken at once by the first guest that this tick interrupts.
            thread::park_timeout(GLANCE);
            if self.found.load(Ordering::Relaxed) {
                thread::sleep(TICK);
            }
        }
    }
}

impl Engine {
    pub fn new() -> Self {
        let runtime = wasmtime::Engine::new(&config()).expect("the settings are constant and fit");
        Self {
            runtime,
            watch: Arc::default(),
        }
    }

    pub(crate) const fn runtime(&self) -> &wasmtime::Engine {
        &self.runtime
    }

    /// Starts the ticks on first use, so that a broker without plugins is not woken by them.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        self.watch.ticker.get_or_init(|| {
            let (runtime, watch) = (self.runtime.weak(), Arc::clone(&self.watch));
            let ticker = thread::Builder::new()
                .name("plugin-ticker".into())
                .spawn(move || watch.tick(&runtime));
            ticker
                .expect("a process that cannot start one thread cannot start at all")
                .thread()
                .clone()
        });
        Arc::clone(&self.watch)
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
