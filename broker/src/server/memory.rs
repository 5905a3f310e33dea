//! Keeps the process below `limits.memory`: measures, decides a stage, sheds.
//!
//! | stage | entered at | left below | does |
//! |---|---|---|---|
//! | 1 | 80 % | 75 % | readers' credit is topped up by one item at a time |
//! | 2 | 90 % | 85 % | new requests are REJECTED |
//! | 3 | 95 % | 90 % | new connections are refused; outboxes above their high mark take no more: their streams are cut |
//! | 4 | 100 % | 95 % | the link with the largest outbox is closed, one for each look |
//!
//! Requests refused for long are a worse harm than a reader lost that does not read: after [`PATIENCE`] in stage 2
//! or above, links above their high mark are closed too, down to the 75 % at which all is normal.
//!
//! Invariant: what was shed is believed to be free for [`RELIEF`], so that no more links are closed than needed
//! while the allocator gives memory back. Until then the process may be above its limit by what came in meanwhile.

use std::{
    collections::VecDeque,
    hint::black_box,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prometheus::IntGauge;

use crate::{
    relay::{MemoryStage, Relay},
    telemetry::{MetricsError, RateLimit, Registry},
};

use super::machine::memory_used;

/// The page that explains the stages.
const CODE: &str = "RST-910507";
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// The same from half the limit up: on a fast network the other half is gone in a fraction of a second.
const INTERVAL_SHORT: Duration = Duration::from_millis(20);
/// How long requests may be refused before those who do not read are closed.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the allocator may take to give back what was freed: it waits a second for somebody to want it.
const RELIEF: Duration = Duration::from_millis(1250);
/// Closing a link that holds less than this would gain nothing.
const SHED_MIN: usize = 64 * 1024;

/// Large enough to be a block of its own for the allocator; it is never written to.
const NUDGE: usize = 4 << 20;

/// Per cent of the limit at which each stage above the first is entered, and below which it is left.
const MARKS: [(MemoryStage, u64, u64); 4] = [
    (MemoryStage::Shed, 100, 95),
    (MemoryStage::RefuseConnections, 95, 90),
    (MemoryStage::RefuseRequests, 90, 85),
    (MemoryStage::HoldCredit, 80, 75),
];

/// The stage at so many bytes, coming from `now`.
fn stage(now: MemoryStage, used: u64, limit: u64) -> MemoryStage {
    let holds = |(stage, enter, leave): &&(MemoryStage, u64, u64)| {
        let mark = if now >= *stage { leave } else { enter };
        reaches(used, limit, *mark)
    };
    MARKS
        .iter()
        .find(holds)
        .map_or(MemoryStage::Normal, |(stage, ..)| *stage)
}

fn reaches(used: u64, limit: u64, percent: u64) -> bool {
    u128::from(used) * 100 >= u128::from(limit) * u128::from(percent)
}

/// What has been decided so far.
#[derive(Debug)]
struct Watch {
    limit: u64,
    /// The high mark of one link's outbox.
    high: usize,
    stage: MemoryStage,
    /// Since when requests have been refused.
    refusing: Option<Instant>,
    /// What was shed in the last [`RELIEF`].
    shed: VecDeque<(Instant, u64)>,
}

impl Watch {
    fn new(limit: u64, high: usize) -> Self {
        Self {
            limit,
            high,
            stage: MemoryStage::Normal,
            refusing: None,
            shed: VecDeque::new(),
        }
    }

    /// Takes a measurement. The new stage, if it is another one.
    fn look(&mut self, used: u64, now: Instant) -> Option<MemoryStage> {
        let new = stage(self.stage, used, self.limit);
        self.refusing = (new >= MemoryStage::RefuseRequests).then(|| self.refusing.unwrap_or(now));
        let changed = new != self.stage;
        self.stage = new;
        changed.then_some(new)
    }

    /// The least that a link must hold to be closed now; none when no link is to be.
    fn wants_shed(&mut self, used: u64, now: Instant) -> Option<usize> {
        self.shed.retain(|(at, _)| now < *at + RELIEF);
        let left = used.saturating_sub(self.shed.iter().map(|(_, bytes)| bytes).sum());
        let impatient = self.refusing.is_some_and(|since| now >= since + PATIENCE);
        if self.stage == MemoryStage::Shed && reaches(left, self.limit, 95) {
            Some(SHED_MIN)
        } else if impatient && reaches(left, self.limit, 75) {
            Some(self.high)
        } else {
            None
        }
    }

    fn has_shed(&mut self, bytes: usize, now: Instant) {
        self.shed.push_back((now, bytes as u64));
    }

    fn interval(&self, used: u64) -> Duration {
        if reaches(used, self.limit, 50) {
            INTERVAL_SHORT
        } else {
            INTERVAL
        }
    }
}

/// The thread that watches. Dropping this ends it.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// `limit` in bytes; `high` is the high mark of one link's outbox.
    pub(super) fn start(
        limit: u64,
        high: usize,
        relay: Arc<Relay>,
        registry: &Registry,
    ) -> Result<Self, io::Error> {
        let gauges = Gauges::register(registry).map_err(io::Error::other)?;
        gauges.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        let (stop, stopped) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("jackfield-memory".into())
            .spawn(move || watch(Watch::new(limit, high), &relay, &gauges, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

fn watch(mut watch: Watch, relay: &Relay, gauges: &Gauges, stopped: &Receiver<()>) {
    let lines = RateLimit::default();
    let mut interval = INTERVAL;
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let Some(used) = memory_used() else {
            tracing::warn!(
                "the system does not tell how much memory is used: limits.memory has no effect"
            );
            return;
        };
        let now = Instant::now();
        gauges.used.set(i64::try_from(used).unwrap_or(i64::MAX));
        if let Some(stage) = watch.look(used, now) {
            relay.set_memory_stage(stage);
            if lines.pass(CODE, now).is_some() {
                tell(stage, used, watch.limit);
            }
        }
        if let Some(least) = watch.wants_shed(used, now)
            && let Some(bytes) = relay.shed(least)
        {
            watch.has_shed(bytes, now);
        }
        if reaches(used, watch.limit, 25) {
            nudge_allocator();
        }
        interval = watch.interval(used);
    }
}

/// The allocator gives back what it has kept long enough when somebody frees a large block. In a process that has
/// nothing to do any more nobody would, and the stage would stay.
fn nudge_allocator() {
    drop(black_box(Vec::<u8>::with_capacity(NUDGE)));
}

fn tell(stage: MemoryStage, used: u64, limit: u64) {
    let (number, doing) = (stage as u8, stage.as_str());
    tracing::warn!(code = CODE, stage = number, used, limit, "memory: {doing}");
}

#[derive(Debug)]
struct Gauges {
    limit: IntGauge,
    used: IntGauge,
}

impl Gauges {
    fn register(registry: &Registry) -> Result<Self, MetricsError> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, MetricsError>(gauge)
        };
        Ok(Self {
            limit: gauge("jackfield_memory_limit_bytes", "limits.memory, in bytes.")?,
            used: gauge(
                "jackfield_memory_used_bytes",
                "What is measured against it: resident memory without pages of files.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemoryStage::{HoldCredit, Normal, RefuseConnections, RefuseRequests, Shed};

    #[test]
    fn a_stage_is_entered_at_its_mark_and_left_five_points_lower() {
        let mut now = Normal;
        for (used, expected) in [
            (79, Normal),
            (80, HoldCredit),
            (75, HoldCredit),
            (74, Normal),
            (89, HoldCredit),
            (90, RefuseRequests),
            (85, RefuseRequests),
            (84, HoldCredit),
            (95, RefuseConnections),
            (100, Shed),
            (95, Shed),
            (94, RefuseConnections),
            (89, RefuseRequests),
            (74, Normal),
            (1000, Shed),
            (0, Normal),
        ] {
            now = stage(now, used, 100);
            assert_eq!(now, expected, "at {used}");
        }
        assert_eq!(stage(Normal, u64::MAX, u64::MAX), Shed, "no overflow");
    }

    #[test]
    fn a_change_is_told_once() {
        let start = Instant::now();
        let mut watch = Watch::new(100, 4);
        let told: Vec<_> = [70, 85, 85, 92, 92, 70]
            .map(|used| watch.look(used, start))
            .into();
        assert_eq!(
            told,
            [
                None,
                Some(HoldCredit),
                None,
                Some(RefuseRequests),
                None,
                Some(Normal)
            ]
        );
    }

    #[test]
    fn what_was_shed_is_believed_to_be_free_for_a_while() {
        let start = Instant::now();
        let mut watch = Watch::new(1000, 4);
        watch.look(1100, start);
        assert_eq!(watch.wants_shed(1100, start), Some(SHED_MIN));
        watch.has_shed(100, start);
        assert_eq!(
            watch.wants_shed(1100, start),
            Some(SHED_MIN),
            "1000 are left"
        );
        watch.has_shed(100, start);
        assert_eq!(watch.wants_shed(1100, start), None, "900 are left");
        assert_eq!(watch.wants_shed(1100, start + RELIEF), Some(SHED_MIN));
    }

    #[test]
    fn requests_are_not_refused_for_ever_because_somebody_does_not_read() {
        let start = Instant::now();
        let mut watch = Watch::new(1000, 4);
        watch.look(920, start);
        assert_eq!(watch.wants_shed(920, start + PATIENCE / 2), None);
        watch.look(920, start + PATIENCE);
        let least = watch.wants_shed(920, start + PATIENCE);
        assert_eq!(least, Some(4), "only those above their mark");
        assert_eq!(watch.wants_shed(740, start + PATIENCE), None);
        watch.look(840, start + PATIENCE);
        watch.look(920, start + PATIENCE);
        assert_eq!(watch.wants_shed(920, start + PATIENCE), None, "anew");
    }

    #[test]
    fn it_looks_more_often_when_memory_is_short() {
        let watch = Watch::new(100, 4);
        assert_eq!(watch.interval(49), INTERVAL);
        assert_eq!(watch.interval(50), INTERVAL_SHORT);
    }
}
