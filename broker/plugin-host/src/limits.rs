//! What one instance may take: linear memory, all its memories together, and guest CPU time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::engine::TICK;

/// What one instance may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The guest's own CPU time, per call.
    pub deadline: Duration,
    /// Linear memory, in bytes.
    pub memory: u64,
}

/// Elements of all tables together; 8 bytes each.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// A Python component is made of about fifty.
const CORE_INSTANCES_MAX: usize = 256;

/// Counts linear memory and remembers what it had to refuse.
pub(crate) struct MemoryLimit {
    limit: u64,
    used: u64,
    table_elements: usize,
    /// The total that would have been needed.
    refused: Option<u64>,
    /// Memory of all instances of the plugin.
    gauge: Arc<AtomicU64>,
}

impl MemoryLimit {
    pub(crate) const fn new(limit: u64, gauge: Arc<AtomicU64>) -> Self {
        Self {
            limit,
            used: 0,
            table_elements: 0,
            refused: None,
            gauge,
        }
    }

    /// What was refused since the last look, and the limit.
    pub(crate) fn take_refused(&mut self) -> Option<(u64, u64)> {
        self.refused.take().map(|needed| (needed, self.limit))
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let total = self.used.saturating_add(more);
        if total > self.limit {
            self.refused = Some(total);
            return Ok(false);
        }
        self.used = total;
        self.gauge.fetch_add(more, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        let fits = total <= TABLE_ELEMENTS_MAX;
        if fits {
            self.table_elements = total;
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.gauge.fetch_sub(self.used, Ordering::Relaxed);
    }
}

/// Counts the guest's own CPU time. The thread's CPU clock is a system call, so it is read only when a tick interrupts the
/// guest, and a guest is never killed for time it did not run.
///
/// A hot call runs in one go: the first tick that finds it starts the count, a later one ends it. Ticks are 4 ms apart
/// while they find nobody, so it is killed about 5 ms after its deadline at the latest. A slow call is polled, and others
/// run on the thread in between: [`Polls`] counts for it, and at each tick it lets them.
#[derive(Default)]
pub(crate) struct CpuLimit {
    limit: Duration,
    /// The thread's CPU clock at the first tick of this call.
    first_tick: Option<Duration>,
    polls: Option<Arc<Polls>>,
    killed: bool,
}

/// Why a guest was stopped.
#[derive(Debug, thiserror::Error)]
#[error("deadline")]
pub(crate) struct Killed;

impl CpuLimit {
    /// For calls that are polled.
    pub(crate) fn polled(polls: Arc<Polls>) -> Self {
        Self {
            polls: Some(polls),
            ..Self::default()
        }
    }

    /// Before each call into the guest.
    pub(crate) fn arm(&mut self, limit: Duration) {
        self.limit = limit;
        self.first_tick = None;
        self.killed = false;
        if let Some(polls) = &self.polls {
            polls.reset();
        }
    }

    /// At each tick while the guest runs.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_cpu();
        let spent = match &self.polls {
            Some(polls) => polls.spent(now),
            None => now.saturating_sub(*self.first_tick.get_or_insert(now)),
        };
        if spent >= self.limit {
            self.killed = true;
            return Err(wasmtime::Error::new(Killed));
        }
        Ok(match self.polls {
            Some(_) => UpdateDeadline::Yield(1),
            None => UpdateDeadline::Continue(1),
        })
    }

    /// The limit that killed, if it did.
    pub(crate) fn killed(&self) -> Option<Duration> {
        self.killed.then_some(self.limit)
    }

    /// CPU time of the call, as far as ticks tell. One that was over before any counts as nothing, and what came before the
    /// first as 1 ms: rather too little than too much, since an innocent call must not pay for a tick that came late.
    pub(crate) fn spent(&self) -> Duration {
        let since = |first| thread_cpu().saturating_sub(first);
        self.first_tick
            .map_or(Duration::ZERO, |first| since(first) + TICK)
    }
}

/// CPU time over the polls of one future. Only one thread polls at a time, so nothing here needs to be one step.
#[derive(Default)]
pub(crate) struct Polls {
    /// Nanoseconds in polls that have ended.
    ended: AtomicU64,
    /// The thread's CPU clock when the current poll began.
    begun: AtomicU64,
}

impl Polls {
    fn reset(&self) {
        self.ended.store(0, Ordering::Relaxed);
        self.begun.store(nanos(thread_cpu()), Ordering::Relaxed);
    }

    fn begin(&self) {
        self.begun.store(nanos(thread_cpu()), Ordering::Relaxed);
    }

    fn end(&self) {
        let spent = nanos(self.spent(thread_cpu()));
        self.ended.store(spent, Ordering::Relaxed);
    }

    fn spent(&self, now: Duration) -> Duration {
        let begun = self.begun.load(Ordering::Relaxed);
        let poll = nanos(now).saturating_sub(begun);
        Duration::from_nanos(self.ended.load(Ordering::Relaxed) + poll)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A future whose polls are counted.
pub(crate) async fn counted<F: Future>(polls: Arc<Polls>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        polls.begin();
        let polled = future.as_mut().poll(context);
        polls.end();
        polled
    })
    .await
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_share_one_limit() {
        let gauge = Arc::new(AtomicU64::new(0));
        let mut limit = MemoryLimit::new(100, Arc::clone(&gauge));
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 50, None).unwrap());
        assert_eq!(limit.take_refused(), Some((110, 100)));
        assert!(limit.memory_growing(60, 100, None).unwrap());
        assert_eq!(gauge.load(Ordering::Relaxed), 100);
        drop(limit);
        assert_eq!(gauge.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn waiting_is_not_counted() {
        let mut cpu = CpuLimit::default();
        cpu.arm(Duration::from_secs(1));
        assert!(cpu.tick().is_ok());
        assert!(
            cpu.tick().is_ok(),
            "no time of this thread has passed between"
        );
        assert!(cpu.killed().is_none());
    }

    #[test]
    fn spinning_is() {
        let mut cpu = CpuLimit::default();
        cpu.arm(Duration::from_millis(1));
        let mut ticks = 0;
        while cpu.tick().is_ok() {
            ticks += 1;
        }
        assert!(ticks > 0);
        assert_eq!(cpu.killed(), Some(Duration::from_millis(1)));
        assert!(cpu.spent() >= Duration::from_millis(1));
    }
}
