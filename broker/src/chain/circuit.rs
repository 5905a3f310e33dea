//! The circuit of one plugin: opened by failures in a short time, closed only by a probe.
//!
//! ```text
//! closed ── three kills, or five failures, within ten seconds ──> open
//!   ^                                                              │
//!   └───────────────── a probe that ends in order ─────────────────┘
//! ```
//!
//! A plugin that fails again soon after a probe has passed is probed later than before: otherwise one that behaves
//! for probes only could kill three times in every tenth of a second.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A kill stole time from its neighbours; any other failure cost only its own request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Other,
}

#[derive(Default)]
pub(super) struct Circuit {
    open: AtomicBool,
    /// Touched only by failures and probes, and elsewhere so that what every call touches is small.
    history: Box<Mutex<History>>,
}

#[derive(Default)]
struct History {
    recent: VecDeque<(Instant, Fault)>,
    /// The pause after which a probe passed, and when.
    closed: Option<(Duration, Instant)>,
}

const WINDOW: Duration = Duration::from_secs(10);
const KILLS: usize = 3;
const FAULTS: usize = 5;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);

impl Circuit {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// When this very fault opened the circuit: the pause before the first probe.
    pub(super) fn record(&self, fault: Fault, now: Instant) -> Option<Duration> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = &mut history.recent;
        recent.push_back((now, fault));
        while recent
            .front()
            .is_some_and(|(then, _)| now.duration_since(*then) >= WINDOW)
        {
            recent.pop_front();
        }
        let kills = recent
            .iter()
            .filter(|(_, fault)| *fault == Fault::Kill)
            .count();
        if kills < KILLS && recent.len() < FAULTS {
            return None;
        }
        recent.clear();
        let pause = match history.closed {
            // Well for less than twice the pause: it was not well.
            Some((pause, at)) if now.duration_since(at) < WINDOW.max(pause * 2) => longer(pause),
            _ => PAUSE_FIRST,
        };
        (!self.open.swap(true, Ordering::Relaxed)).then_some(pause)
    }

    /// A probe passed, after this pause.
    pub(super) fn close(&self, pause: Duration, now: Instant) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.closed = Some((pause, now));
        self.open.store(false, Ordering::Relaxed);
    }
}

/// The pause after a probe that failed.
pub(super) fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(faults: &[(u64, Fault)]) -> bool {
        let circuit = Circuit::default();
        let start = Instant::now();
        let opened = faults
            .iter()
            .filter_map(|(at, fault)| circuit.record(*fault, start + Duration::from_secs(*at)))
            .count();
        assert_eq!(
            opened,
            usize::from(circuit.is_open()),
            "it opens at most once"
        );
        circuit.is_open()
    }

    #[test]
    fn opens_within_the_window_only() {
        use Fault::{Kill, Other};
        assert!(!after(&[(0, Kill), (1, Kill)]));
        assert!(after(&[(0, Kill), (1, Kill), (9, Kill)]));
        assert!(!after(&[(0, Kill), (1, Kill), (10, Kill)]));
        assert!(!after(&[(0, Other), (0, Other), (0, Other), (0, Other)]));
        assert!(after(&[
            (0, Other),
            (0, Other),
            (0, Kill),
            (0, Kill),
            (0, Other),
            (0, Kill)
        ]));
        assert!(after(&[(0, Other); 5]));
    }

    #[test]
    fn a_probe_closes_it_with_a_clean_sheet() {
        let circuit = Circuit::default();
        let now = Instant::now();
        assert_eq!(
            (0..3)
                .filter_map(|_| circuit.record(Fault::Kill, now))
                .count(),
            1
        );
        circuit.close(PAUSE_FIRST, now);
        assert_eq!(circuit.record(Fault::Kill, now), None);
        assert!(!circuit.is_open());
    }

    /// What behaves for probes only, and kills in between.
    #[test]
    fn who_falls_again_at_once_waits_ever_longer() {
        let circuit = Circuit::default();
        let falls = |at| (0..KILLS).find_map(|_| circuit.record(Fault::Kill, at));
        let mut now = Instant::now();
        let (mut kills, mut pauses) = (0, Vec::new());
        let end = now + Duration::from_secs(120);
        while now < end {
            let pause = falls(now).expect("three kills");
            kills += KILLS;
            pauses.push(pause.as_millis());
            now += pause;
            circuit.close(pause, now);
        }
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(*pauses.last().expect("some"), PAUSE_LONGEST.as_millis());
        assert!(kills <= 12 * KILLS, "{kills} in two minutes");
        // Well for long enough: it begins anew.
        let pause = falls(now + PAUSE_LONGEST * 2);
        assert_eq!(pause, Some(PAUSE_FIRST));
    }
}
