//! Counters that each thread keeps for itself, and that are added up when somebody looks.
//!
//! Two threads that count into one cache line take it from each other at every call. Here a thread writes a
//! block of memory that no other one writes, so counting is a load and a store.
//!
//! Invariants
//! - a slot has one thread at a time, and its successor sees what it counted
//! - threads beyond the slots share one block and add to it atomically
//! - a sum never goes back: nothing is reset, and blocks of threads that have ended stay

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::available_parallelism,
};

use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, LabelPair, Metric, MetricFamily, MetricType},
};

/// Of threads that count much there is, by default, at most one for each core.
const SLOTS_MAX: usize = 64;
const SLOTS_MIN: usize = 4;

/// One number of one block.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

/// Who writes a block.
#[derive(Clone, Copy, Debug)]
pub enum Writer {
    /// One thread.
    Sole,
    Many,
}

impl Tally {
    pub fn add(&self, by: u64, writer: Writer) {
        match writer {
            Writer::Sole => self.0.store(self.get().wrapping_add(by), Ordering::Relaxed),
            Writer::Many => {
                self.0.fetch_add(by, Ordering::Relaxed);
            }
        }
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Shares no cache line with a neighbour; 128 because some machines fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

type Block<T> = OnceLock<Box<Padded<T>>>;

/// A block for each thread that counts, made when it first does; the last is of the threads without a slot. A clone
/// counts into the same blocks.
#[derive(Debug)]
pub struct Sharded<T>(Arc<[Block<T>]>);

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self((0..=slots()).map(|_| Block::new()).collect())
    }
}

impl<T: Default> Sharded<T> {
    /// The calling thread's block.
    pub fn mine(&self) -> (&T, Writer) {
        // A thread that is ending has given its slot back.
        let slot = SLOT.try_with(|slot| slot.0).unwrap_or(usize::MAX);
        let last = self.0.len() - 1;
        let (at, writer) = match slot < last {
            true => (slot, Writer::Sole),
            false => (last, Writer::Many),
        };
        (&self.0[at].get_or_init(Box::default).0, writer)
    }

    /// One number, summed over all blocks.
    pub fn sum(&self, number: impl Fn(&T) -> u64) -> u64 {
        { self.0.iter() }
            .filter_map(OnceLock::get)
            .map(|block| number(&block.0))
            .fold(0, u64::wrapping_add)
    }
}

fn slots() -> usize {
    static SLOTS: OnceLock<usize> = OnceLock::new();
    *SLOTS.get_or_init(|| {
        // The data plane, and the few others that count: listeners, faces.
        let threads = available_parallelism().map_or(SLOTS_MIN, |cores| cores.get() + 2);
        threads.clamp(SLOTS_MIN, SLOTS_MAX)
    })
}

/// The slot of a thread, from its first count to its end.
struct Slot(usize);

struct Slots {
    next: usize,
    free: Vec<usize>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Slots {
    next: 0,
    free: Vec::new(),
});

thread_local! {
    static SLOT: Slot = Slot::take();
}

impl Slot {
    fn take() -> Self {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.next += 1;
            slots.next - 1
        });
        Self(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The lock orders this thread's counts before those of whoever takes the slot next.
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.push(self.0);
    }
}

/// A counter without labels or with fixed ones: one number for each thread.
#[derive(Clone, Debug, Default)]
pub struct ThreadCounter(Sharded<Tally>);

impl ThreadCounter {
    pub fn inc_by(&self, by: u64) {
        let (tally, writer) = self.0.mine();
        tally.add(by, writer);
    }

    pub fn get(&self) -> u64 {
        self.0.sum(Tally::get)
    }
}

/// One family of [`ThreadCounter`]s, told apart by one label.
#[derive(Debug)]
pub struct ThreadCounters {
    desc: Desc,
    label: &'static str,
    counters: Vec<(&'static str, ThreadCounter)>,
}

impl ThreadCounters {
    pub fn new<const N: usize>(
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> prometheus::Result<(Self, [ThreadCounter; N])> {
        let labels = vec![label.to_owned()];
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        let counters: [ThreadCounter; N] = std::array::from_fn(|_| ThreadCounter::default());
        let shown = Self {
            desc,
            label,
            counters: values.into_iter().zip(counters.iter().cloned()).collect(),
        };
        Ok((shown, counters))
    }
}

impl Collector for ThreadCounters {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metric = |(value, counter): &(&str, ThreadCounter)| {
            counter_metric(&[(self.label, value)], counter.get())
        };
        let metrics = self.counters.iter().map(metric).collect();
        vec![family(&self.desc, MetricType::COUNTER, metrics)]
    }
}

/// A family as the registry takes it.
pub fn family(desc: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

pub fn label_pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

pub fn counter_metric(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(label_pairs(labels));
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_ended_threads_counted_stays_and_many_threads_lose_nothing() {
        let counter = ThreadCounter::default();
        // More at once than there are slots, and twice, so that slots change hands.
        for _ in 0..2 {
            thread::scope(|scope| {
                for _ in 0..SLOTS_MAX + 8 {
                    scope.spawn(|| (0..1000).for_each(|_| counter.inc_by(2)));
                }
            });
        }
        assert_eq!(counter.get(), 2 * 2 * 1000 * (SLOTS_MAX as u64 + 8));
    }

    #[test]
    fn a_thread_keeps_its_block_and_shares_it_with_no_other() {
        let sharded = Sharded::<Tally>::default();
        let address = |tally: &Tally| std::ptr::from_ref(tally) as usize;
        let mine = address(sharded.mine().0);
        assert_eq!(address(sharded.mine().0), mine);
        let other = thread::scope(|scope| scope.spawn(|| address(sharded.mine().0)).join());
        assert!(other.unwrap().abs_diff(mine) >= 128);
    }

    #[test]
    fn the_family_shows_the_sum_of_all_threads() {
        let (shown, [a, b]) = ThreadCounters::new("x_total", "X.", "way", ["in", "out"]).unwrap();
        a.inc_by(1);
        thread::scope(|scope| drop(scope.spawn(|| a.inc_by(2)).join()));
        b.inc_by(5);
        let families = shown.collect();
        let values: Vec<(String, f64)> = families[0]
            .get_metric()
            .iter()
            .map(|metric| {
                let value = metric.get_counter().get_value();
                (metric.get_label()[0].value().to_owned(), value)
            })
            .collect();
        assert_eq!(values, [("in".to_owned(), 3.0), ("out".to_owned(), 5.0)]);
    }
}
