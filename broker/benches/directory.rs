//! What a look-up costs, from one service to a hundred thousand; and what registering those takes.
//!
//!     cargo bench -p jackfield --bench directory
//!
//! Interleaved rounds in one run; medians. A look-up is what a request does that is not remembered: the name parsed,
//! the slot found, an instance picked. Remembered requests begin at the pick.

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield::directory::{App, Balance, Client, Directory, Endpoint, Pick};
use jackfield_rsocket::metadata::{Route, Service};

const COUNTS: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
const SERVICES_PER_APP: usize = 100;
const ROUNDS: usize = 31;
const CALLS: usize = 20_000;
/// Names asked for in turn: as many as callers use at a time, so that the memory they are in is as warm as theirs.
const HOT: usize = 64;

fn main() {
    let worlds: Vec<World> = COUNTS.iter().map(|count| World::new(*count)).collect();
    let mut looks = vec![Vec::new(); worlds.len()];
    let mut picks = vec![Vec::new(); worlds.len()];
    for _ in 0..ROUNDS {
        for (at, world) in worlds.iter().enumerate() {
            looks[at].push(world.look_up());
            picks[at].push(world.pick());
        }
    }
    println!("services  register    look-up   remembered");
    for (at, world) in worlds.iter().enumerate() {
        println!(
            "{:>8}  {:>7.1} ms {:>6.0} ns {:>9.0} ns",
            COUNTS[at],
            world.took.as_secs_f64() * 1e3,
            median(&mut looks[at]),
            median(&mut picks[at]),
        );
    }
    println!(
        "spread of the medians: look-up {:.0} %, remembered {:.0} %",
        spread(&mut looks),
        spread(&mut picks)
    );
}

/// How far the dearest is above the cheapest, in percent.
fn spread(curve: &mut [Vec<f64>]) -> f64 {
    let medians: Vec<f64> = curve.iter_mut().map(|it| median(it)).collect();
    let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let most = medians.iter().copied().fold(0.0, f64::max);
    (most / least - 1.0) * 100.0
}

struct World {
    directory: Directory<usize>,
    routes: Vec<String>,
    took: Duration,
}

impl World {
    fn new(count: usize) -> Self {
        let directory = Directory::default();
        let services: Vec<Service> = (0..count)
            .map(|n| Service::new("", &name(n), "").expect("a name"))
            .collect();
        let apps: Vec<Vec<Service>> = services
            .chunks(SERVICES_PER_APP)
            .map(<[Service]>::to_vec)
            .collect();
        let begun = Instant::now();
        for (number, services) in apps.into_iter().enumerate() {
            let registered = directory.register(app(number), services, number);
            registered.expect("a uuid of its own");
        }
        directory.publish();
        let took = begun.elapsed();
        let step = (count / HOT).max(1);
        let routes = (0..count).step_by(step).take(HOT);
        Self {
            directory,
            routes: routes.map(|n| name(n) + ".find").collect(),
            took,
        }
    }

    fn look_up(&self) -> f64 {
        let routes = &self.routes;
        per_call(|n| {
            let route = Route::parse(black_box(&routes[n % routes.len()]));
            let slot = self.directory.find(&route.key()).expect("it is there");
            black_box(slot.pick(by(n), |_| true));
        })
    }

    fn pick(&self) -> f64 {
        let found = |route: &String| self.directory.find(&Route::parse(route).key());
        let slots: Vec<Arc<_>> = self.routes.iter().filter_map(found).collect();
        per_call(|n| {
            let slot = &slots[n % slots.len()];
            black_box(!slot.is_retired());
            black_box(slot.pick(by(n), |_| true));
        })
    }
}

fn by(random: usize) -> Pick<'static> {
    Pick {
        endpoint: Endpoint(""),
        balance: Balance::LeastLoaded,
        random: random as u64,
    }
}

fn name(n: usize) -> String {
    format!("com.example.many.Service{n}")
}

fn app(number: usize) -> App {
    App {
        uuid: format!("00000000-0000-4000-8000-{number:012}"),
        name: "many".into(),
        ip: "10.0.0.1".into(),
        remote: None,
        transport: "tcp",
        sdk: None,
        power: 1,
        metadata: BTreeMap::new(),
        connected_at_ms: 0,
        owner: None,
        client: Client::default(),
    }
}

fn per_call(mut call: impl FnMut(usize)) -> f64 {
    let begun = Instant::now();
    (0..CALLS).for_each(&mut call);
    begun.elapsed().as_nanos() as f64 / CALLS as f64
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
