//! How much memory there is for this process, and how much it uses. Linux tells; elsewhere nothing is known.
//!
//! Used is anonymous resident memory: what the kernel cannot take back by itself. Pages of files (the program,
//! compiled plugins) are left out, because it can; so is what the cgroup counts besides, above all the page cache,
//! which would have connections refused for files that were read. Socket buffers are the kernel's own and not
//! counted; the default limit of half the memory leaves room for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::param::page_size;

/// What the process may use: the machine's memory, or the smallest limit of its cgroups.
pub fn memory_available() -> Option<u64> {
    let machine = memory_total(&fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(cgroup_limit().map_or(machine, |limit| limit.min(machine)))
}

/// The smallest memory limit of the cgroups this process is in, when there is one.
pub fn cgroup_limit() -> Option<u64> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let read = |path: &Path| fs::read_to_string(path).ok();
    limit_files(&mounts, &groups)
        .into_iter()
        .filter_map(|path| read(&path)?.trim().parse().ok())
        // Version 1 writes "none" as a huge number.
        .filter(|limit| *limit < 1 << 60)
        .min()
}

/// Anonymous resident memory of this process, in bytes.
pub(super) fn memory_used() -> Option<u64> {
    anonymous(&fs::read_to_string("/proc/self/statm").ok()?)
}

fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// `size resident shared ...`, in pages; what is resident and backed by files counts as shared.
fn anonymous(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (resident, shared) = (next()?, next()?);
    Some(resident.saturating_sub(shared) * page_size() as u64)
}

/// Every file that may hold a memory limit of this process: of its own cgroups and of those above them.
fn limit_files(mounts: &str, groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (kind, file) = match controllers {
            "" => ("cgroup2", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("cgroup", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for (root, mount) in mounts.lines().filter_map(|line| cgroup_mount(line, kind)) {
            // Inside a container the mount's root may not be an ancestor of the path.
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            let own = Path::new(mount).join(below);
            let above = own
                .ancestors()
                .take_while(|folder| folder.starts_with(mount));
            files.extend(above.map(|folder| folder.join(file)));
        }
    }
    files
}

/// Root and mount point, if the line of mountinfo(5) is a mount of the kind, with the memory controller.
fn cgroup_mount<'a>(line: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let (found, options) = (system.next()?, system.nth(1).unwrap_or_default());
    let memory = kind == "cgroup2" || options.split(',').any(|option| option == "memory");
    let mut fields = mount.split(' ').skip(3);
    (found == kind && memory).then_some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_some_of_what_there_is() {
        let (used, available) = (memory_used().unwrap(), memory_available().unwrap());
        assert!(used > 100_000 && used < available, "{used} of {available}");
        let more = vec![1_u8; 64 << 20];
        assert!(memory_used().unwrap() > used + (32 << 20));
        drop(more);
    }

    #[test]
    fn pages_of_files_do_not_count() {
        let page = page_size() as u64;
        assert_eq!(anonymous("765 425 396 5 0 123 0"), Some(29 * page));
        assert_eq!(anonymous("765 425"), None);
        assert_eq!(
            memory_total("Foo: 1 kB\nMemTotal:       2048 kB\n"),
            Some(2 << 20)
        );
    }

    #[test]
    fn limits_are_looked_for_in_both_versions_and_above() {
        let files = |mounts: &str, groups: &str| -> Vec<String> {
            limit_files(mounts, groups)
                .iter()
                .map(|file| file.display().to_string())
                .collect()
        };
        let second = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
        assert_eq!(
            files(second, "0::/system.slice/jackfield.service\n"),
            [
                "/sys/fs/cgroup/system.slice/jackfield.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        let first = "35 31 0:32 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(
            files(first, "4:memory:/docker/ab\n2:cpu:/docker/ab\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert!(files(first, "nonsense").is_empty());
    }
}
