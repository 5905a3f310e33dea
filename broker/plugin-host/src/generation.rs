//! One configured instance per data-plane thread, for the hot hooks of a plugin.
//!
//! A call takes its thread's cell and gives it back: an exchange, no lock. When the cell is empty after a failure, or
//! somebody else has it, a new instance is made, and in the latter case dropped after the call. Dropping the generation
//! drops its instances.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use atomic_refcell::AtomicRefCell;
use crossbeam_utils::CachePadded;

use crate::{
    Call, Candidates, Decision, Plan, Plugin, PluginError, Selection, Settings,
    instance::{HotExports, Instance},
};

/// A plugin, configured, on every data-plane thread.
pub struct Generation {
    plugin: Arc<Plugin>,
    settings: Settings,
    /// What a new instance may spend on its start while a request waits for it.
    restart_deadline: Duration,
    cells: Box<[Cell]>,
    memory: Arc<AtomicU64>,
}

/// To take it costs one step that other threads have to see, to give it back none.
type Cell = CachePadded<AtomicRefCell<Option<Instance>>>;

/// Where the instance of one call is. What did not end in order, a panic of ours included, leaves nothing there.
struct Place<'a> {
    instance: &'a mut Option<Instance>,
    in_order: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.in_order {
            *self.instance = None;
        }
    }
}

/// What one call came to.
#[derive(Debug)]
pub struct Outcome<T> {
    pub decision: Result<T, PluginError>,
    /// Wall time, a new start included; of some calls only, since reading a clock twice costs as much as a call.
    pub took: Option<Duration>,
    /// CPU time, to be counted against the chain's deadline.
    pub spent: Duration,
}

/// One call in so many is timed, the first of an instance among them.
const TIMED: u32 = 16;

/// CPU time for a first start: the interpreters of some languages need a while.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(2);

impl Generation {
    /// Makes a trial instance, then one for each thread. The trial decides whether the plugin
    /// accepts its settings.
    pub fn new(
        plugin: Arc<Plugin>,
        settings: Settings,
        threads: usize,
    ) -> Result<Self, PluginError> {
        plugin.outline().check_settings(&settings.json)?;
        let mut this = Self {
            plugin,
            restart_deadline: START_DEADLINE,
            cells: Box::default(),
            memory: Arc::default(),
            settings,
        };
        let begun = Instant::now();
        let trial = this.start()?;
        this.restart_deadline =
            (begun.elapsed() * 4).clamp(this.settings.limits.deadline, START_DEADLINE);
        let mut cells = vec![Cell::new(AtomicRefCell::new(Some(trial)))];
        for _ in 1..threads.max(1) {
            cells.push(Cell::new(AtomicRefCell::new(Some(this.start()?))));
        }
        this.cells = cells.into();
        Ok(this)
    }

    /// Asks the hook `routing-filter`, on the instance of this thread.
    #[inline(always)]
    pub fn on_request(
        &self,
        thread: usize,
        call: &Call<'_>,
        deadline: Duration,
    ) -> Outcome<Decision> {
        self.ask(thread, deadline, |instance, deadline| {
            instance.on_request(call, deadline)
        })
    }

    /// Asks the hook `endpoint-selector`, on the instance of this thread.
    #[inline(always)]
    pub fn select(
        &self,
        thread: usize,
        call: &Call<'_>,
        candidates: &dyn Candidates,
        deadline: Duration,
    ) -> Outcome<Selection> {
        self.ask(thread, deadline, |instance, deadline| {
            instance.select(call, candidates, deadline)
        })
    }

    /// Asks the hook `chaos`, on the instance of this thread.
    #[inline(always)]
    pub fn disturb(&self, thread: usize, call: &Call<'_>, deadline: Duration) -> Outcome<Plan> {
        self.ask(thread, deadline, |instance, deadline| {
            instance.disturb(call, deadline)
        })
    }

    /// As `on_request`, on an instance of its own, for a look whether the plugin works again.
    pub fn probe_on_request(&self, call: &Call<'_>) -> Result<Decision, PluginError> {
        self.start()?
            .on_request(call, self.settings.limits.deadline)
    }

    /// As `select`, on an instance of its own.
    pub fn probe_select(
        &self,
        call: &Call<'_>,
        candidates: &dyn Candidates,
    ) -> Result<Selection, PluginError> {
        self.start()?
            .select(call, candidates, self.settings.limits.deadline)
    }

    /// As `disturb`, on an instance of its own.
    pub fn probe_disturb(&self, call: &Call<'_>) -> Result<Plan, PluginError> {
        self.start()?.disturb(call, self.settings.limits.deadline)
    }

    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Linear memory of all its instances, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    // In place, with all that is on the way to it: a result that is handed on through memory costs more than the exchange.
    #[inline(always)]
    fn ask<T>(
        &self,
        thread: usize,
        deadline: Duration,
        hook: impl FnOnce(&mut Instance, Duration) -> Result<T, PluginError>,
    ) -> Outcome<T> {
        // Threads are numbered from 0; a division would cost more than this.
        let cell = self.cells.get(thread).unwrap_or(&self.cells[0]);
        let (mut held, mut own) = (cell.try_borrow_mut().ok(), None);
        let mut place = Place {
            instance: held.as_deref_mut().unwrap_or(&mut own),
            in_order: false,
        };
        let timed = { place.instance.as_mut() }.is_none_or(|it| it.count().is_multiple_of(TIMED));
        let begun = timed.then(Instant::now);
        let ready = match &mut *place.instance {
            Some(instance) => Ok(instance),
            empty => self.start().map(|instance| empty.insert(instance)),
        };
        let mut spent = Duration::ZERO;
        let decision = ready.and_then(|instance| {
            let decided = hook(instance, deadline.min(self.settings.limits.deadline));
            spent = instance.spent();
            decided
        });
        // An answer that makes no sense comes from a guest that ended its call in order.
        place.in_order = matches!(decision, Ok(_) | Err(PluginError::Answer(_)));
        Outcome {
            decision,
            took: begun.map(|begun| begun.elapsed()),
            spent,
        }
    }

    fn start(&self) -> Result<Instance, PluginError> {
        let memory = Arc::clone(&self.memory);
        Instance::new(
            self.exports()?,
            &self.settings,
            memory,
            self.restart_deadline,
        )
    }

    fn exports(&self) -> Result<&HotExports, PluginError> {
        let absent = || PluginError::Unavailable("implements no hot hook".into());
        self.plugin.hot.as_ref().ok_or_else(absent)
    }
}
