//! One configured instance per data-plane thread, for the hot hooks of a plugin.
//!
//! A call takes its thread's instance and, when it ended in order, puts it back; no other thread comes near it. After a
//! failure, a panic of ours included, there is none, and the next call starts one. So does a call that is made while the
//! thread's instance is asked; the outer one replaces it. Dropping the generation drops its instances.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use thread_local::ThreadLocal;

use crate::{
    Call, Candidates, Decision, Plan, Plugin, PluginError, Selection, Settings,
    instance::{HotExports, Instance},
};

/// A plugin, configured, on every data-plane thread.
///
/// Laid out in this order (`repr(C)`): what every call reads comes first, in one line of the cache.
#[repr(C, align(64))]
pub struct Generation {
    /// That of the settings.
    deadline: Duration,
    instances: ThreadLocal<CachePadded<Place>>,
    plugin: Arc<Plugin>,
    settings: Settings,
    /// What a new instance may spend on its start while a request waits for it.
    restart_deadline: Duration,
    /// Started before anybody asks; each thread takes one when it first does.
    #[expect(clippy::vec_box, reason = "each is moved out as it is")]
    ready: Mutex<Vec<Box<Instance>>>,
    memory: Arc<AtomicU64>,
}

/// Of one thread, which writes it at each call.
struct Place {
    /// None while it is asked, and after a failure.
    instance: Cell<Option<Box<Instance>>>,
    calls: Cell<u32>,
}

impl Place {
    /// Calls before this one.
    fn count(&self) -> u32 {
        let before = self.calls.get();
        self.calls.set(before.wrapping_add(1));
        before
    }
}

/// What one call came to.
#[derive(Debug)]
pub struct Outcome<T> {
    /// The error is boxed so that what most calls come to is small.
    pub decision: Result<T, Box<PluginError>>,
    /// Wall time, a new start included; of some calls only, since reading a clock twice costs as much as a call.
    pub took: Option<Duration>,
    /// CPU time, to be counted against the chain's deadline.
    pub spent: Duration,
}

/// One call in so many is timed, and each that starts an instance.
const TIMED: u32 = 16;

/// CPU time for a first start: the interpreters of some languages need a while.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(2);

impl Generation {
    /// Makes a trial instance, then one for each of so many threads that will ask. The trial decides whether the plugin
    /// accepts its settings.
    pub fn new(
        plugin: Arc<Plugin>,
        settings: Settings,
        threads: usize,
    ) -> Result<Self, PluginError> {
        plugin.outline().check_settings(&settings.json)?;
        let mut this = Self {
            deadline: settings.limits.deadline,
            plugin,
            restart_deadline: START_DEADLINE,
            instances: ThreadLocal::new(),
            ready: Mutex::default(),
            memory: Arc::default(),
            settings,
        };
        let begun = Instant::now();
        let trial = this.start()?;
        this.restart_deadline = (begun.elapsed() * 4).clamp(this.deadline, START_DEADLINE);
        let mut ready = vec![trial];
        for _ in 1..threads {
            ready.push(this.start()?);
        }
        this.ready = Mutex::new(ready);
        Ok(this)
    }

    /// Asks the hook `routing-filter`, on the instance of this thread.
    #[inline(always)]
    pub fn on_request(&self, call: &Call<'_>, deadline: Duration) -> Outcome<Decision> {
        self.ask(deadline, |instance, deadline| {
            instance.on_request(call, deadline)
        })
    }

    /// Asks the hook `endpoint-selector`, on the instance of this thread.
    #[inline(always)]
    pub fn select(
        &self,
        call: &Call<'_>,
        candidates: &dyn Candidates,
        deadline: Duration,
    ) -> Outcome<Selection> {
        self.ask(deadline, |instance, deadline| {
            instance.select(call, candidates, deadline)
        })
    }

    /// Asks the hook `chaos`, on the instance of this thread.
    #[inline(always)]
    pub fn disturb(&self, call: &Call<'_>, deadline: Duration) -> Outcome<Plan> {
        self.ask(deadline, |instance, deadline| {
            instance.disturb(call, deadline)
        })
    }

    /// As `on_request`, on an instance of its own, for a look whether the plugin works again.
    pub fn probe_on_request(&self, call: &Call<'_>) -> Result<Decision, PluginError> {
        let decided = self.start()?.on_request(call, self.deadline);
        decided.map_err(|error| *error)
    }

    /// As `select`, on an instance of its own.
    pub fn probe_select(
        &self,
        call: &Call<'_>,
        candidates: &dyn Candidates,
    ) -> Result<Selection, PluginError> {
        let selected = self.start()?.select(call, candidates, self.deadline);
        selected.map_err(|error| *error)
    }

    /// As `disturb`, on an instance of its own.
    pub fn probe_disturb(&self, call: &Call<'_>) -> Result<Plan, PluginError> {
        let plan = self.start()?.disturb(call, self.deadline);
        plan.map_err(|error| *error)
    }

    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Linear memory of all its instances, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    // In place, with all that is on the way to it: a result that is handed on through memory costs more than the rest.
    #[inline(always)]
    fn ask<T>(
        &self,
        deadline: Duration,
        hook: impl FnOnce(&mut Instance, Duration) -> Result<T, Box<PluginError>>,
    ) -> Outcome<T> {
        let place = self.instances.get_or(|| self.place());
        let taken = place.instance.take();
        let timed = taken.is_none() || place.count().is_multiple_of(TIMED);
        let begun = timed.then(Instant::now);
        let took = || begun.map(|begun| begun.elapsed());
        let mut instance = match taken.map_or_else(|| self.start(), Ok) {
            Ok(instance) => instance,
            Err(error) => {
                return Outcome {
                    decision: Err(Box::new(error)),
                    took: took(),
                    spent: Duration::ZERO,
                };
            }
        };
        let decision = hook(&mut instance, deadline.min(self.deadline));
        let spent = instance.spent();
        if is_in_order(&decision) {
            place.instance.set(Some(instance));
        }
        Outcome {
            decision,
            took: took(),
            spent,
        }
    }

    /// For a thread that asks for the first time.
    fn place(&self) -> CachePadded<Place> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        CachePadded::new(Place {
            instance: Cell::new(ready.pop()),
            calls: Cell::default(),
        })
    }

    fn start(&self) -> Result<Box<Instance>, PluginError> {
        let memory = Arc::clone(&self.memory);
        let exports = self.exports()?;
        Instance::new(exports, &self.settings, memory, self.restart_deadline).map(Box::new)
    }

    fn exports(&self) -> Result<&HotExports, PluginError> {
        let absent = || PluginError::Unavailable("implements no hot hook".into());
        self.plugin.hot.as_ref().ok_or_else(absent)
    }
}

/// An answer that makes no sense comes from a guest that ended its call in order.
fn is_in_order<T>(decided: &Result<T, Box<PluginError>>) -> bool {
    match decided {
        Ok(_) => true,
        Err(error) => matches!(**error, PluginError::Answer(_)),
    }
}
