//! The machine as a whole: descriptors, memory, clock, kernel.

use std::time::{Duration, SystemTime};

use crate::{
    config::{MemoryLimit, show_size},
    server::Descriptors,
};

use super::finding::Finding;

/// 2025-01-01 and 2100-01-01: outside, certificates and tokens are judged wrongly.
const YEARS: [Duration; 2] = [
    Duration::from_secs(1_735_689_600),
    Duration::from_secs(4_102_444_800),
];
const RESOLUTION_MAX: Duration = Duration::from_millis(1);
const STEP_MAX: Duration = Duration::from_millis(50);
/// Clock sources that cost a trip into the kernel or to a slow device at each look.
const SLOW_SOURCES: [&str; 3] = ["hpet", "acpi_pm", "jiffies"];

/// `limit` is the hard one: the broker raises the soft one to it.
pub(super) fn descriptors(found: Descriptors) -> Finding {
    const NAME: &str = "descriptors";
    let Descriptors { limit, needed } = found;
    let shown = limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    if found.suffice() {
        return Finding::good(NAME, format!("{shown}, of which {needed} are needed"));
    }
    Finding::bad(
        NAME,
        format!("{shown}, and limits.connections needs {needed}"),
        format!(
            "LimitNOFILE={needed} in the unit, or `ulimit -Hn {needed}` as root before the start; or lower limits.connections"
        ),
    )
}

pub(super) struct Memory {
    pub(super) limit: MemoryLimit,
    /// Of the machine or cgroup.
    pub(super) available: Option<u64>,
    /// Whether a cgroup sets it.
    pub(super) in_cgroup: bool,
    pub(super) outbox_hard: usize,
}

pub(super) fn memory(found: &Memory) -> Finding {
    const NAME: &str = "memory";
    let (Some(available), Some(limit)) = (found.available, found.limit.of(found.available)) else {
        let todo = "write a size in limits.memory, such as \"2GiB\"";
        return Finding::look(NAME, "the system does not tell how much there is", todo);
    };
    let owner = match found.in_cgroup {
        true => "the cgroup",
        false => "the machine",
    };
    let (shown, all) = (megabytes(limit), megabytes(available));
    if limit > available {
        let what = format!("limits.memory is {shown}, and {owner} has {all}");
        return Finding::bad(NAME, what, "set limits.memory = \"50%\"");
    }
    if limit > available / 10 * 9 {
        let what = format!(
            "limits.memory is {shown} of the {all} of {owner}: no room for socket buffers and bursts"
        );
        return Finding::look(NAME, what, "set limits.memory = \"75%\" or less");
    }
    let hard = found.outbox_hard as u64;
    if limit < 4 * hard {
        let what = format!(
            "limits.memory is {shown}; four slow readers may use it up, for limits.outbox-hard is {}",
            show_size(hard)
        );
        let todo = format!("set limits.outbox-hard = \"{}\"", megabytes(limit / 16));
        return Finding::look(NAME, what, todo);
    }
    Finding::good(NAME, format!("{shown} of the {all} of {owner}"))
}

fn megabytes(bytes: u64) -> String {
    format!("{}MiB", bytes >> 20)
}

/// `vm.overcommit_memory`.
pub(super) fn overcommit(mode: Option<u32>) -> Finding {
    const NAME: &str = "overcommit";
    match mode {
        Some(2) => Finding::look(
            NAME,
            "vm.overcommit_memory is 2: plugins reserve address space that they never use, and may not get it",
            "sysctl -w vm.overcommit_memory=0, or mind vm.overcommit_ratio",
        ),
        Some(mode) => Finding::good(NAME, format!("vm.overcommit_memory is {mode}")),
        None => Finding::good(NAME, "not known on this system"),
    }
}

pub(super) struct Clock {
    pub(super) now: SystemTime,
    /// The smallest step the monotonic clock was seen to make.
    pub(super) resolution: Duration,
    pub(super) source: Option<String>,
    /// By how much the system clock moved against the monotonic one during the checks.
    pub(super) stepped: Duration,
}

pub(super) fn clock(found: &Clock) -> Finding {
    const NAME: &str = "clock";
    let since = found.now.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    if since < YEARS[0] || since >= YEARS[1] {
        return Finding::bad(
            NAME,
            format!(
                "the system says {} seconds since 1970: certificates and tokens are judged wrongly",
                since.as_secs()
            ),
            "timedatectl set-ntp true, or date -u -s '2026-01-31 12:00:00'",
        );
    }
    if found.stepped > STEP_MAX {
        return Finding::look(
            NAME,
            format!(
                "the system clock moved by {:?} during the checks",
                found.stepped
            ),
            "let one program only set the clock, slewing: timedatectl status; chronyc tracking",
        );
    }
    if found.resolution > RESOLUTION_MAX {
        return Finding::look(
            NAME,
            format!(
                "the monotonic clock steps by {:?}: deadlines of plugins are coarse",
                found.resolution
            ),
            "use a kernel with high resolution timers (CONFIG_HIGH_RES_TIMERS)",
        );
    }
    if let Some(source) = &found.source
        && SLOW_SOURCES.contains(&source.as_str())
    {
        return Finding::look(
            NAME,
            format!(
                "the clock source is {source}: each look at the time costs about a microsecond"
            ),
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource, if it is offered",
        );
    }
    let source = found.source.as_deref().unwrap_or("unknown");
    Finding::good(
        NAME,
        format!("plausible, source {source}; whether it is synchronised says `timedatectl`"),
    )
}

/// `net.core.somaxconn` caps what a listener asks for.
pub(super) fn backlog(kernel: Option<u32>, wanted: u32) -> Finding {
    const NAME: &str = "backlog";
    match kernel {
        Some(most) if most < wanted => Finding::look(
            NAME,
            format!(
                "net.core.somaxconn is {most}, listeners ask for {wanted}: in a rush of connections some are lost"
            ),
            format!("sysctl -w net.core.somaxconn={wanted}"),
        ),
        Some(most) => Finding::good(NAME, format!("net.core.somaxconn is {most}")),
        None => Finding::good(NAME, "not known on this system"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{self, Bad, Look, Ok};
    use super::*;

    fn verdict(finding: &Finding) -> Verdict {
        assert_eq!(finding.todo.is_some(), finding.verdict != Ok, "{finding:?}");
        finding.verdict
    }

    #[test]
    fn descriptors_reach_for_the_connections_or_not() {
        for (limit, expected) in [(Some(1024), Bad), (Some(70_000), Ok), (None, Ok)] {
            let finding = descriptors(Descriptors {
                limit,
                needed: 66_048,
            });
            assert_eq!(verdict(&finding), expected, "{finding:?}");
        }
    }

    #[test]
    fn memory_has_to_be_there() {
        const GIB: u64 = 1 << 30;
        for (limit, available, expected) in [
            (MemoryLimit::Share(50), Some(4 * GIB), Ok),
            (MemoryLimit::Size(5 * GIB), Some(4 * GIB), Bad),
            (MemoryLimit::Share(95), Some(4 * GIB), Look),
            (MemoryLimit::Size(200 << 20), Some(4 * GIB), Look),
            (MemoryLimit::Share(50), None, Look),
        ] {
            let finding = memory(&Memory {
                limit,
                available,
                in_cgroup: true,
                outbox_hard: 64 << 20,
            });
            assert_eq!(verdict(&finding), expected, "{finding:?}");
        }
    }

    #[test]
    fn a_kernel_that_promises_no_more_than_it_has() {
        for (mode, expected) in [(Some(0), Ok), (Some(1), Ok), (Some(2), Look), (None, Ok)] {
            assert_eq!(verdict(&overcommit(mode)), expected);
        }
    }

    #[test]
    fn the_clock_is_plausible_steady_fine_and_cheap() {
        let good = || Clock {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            resolution: Duration::from_nanos(30),
            source: Some("tsc".into()),
            stepped: Duration::from_micros(3),
        };
        let epoch = SystemTime::UNIX_EPOCH;
        let cases: [(Clock, Verdict); 6] = [
            (good(), Ok),
            (
                Clock {
                    now: epoch,
                    ..good()
                },
                Bad,
            ),
            (
                Clock {
                    now: epoch + YEARS[1],
                    ..good()
                },
                Bad,
            ),
            (
                Clock {
                    stepped: Duration::from_secs(1),
                    ..good()
                },
                Look,
            ),
            (
                Clock {
                    resolution: Duration::from_millis(4),
                    ..good()
                },
                Look,
            ),
            (
                Clock {
                    source: Some("acpi_pm".into()),
                    ..good()
                },
                Look,
            ),
        ];
        for (found, expected) in cases {
            let finding = clock(&found);
            assert_eq!(verdict(&finding), expected, "{finding:?}");
        }
    }

    #[test]
    fn the_kernel_may_cap_the_backlog() {
        for (kernel, expected) in [(Some(128), Look), (Some(4096), Ok), (None, Ok)] {
            assert_eq!(verdict(&backlog(kernel, 4096)), expected);
        }
    }
}
