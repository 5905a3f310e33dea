//! The `process_*` metrics, read from `/proc/self` when somebody asks. Elsewhere they are absent.

use std::{
    fs,
    sync::{Mutex, PoisonError},
};

use prometheus::{
    Counter, Gauge, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

#[derive(Debug)]
pub(super) struct ProcessCollector {
    cpu: Counter,
    /// One reader at a time, so that the counter grows by each difference once.
    reading: Mutex<()>,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    start_time: Gauge,
    threads: IntGauge,
}

/// What `/proc/self/stat` says that we show.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    start_ticks: u64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            reading: Mutex::default(),
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            max_fds: IntGauge::new(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            )?,
            virtual_memory: IntGauge::new(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
            )?,
            resident_memory: IntGauge::new(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            start_time: Gauge::new(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
            threads: IntGauge::new("process_threads", "Number of OS threads in the process.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.open_fds,
            &self.max_fds,
            &self.virtual_memory,
            &self.resident_memory,
            &self.start_time,
            &self.threads,
        ]
    }

    fn update(&self) -> Option<()> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let ticks = clock_ticks_per_second() as f64;
        let total = stat.cpu_ticks as f64 / ticks;
        self.cpu.inc_by((total - self.cpu.get()).max(0.0));
        self.threads.set(stat.threads);
        self.virtual_memory.set(stat.virtual_bytes);
        self.resident_memory
            .set(stat.resident_pages * i64::try_from(page_size()).ok()?);
        self.start_time
            .set(boot_time()? + stat.start_ticks as f64 / ticks);
        let open = fs::read_dir("/proc/self/fd").ok()?.count();
        self.open_fds.set(i64::try_from(open).ok()?);
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        self.max_fds.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Some(())
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.update().is_none() {
            return Vec::new();
        }
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

impl Stat {
    /// The command stands in parentheses and may hold anything, so fields count from the last one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        // Field n of proc(5) is number n - 3 here.
        let number = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        let signed = |n: usize| i64::try_from(number(n)?).ok();
        Some(Self {
            cpu_ticks: number(14)? + number(15)?,
            threads: signed(20)?,
            start_ticks: number(22)?,
            virtual_bytes: signed(23)?,
            resident_pages: signed(24)?,
        })
    }
}

/// Seconds since the epoch at which the machine started.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_spaces_and_parentheses() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 20 0 0 20 0 7 0 555 4096 3 1844";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                cpu_ticks: 120,
                threads: 7,
                start_ticks: 555,
                virtual_bytes: 4096,
                resident_pages: 3,
            })
        );
        assert_eq!(Stat::parse("42 (a"), None);
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }
}
