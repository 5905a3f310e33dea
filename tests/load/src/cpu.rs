//! What a process has used, from `/proc`.

use std::{fs, io, time::Duration};

/// `/proc` counts in units of USER_HZ, which Linux has fixed at 100 for every architecture we run
/// on: 10 ms, so about one percent of a cell of one second.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of process `pid`, all its threads together.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    ticks(&format!("/proc/{pid}/stat"))
}

/// User and system time of the calling thread.
pub(crate) fn thread_cpu_time() -> io::Result<Duration> {
    ticks("/proc/thread-self/stat")
}

/// Memory of process `pid` that is in use now.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kib| kib.parse().ok());
    kib.map(|kib: u64| kib * 1024).ok_or_else(unreadable)
}

fn ticks(path: &str) -> io::Result<Duration> {
    let stat = fs::read_to_string(path)?;
    // The name, second field, may hold spaces and brackets: count from the last bracket on.
    let (_, fields) = stat.rsplit_once(')').ok_or_else(unreadable)?;
    let mut times = fields
        .split_whitespace()
        .skip(11)
        .map_while(|field| field.parse::<u32>().ok());
    match (times.next(), times.next()) {
        (Some(user), Some(system)) => Ok(TICK * (user + system)),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "/proc reads differently than expected",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_readable() {
        assert!(cpu_time(std::process::id()).is_ok());
        assert!(thread_cpu_time().is_ok());
        assert!(resident_bytes(std::process::id()).unwrap() > 4096);
    }
}
