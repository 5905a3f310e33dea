//! One of the candidates.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::Instance;

/// How calls are spread over the instances that may take them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    Random,
    RoundRobin,
    /// The least calls in flight for its weight: of all when they are few, else of two by chance. Among equals chance
    /// decides, by weight.
    #[default]
    LeastLoaded,
}

/// A rule an instance must fit: `ip:`, `uuid:`, `id:` or `key:value` of its metadata. Several,
/// joined by commas, must all hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint<'a>(pub &'a str);

impl Endpoint<'_> {
    pub const fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    pub fn admits<H>(&self, instance: &Instance<H>) -> bool {
        // The whole text first: a value may hold a comma of its own.
        fits(self.0, instance)
            || (self.0.contains(',') && self.0.split(',').all(|rule| fits(rule.trim(), instance)))
    }
}

fn fits<H>(rule: &str, instance: &Instance<H>) -> bool {
    let Some((key, value)) = rule.split_once(':') else {
        return false;
    };
    let app = &instance.app;
    match key {
        "ip" => app.ip == value || app.remote.is_some_and(|ip| ip.to_string() == value),
        "uuid" => app.uuid == value,
        // The archived broker means the uuid in one place and the number in another.
        "id" => app.uuid == value || value.parse() == Ok(instance.id),
        key => app.metadata.get(key).is_some_and(|held| held == value),
    }
}

/// What a pick is made by.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    pub endpoint: Endpoint<'a>,
    pub balance: Balance,
    /// Any number, new for each pick.
    pub random: u64,
}

/// Candidates up to this many are all looked at for the least loaded one.
const SCAN_MAX: usize = 8;

/// One of `candidates` that fits the endpoint and that `usable` says yes to; `turn` is the slot's
/// own counter for round-robin. The loads are read here, so each pick sees the last one.
pub fn pick<'c, H>(
    candidates: &'c [Arc<Instance<H>>],
    turn: &AtomicUsize,
    by: Pick<'_>,
    usable: impl Fn(&Instance<H>) -> bool,
) -> Option<&'c Arc<Instance<H>>> {
    let len = candidates.len();
    if len == 0 {
        return None;
    }
    let able = |instance: &Instance<H>| {
        !instance.is_away()
            && (by.endpoint.is_any() || by.endpoint.admits(instance))
            && usable(instance)
    };
    let start = match by.balance {
        Balance::RoundRobin => turn.fetch_add(1, Relaxed) % len,
        Balance::Random | Balance::LeastLoaded => (by.random % len as u64) as usize,
    };
    let from = |start: usize| (0..len).map(move |at| &candidates[(start + at) % len]);
    match by.balance {
        Balance::RoundRobin => from(start).find(|instance| able(instance)),
        Balance::Random => weighted(candidates, by.random, able),
        Balance::LeastLoaded if len <= SCAN_MAX => {
            let fit = candidates.iter().filter(|instance| able(instance));
            least_loaded(fit, by.random)
        }
        Balance::LeastLoaded => {
            let one = from(start).find(|instance| able(instance))?;
            let other_start = ((by.random >> 32) % len as u64) as usize;
            let other = from(other_start).find(|instance| able(instance))?;
            least_loaded([one, other].into_iter(), by.random)
        }
    }
}

/// The one with the fewest calls in flight per unit of weight. Among equals, such as all those that
/// are idle, chance decides by weight.
fn least_loaded<'c, H>(
    among: impl Iterator<Item = &'c Arc<Instance<H>>>,
    random: u64,
) -> Option<&'c Arc<Instance<H>>> {
    let mut chance = Chance(random);
    let mut least: Option<(&Arc<Instance<H>>, u64)> = None;
    for instance in among {
        let power = u64::from(instance.power());
        let Some((held, so_far)) = least else {
            least = Some((instance, power));
            continue;
        };
        match by_load(instance, held) {
            Ordering::Less => least = Some((instance, power)),
            Ordering::Equal => {
                let total = so_far + power;
                let next = if chance.below(total) < power {
                    instance
                } else {
                    held
                };
                least = Some((next, total));
            }
            Ordering::Greater => {}
        }
    }
    least.map(|(instance, _)| instance)
}

/// Fewer calls in flight per unit of weight comes first.
fn by_load<H>(a: &Instance<H>, b: &Instance<H>) -> Ordering {
    let scaled = |x: &Instance<H>, y: &Instance<H>| u64::from(x.in_flight()) * u64::from(y.power());
    scaled(a, b).cmp(&scaled(b, a))
}

/// More numbers from one.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        // Splitmix64: good enough to spread calls, and a few instructions.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % end
    }
}

fn weighted<H>(
    candidates: &[Arc<Instance<H>>],
    random: u64,
    able: impl Fn(&Instance<H>) -> bool,
) -> Option<&Arc<Instance<H>>> {
    let weight = |instance: &Instance<H>| u64::from(instance.power());
    let fit = || candidates.iter().filter(|instance| able(instance));
    let total: u64 = fit().map(|instance| weight(instance)).sum();
    let mut mark = random.checked_rem(total)?;
    let mut last = None;
    for instance in fit() {
        if mark < weight(instance) {
            return Some(instance);
        }
        mark -= weight(instance);
        last = Some(instance);
    }
    // An instance left between the two looks.
    last
}
