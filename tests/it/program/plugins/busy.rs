//! A machine that has other things to do kills no innocent plugin: a deadline counts the guest's own time.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::task::LocalSet;

use super::{app, caller, calls, is_full, is_in_state};
use crate::{
    broker::{Broker, CONFIG, Transport},
    program::{
        caller::{Load, wait_for},
        run,
    },
};

const SECONDS: u64 = 4;
const SECONDS_FULL: u64 = 600;

/// Keeps every core busy, twice over, until it is dropped.
struct Burning {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Burning {
    fn start() -> Self {
        let stop = Arc::<AtomicBool>::default();
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let burn = |stop: Arc<AtomicBool>| {
            let mut number = 1_u64;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..100_000 {
                    number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
                }
            }
        };
        let threads = (0..cores * 2).map(|_| {
            let stop = stop.clone();
            thread::spawn(move || burn(stop))
        });
        Self {
            threads: threads.collect(),
            stop,
        }
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_busy_machine_kills_no_innocent_plugin() {
    let config = "[[plugin]]\nname = \"limit\"\nfile = \"builtin:rate-limit\"\n\
                  allow = [\"kv\", \"metrics\"]\ndeadline = \"1ms\"\n\
                  [plugin.settings]\ncalls = 4000000000\nper = 86400.0\nby = \"app\"\n\
                  [[plugin]]\nname = \"near\"\nfile = \"builtin:endpoint-tags\"\ndeadline = \"1ms\"\n\
                  [plugin.settings]\nprefer = \"zone:eu or zone:us\"\n\
                  [[plugin]]\nname = \"audit\"\nfile = \"builtin:audit\"\n\
                  allow = [\"log\", \"metrics\"]\n[plugin.settings]\n";
    let broker = Broker::start_with(&format!("{CONFIG}{config}"));
    let seconds = if is_full() { SECONDS_FULL } else { SECONDS };
    let work = async {
        let uri = broker.uri(Transport::Tcp);
        let _one = app(uri, "one", "shop.Orders", &[("zone", "eu")]).await;
        let _two = app(uri, "two", "shop.Orders", &[("zone", "us")]).await;
        let shop = caller(uri, "shop", &[]).await;
        wait_for(&shop, "shop.Orders.list").await;
        let burning = Burning::start();
        let mut load = Load::start(&shop, "shop.Orders.list", 16);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        load.stop().await;
        drop(burning);
        assert_eq!(load.errors(), Vec::<String>::new());
        println!("{} calls in {seconds} busy seconds", load.total());
        for plugin in ["limit", "near", "audit"] {
            assert!(is_in_state(&broker, plugin, "live"), "{plugin}");
            for outcome in [
                "deadline",
                "trap",
                "chain_deadline",
                "timeout",
                "circuit_open",
            ] {
                assert_eq!(calls(&broker, plugin, outcome), 0.0, "{plugin}: {outcome}");
            }
        }
        assert!(calls(&broker, "limit", "pass") >= load.total() as f64);
    };
    run(LocalSet::new().run_until(work));
}
