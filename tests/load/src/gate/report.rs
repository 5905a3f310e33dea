//! Medians of per-round ratios, as a table and as a verdict.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use crate::tally::Tally;

use super::scene::{Bar, Scene};

const JACKFIELD: &str = "jackfield";
const SYSTEMS: [&str; 4] = ["direct", "haproxy", "nats", JACKFIELD];

/// All cells of one scene.
pub(super) struct Results {
    scene: &'static Scene,
    rounds: usize,
    cell: Duration,
    cells: BTreeMap<(&'static str, usize), Tally>,
}

/// What one bar came to.
struct Judged {
    what: String,
    value: Spread,
    bound: f64,
    passed: bool,
}

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Results {
    pub(super) fn new(scene: &'static Scene, rounds: usize, cell: Duration) -> Self {
        Self {
            scene,
            rounds,
            cell,
            cells: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, system: &'static str, round: usize, tally: Tally) {
        self.cells.insert((system, round), tally);
    }

    pub(super) fn passed(&self) -> bool {
        self.faults().is_empty() && self.judged().iter().all(|judged| judged.passed)
    }

    pub(super) fn table(&self) -> String {
        let Scene {
            name,
            connections,
            window,
            responders,
            size,
            pinned,
            ..
        } = self.scene;
        let cores = if *pinned {
            "one core for all"
        } else {
            "unpinned"
        };
        let mut text = format!(
            "\n{name}: {connections} callers x {window} in flight, {responders} responders, \
             {size} B, {cores}; {} rounds of {:.1} s\n\
             {:<10} {:>9} {:>8} {:>8} {:>9} {:>16} {:>9} {:>9} {:>10} {:>9}\n",
            self.rounds,
            self.cell.as_secs_f64(),
            "",
            "calls/s",
            "p50 us",
            "p99 us",
            "added us",
            "cpu us: relay",
            "responder",
            "caller",
            "x haproxy",
            "x direct",
        );
        for system in self.systems() {
            let median = |value: &dyn Fn(&Tally) -> f64| self.median(system, value);
            let _ = writeln!(
                text,
                "{system:<10} {:>9.0} {:>8.1} {:>8.1} {:>9.1} {:>16.2} {:>9.2} {:>9.2} {:>10.2} {:>9.2}",
                median(&Tally::rate),
                median(&p50),
                median(&|tally| tally.latency_us(0.99)),
                self.spread(|round| self.added(system, round)).median,
                median(&|tally| watched(tally).0),
                median(&|tally| watched(tally).1),
                median(&|tally| tally.per_call(tally.cpu)),
                self.rate_ratio(system, "haproxy").median,
                self.rate_ratio(system, "direct").median,
            );
        }
        for Judged {
            what,
            value,
            bound,
            passed,
        } in self.judged()
        {
            let Spread { low, median, high } = value;
            let verdict = if passed { "PASS" } else { "FAIL" };
            let _ = writeln!(
                text,
                "{verdict}  {what} {bound:.2}: {median:.2} (quartiles {low:.2} to {high:.2})"
            );
        }
        for fault in self.faults() {
            let _ = writeln!(text, "FAIL  {fault}");
        }
        text
    }

    /// One JSON line per bar, and one per fault.
    pub(super) fn verdict_json(&self) -> String {
        let scene = self.scene.name;
        let mut text = String::new();
        for Judged {
            what,
            value,
            bound,
            passed,
        } in self.judged()
        {
            let Spread { low, median, high } = value;
            let _ = writeln!(
                text,
                "{{\"scene\":\"{scene}\",\"bar\":\"{what}\",\"bound\":{bound},\"value\":{median:.3},\
                 \"quartiles\":[{low:.3},{high:.3}],\"passed\":{passed}}}"
            );
        }
        for fault in self.faults() {
            let fault = crate::tally::json_string(&fault);
            let _ = writeln!(
                text,
                "{{\"scene\":\"{scene}\",\"fault\":{fault},\"passed\":false}}"
            );
        }
        text
    }

    fn judged(&self) -> Vec<Judged> {
        if !self.systems().any(|system| system == JACKFIELD) {
            return Vec::new();
        }
        self.scene.bars.iter().map(|bar| self.judge(*bar)).collect()
    }

    fn judge(&self, bar: Bar) -> Judged {
        match bar {
            Bar::Rate { of, at_least } => {
                let value = self.rate_ratio(JACKFIELD, of);
                let what = format!("calls per second, {JACKFIELD} / {of}, at least");
                Judged {
                    what,
                    value,
                    bound: at_least,
                    passed: value.median >= at_least,
                }
            }
            Bar::Added { of, at_most } => {
                let ratio = |round| Some(self.added(JACKFIELD, round)? / self.added(of, round)?);
                let value = self.spread(ratio);
                let what = format!("latency added to direct, {JACKFIELD} / {of}, at most");
                Judged {
                    what,
                    value,
                    bound: at_most,
                    passed: value.median <= at_most,
                }
            }
        }
    }

    /// Cells that are no result, in words.
    fn faults(&self) -> Vec<String> {
        let unclean = self
            .cells
            .iter()
            .filter(|(_, tally)| !tally.clean() || tally.measured == 0);
        let word = |((system, round), tally): (&(&str, usize), &Tally)| {
            let why = tally
                .first_failure
                .as_deref()
                .unwrap_or("calls without an answer");
            format!("{system}, round {}: {why}", round + 1)
        };
        unclean.map(word).collect()
    }

    fn systems(&self) -> impl Iterator<Item = &'static str> {
        SYSTEMS
            .into_iter()
            .filter(|system| self.cells.contains_key(&(*system, 0)))
    }

    fn rate_ratio(&self, system: &'static str, of: &'static str) -> Spread {
        self.spread(|round| {
            Some(self.cells.get(&(system, round))?.rate() / self.cells.get(&(of, round))?.rate())
        })
    }

    /// Microseconds by which the median call is slower than a direct one of the same round.
    fn added(&self, system: &'static str, round: usize) -> Option<f64> {
        Some(p50(self.cells.get(&(system, round))?) - p50(self.cells.get(&("direct", round))?))
    }

    fn median(&self, system: &'static str, value: &dyn Fn(&Tally) -> f64) -> f64 {
        self.spread(|round| self.cells.get(&(system, round)).map(value))
            .median
    }

    fn spread(&self, value: impl Fn(usize) -> Option<f64>) -> Spread {
        Spread::of((0..self.rounds).filter_map(value).collect())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * values.len().saturating_sub(1) as f64;
            let (below, above) = (
                values.get(place.floor() as usize),
                values.get(place.ceil() as usize),
            );
            match (below, above) {
                (Some(below), Some(above)) => below + (above - below) * place.fract(),
                _ => f64::NAN,
            }
        };
        Self {
            low: at(0.25),
            median: at(0.5),
            high: at(0.75),
        }
    }
}

/// CPU microseconds per call of the relay, if there is one, and of the responder.
pub(super) fn watched(tally: &Tally) -> (f64, f64) {
    match tally.watched[..] {
        [relay, responder] => (tally.per_call(relay), tally.per_call(responder)),
        [responder] => (0.0, tally.per_call(responder)),
        _ => (f64::NAN, f64::NAN),
    }
}

fn p50(tally: &Tally) -> f64 {
    tally.latency_us(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: Scene = Scene {
        name: "test",
        connections: 1,
        window: 1,
        responders: 1,
        size: 8,
        pinned: false,
        bars: &[
            Bar::Rate {
                of: "haproxy",
                at_least: 0.8,
            },
            Bar::Added {
                of: "haproxy",
                at_most: 1.25,
            },
        ],
    };

    fn cell(calls: u64, micros: u64) -> Tally {
        let mut tally = Tally::new();
        tally.elapsed = Duration::from_secs(1);
        (tally.issued, tally.answered, tally.measured) = (calls, calls, calls);
        tally.latency.saturating_record(micros * 1000);
        tally
    }

    fn results(jackfield: &[(u64, u64)]) -> Results {
        static IT: Scene = SCENE;
        let mut results = Results::new(&IT, jackfield.len(), Duration::from_secs(1));
        for (round, (calls, micros)) in jackfield.iter().enumerate() {
            results.add("direct", round, cell(4000, 10));
            results.add("haproxy", round, cell(1000, 30));
            results.add(JACKFIELD, round, cell(*calls, *micros));
        }
        results
    }

    #[test]
    fn the_median_of_the_rounds_decides() {
        assert!(results(&[(100, 90), (800, 35), (900, 33)]).passed());
        assert!(!results(&[(100, 30), (790, 30), (900, 30)]).passed());
        assert!(!results(&[(900, 30), (900, 36), (900, 37)]).passed());
    }

    #[test]
    fn a_failed_call_is_a_failed_gate() {
        let mut results = results(&[(1000, 30)]);
        let mut tally = cell(1000, 30);
        (tally.issued, tally.failed) = (1001, 1);
        results.add("haproxy", 0, tally);
        assert!(!results.passed());
        assert!(results.table().contains("FAIL  haproxy, round 1"));
    }

    #[test]
    fn without_the_broker_nothing_is_judged() {
        let mut results = results(&[]);
        results.rounds = 1;
        results.add("direct", 0, cell(1, 1));
        assert!(results.passed() && results.judged().is_empty());
    }

    #[test]
    fn quartiles_are_interpolated() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            spread,
            Spread {
                low: 1.75,
                median: 2.5,
                high: 3.25
            }
        );
    }
}
