//! The harm bound: what a disturbance does to callers who have nothing to do with it.
//!
//! ```text
//! each pair:   calm ── calm again ── disturbed        an open loop at a share of capacity; the order turns
//! harm       = median over pairs of  p99(disturbed) - p99(calm)
//! A/A spread = upper quartile of    |p99(calm again) - p99(calm)|
//! allowed    = the largest of 10 % of the median calm p99, 200 us, and the A/A spread
//! ```
//!
//! Only differences within one pair are looked at, so that what else the machine does hits both.

mod churn;
mod disturb;

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use disturb::HOSTILE;

use crate::{
    gate::process::{Process, Scratch, arg, last_core, pin_this_thread},
    load::{Load, Pace, Target},
    tally::{Tally, json_string},
};

pub use disturb::Disturbance;

const FLOOR_US: f64 = 200.0;
const SHARE: f64 = 0.10;
/// From the start of a disturbance to the measurement.
const LEAD: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(250);
const CAPACITY_FOR: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Harm {
    pub target: Target,
    pub connections: usize,
    pub size: usize,
    pub pairs: usize,
    /// Length of a measurement.
    pub cell: Duration,
    /// Share of the capacity to load with.
    pub share: f64,
    /// Calls a second at full load; measured when not known.
    pub capacity: Option<f64>,
    /// What the disturbance is called in the report.
    pub name: String,
    /// Run by the shell, in a process group that is ended after each disturbed cell.
    pub disturbance: String,
}

/// One pair, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub calm: f64,
    pub again: f64,
    pub disturbed: f64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    pub disturbance: String,
    pub rate: f64,
    pub pairs: Vec<Pair>,
    /// Calls that were not answered as they should, in disturbed cells and in calm ones.
    pub failed: [u64; 2],
    pub first_failure: Option<String>,
}

impl Harm {
    pub fn run(&self) -> io::Result<Report> {
        let capacity = match self.capacity {
            Some(capacity) => capacity,
            None => self.capacity()?,
        };
        let mut report = Report {
            disturbance: self.name.clone(),
            rate: capacity * self.share,
            pairs: Vec::new(),
            failed: [0; 2],
            first_failure: None,
        };
        for number in 0..self.pairs {
            let mut p99 = [0.0; 3];
            for turn in 0..3 {
                let cell = (number + turn) % 3;
                let disturbed = cell == 2;
                let disturbing = disturbed
                    .then(|| Disturbing::start(&self.disturbance))
                    .transpose()?;
                if disturbed {
                    thread::sleep(LEAD);
                }
                let tally = self.cell(report.rate)?;
                drop(disturbing);
                p99[cell] = tally.latency_us(0.99);
                report.count(&tally, disturbed);
            }
            let [calm, again, disturbed] = p99;
            report.pairs.push(Pair {
                calm,
                again,
                disturbed,
            });
            eprintln!("{}: pair {} of {}", self.name, number + 1, self.pairs);
        }
        Ok(report)
    }

    fn load(&self) -> Load {
        let mut load = Load::new(self.target.clone());
        load.connections = self.connections;
        load.size = self.size;
        load.warm_up = WARM_UP;
        load
    }

    fn capacity(&self) -> io::Result<f64> {
        let mut load = self.load();
        load.pace = Pace::Closed { window: 4 };
        Ok(load.run(CAPACITY_FOR)?.rate())
    }

    fn cell(&self, rate: f64) -> io::Result<Tally> {
        let mut load = self.load();
        load.pace = Pace::Open { rate };
        load.run(self.cell)
    }
}

/// A disturbance that runs; dropping it ends its whole process group.
struct Disturbing(Child);

impl Disturbing {
    fn start(command: &str) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).process_group(0);
        shell
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self(shell.spawn()?))
    }
}

impl Drop for Disturbing {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl Report {
    fn count(&mut self, tally: &Tally, disturbed: bool) {
        let bad = tally.failed + tally.lost + tally.wrong + tally.closed + tally.unanswered();
        self.failed[usize::from(!disturbed)] += bad;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&tally.first_failure);
        }
    }

    /// In microseconds.
    pub fn harm(&self) -> f64 {
        quantile(
            self.pairs.iter().map(|pair| pair.disturbed - pair.calm),
            0.5,
        )
    }

    pub fn spread(&self) -> f64 {
        quantile(
            self.pairs.iter().map(|pair| (pair.again - pair.calm).abs()),
            0.75,
        )
    }

    pub fn allowed(&self) -> f64 {
        let calm = quantile(self.pairs.iter().map(|pair| pair.calm), 0.5);
        (SHARE * calm).max(FLOOR_US).max(self.spread())
    }

    /// Whether the callers were harmed no more than is allowed, and every call was answered.
    pub fn passed(&self) -> bool {
        self.failed == [0; 2] && !self.pairs.is_empty() && self.harm() <= self.allowed()
    }

    pub fn table(&self) -> String {
        let mut out = format!("{}, {:.0} calls/s\n", self.disturbance, self.rate);
        out.push_str("  pair   calm p99   again p99   disturbed p99   difference (us)\n");
        for (number, pair) in self.pairs.iter().enumerate() {
            out.push_str(&format!(
                "  {:>4} {:>10.0} {:>11.0} {:>15.0} {:>12.0}\n",
                number + 1,
                pair.calm,
                pair.again,
                pair.disturbed,
                pair.disturbed - pair.calm
            ));
        }
        out.push_str(&format!(
            "  harm {:.0} us, allowed {:.0} us (A/A spread {:.0} us), {} calls failed: {}\n",
            self.harm(),
            self.allowed(),
            self.spread(),
            self.failed[0] + self.failed[1],
            if self.passed() { "passed" } else { "MISSED" }
        ));
        if let Some(failure) = &self.first_failure {
            out.push_str(&format!("  first failure: {failure}\n"));
        }
        out
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        let pairs = self
            .pairs
            .iter()
            .map(|pair| format!("[{:.1},{:.1},{:.1}]", pair.calm, pair.again, pair.disturbed));
        format!(
            "{{\"disturbance\":{},\"rate\":{:.1},\"pairs_us\":[{}],\"harm_us\":{:.1},\
             \"allowed_us\":{:.1},\"spread_us\":{:.1},\"failed\":{},\"passed\":{}}}",
            json_string(&self.disturbance),
            self.rate,
            pairs.collect::<Vec<_>>().join(","),
            self.harm(),
            self.allowed(),
            self.spread(),
            self.failed[0] + self.failed[1],
            self.passed()
        )
    }
}

/// A broker and a responder of our own, to be harmed.
#[derive(Debug)]
pub struct Victim {
    pub target: Target,
    _processes: [Process; 2],
    _scratch: Scratch,
}

/// Where the victim's callers call.
pub const ROUTE: &str = "load.Echo.echo";
/// Where a disturbance calls: at the same responder.
pub const ROUTE_ITEMS: &str = "load.Echo.items";

impl Victim {
    /// `plugin`: a hostile one, for the service that only the attacker calls.
    pub fn start(broker: &Path, plugin: Option<&Path>) -> io::Result<Self> {
        let scratch = Scratch::new("harm")?;
        let data = scratch.path("data");
        let config = format!(
            "[node]\nname = \"harm\"\nthreads = 1\ndata-dir = \"{}\"\n\
             [[listen]]\nuri = \"tcp://127.0.0.1:0\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{}",
            arg(&data)?,
            plugin.map_or(Ok(String::new()), hostile)?,
        );
        let config = scratch.write("jackfield.toml", &config)?;
        let command = [arg(broker)?, "run", "--config", arg(&config)?];
        let core = apart()?;
        let relay = Process::start("jackfield", &command, core, &scratch)?;
        let address = relay.ready()?;
        let program = std::env::current_exe()?;
        let uri = format!("tcp://{address}");
        let command = [
            arg(&program)?,
            "respond",
            "--connect",
            &uri,
            "--connections",
            "4",
        ];
        let responder = Process::start("responder", &command, None, &scratch)?;
        responder.ready()?;
        let target = Target::RSocket {
            address,
            route: ROUTE.into(),
        };
        crate::gate::reach(&target)?;
        Ok(Self {
            target,
            _processes: [relay, responder],
            _scratch: scratch,
        })
    }
}

/// Its configuration: it never returns, and never gets well.
fn hostile(component: &Path) -> io::Result<String> {
    let component = std::path::absolute(component)?;
    let file = arg(&component)?;
    Ok(format!(
        "[[plugin]]\nname = \"hostile\"\nfile = \"{file}\"\nmatch = \"{HOSTILE}\"\n\
         allow = [\"log\", \"kv\", \"call\", \"http\"]\n[plugin.settings]\nmisdeed = \"loop\"\n"
    ))
}

/// Leaves the last core to the broker, and the others to everybody else: what callers, responder and
/// attacker cost each other on one machine, they do not on several.
fn apart() -> io::Result<Option<usize>> {
    match last_core()? {
        0 => {
            eprintln!("one core only: what is measured is not the broker's doing alone");
            Ok(None)
        }
        last => {
            pin_this_thread(&format!("0-{}", last - 1))?;
            Ok(Some(last))
        }
    }
}

fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    let at = last as f64 * share;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pairs: &[[f64; 3]]) -> Report {
        let pair = |&[calm, again, disturbed]: &[f64; 3]| Pair {
            calm,
            again,
            disturbed,
        };
        Report {
            disturbance: "nothing".into(),
            rate: 1.0,
            pairs: pairs.iter().map(pair).collect(),
            failed: [0; 2],
            first_failure: None,
        }
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile([].into_iter(), 0.5), 0.0);
        assert_eq!(quantile([7.0].into_iter(), 0.75), 7.0);
        assert_eq!(quantile([3.0, 1.0, 2.0].into_iter(), 0.5), 2.0);
        assert_eq!(quantile([1.0, 2.0].into_iter(), 0.5), 1.5);
    }

    #[test]
    fn the_largest_of_three_is_allowed() {
        // Ten percent of 5000 us.
        let slow = report(&[[5000.0, 5010.0, 5499.0], [5000.0, 4990.0, 5499.0]]);
        assert_eq!((slow.harm(), slow.allowed()), (499.0, 500.0));
        assert!(slow.passed());
        // The floor, and one outlier does not decide.
        let quick = report(&[
            [100.0, 110.0, 290.0],
            [100.0, 90.0, 295.0],
            [100.0, 100.0, 90_000.0],
        ]);
        assert_eq!((quick.harm(), quick.allowed()), (195.0, 200.0));
        assert!(quick.passed());
        assert!(!report(&[[100.0, 100.0, 301.0]]).passed());
        // What the machine does on its own.
        let noisy = report(&[[100.0, 900.0, 800.0], [100.0, 900.0, 850.0]]);
        assert!(noisy.spread() > 700.0 && noisy.passed());
        let mut failing = report(&[[100.0, 100.0, 100.0]]);
        failing.failed = [1, 0];
        assert!(!failing.passed());
        assert!(!report(&[]).passed(), "nothing measured is nothing proved");
    }
}
