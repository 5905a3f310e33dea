//! The circuit of one plugin: opened by failures in a short time, closed only by a probe.
//!
//! ```text
//! closed ── three kills, or five failures, within ten seconds ──> open
//!   ^                                                              │
//!   └───────────────── a probe that ends in order ─────────────────┘
//! ```

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
    /// Touched only by failures.
    recent: Mutex<VecDeque<(Instant, Fault)>>,
}

const WINDOW: Duration = Duration::from_secs(10);
const KILLS: usize = 3;
const FAULTS: usize = 5;

impl Circuit {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether this very fault opened the circuit.
    pub(super) fn record(&self, fault: Fault, now: Instant) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
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
            return false;
        }
        recent.clear();
        !self.open.swap(true, Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(faults: &[(u64, Fault)]) -> bool {
        let circuit = Circuit::default();
        let start = Instant::now();
        let opened = faults
            .iter()
            .filter(|(at, fault)| circuit.record(*fault, start + Duration::from_secs(*at)))
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
            (0..3).filter(|_| circuit.record(Fault::Kill, now)).count(),
            1
        );
        circuit.close();
        assert!(!circuit.record(Fault::Kill, now));
        assert!(!circuit.is_open());
    }
}
