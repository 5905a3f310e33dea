//! Attacks on the running broker, each with a bound on its memory and on the harm to somebody who
//! behaves.
//!
//! Every test starts a broker of its own with small limits, measures a neighbour in peace, attacks,
//! and measures the neighbour meanwhile: none of its calls may fail, and it must get on. The bounds
//! here are coarse, so that a busy machine fails nobody; `jackfield-load harm` measures finely.
//!
//! `JACKFIELD_ATTACKS=full`, as `.ci/run --full` sets it, makes the attacks larger and longer.
//!
//! What is said here is written by hand, byte by byte: no client would say it.

mod credit;
mod flood;
mod fragments;
mod ids;
mod keepalive;
mod metadata;
mod neighbour;
mod peer;
mod push;
mod resume;
mod slow;
mod websocket;
mod ws_peer;

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::broker::{Broker, CONFIG};

/// One attack at a time: two at once would be each other's noise.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first number, or the second for the full size.
fn size<T>(small: T, full: T) -> T {
    match env::var("JACKFIELD_ATTACKS").as_deref() {
        Ok("full") => full,
        _ => small,
    }
}

/// How long an attack lasts that has no size of its own.
fn duration() -> Duration {
    Duration::from_secs(size(2, 20))
}

/// A broker with these lines in its `[limits]`.
fn broker(limits: &str) -> Broker {
    Broker::start_with(&format!("{CONFIG}\n[limits]\n{limits}\n"))
}

/// What memory may not exceed.
struct Memory {
    before: u64,
}

impl Memory {
    fn of(broker: &Broker) -> Self {
        Self {
            before: broker.memory_peak(),
        }
    }

    /// The peak since then, above the peak before.
    fn assert_grew_less_than(&self, broker: &Broker, mib: u64) {
        let grown = broker.memory_peak().saturating_sub(self.before);
        println!("memory grew by {} KiB, of {mib} MiB allowed", grown >> 10);
        assert!(
            grown < mib << 20,
            "memory grew by {grown} bytes, allowed are {mib} MiB\n{}",
            broker.errors()
        );
    }
}

/// The sum of all lines of a metric.
fn metric(broker: &Broker, name: &str) -> f64 {
    let address = broker.http();
    let mut stream = TcpStream::connect(address).expect("the face accepts");
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).expect("a limit");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let lines = answer.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok())
        .sum()
}

/// Open descriptors of the broker.
fn descriptors(broker: &Broker) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", broker.pid()));
    folder.expect("the broker is alive").count()
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
