//! What a run used of the machine, and what it may ask for.

use std::fs::read_to_string;
use std::hint::black_box;
use std::path::Path;

/// The largest resident memory of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_rss_bytes() -> Option<u64> {
    parse_field(&read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The resident memory of this process, in bytes; `None` where the system does not tell.
pub fn rss_bytes() -> Option<u64> {
    parse_field(&read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The line `<name> <number> kB` of a report of the Linux kernel, in bytes.
fn parse_field(report: &str, name: &str) -> Option<u64> {
    let field = report.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = field.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024) // the kernel says kB and means kibibytes
}

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What this process could use on top of what it has, without swapping: no more than the limits leave that it runs under.
    pub available: u64,
}

/// The memory of this machine; `None` where the system does not tell.
pub fn memory_bytes() -> Option<Memory> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let limits = [address_space_left(), groups_left()].into_iter().flatten();
    let available = limits.fold(parse_field(&text, "MemAvailable:")?, u64::min);
    Some(Memory { total: parse_field(&text, "MemTotal:")?, available })
}

/// What a limit on the addresses of this process leaves; `None` where there is no limit.
fn address_space_left() -> Option<u64> {
    let limit = address_space_limit(&read_to_string("/proc/self/limits").ok()?)?;
    Some(limit.saturating_sub(parse_field(&read_to_string("/proc/self/status").ok()?, "VmSize:")?))
}

/// The limit that is in force, of a report of the Linux kernel, in bytes; `None` for `unlimited`.
fn address_space_limit(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The least that the control group of this process and those that it lies in leave; `None` where none has a limit.
fn groups_left() -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = root.join(own);
    own.ancestors().take_while(|group| group.starts_with(root)).filter_map(group_left).min()
}

/// What the limit of one control group leaves.
fn group_left(group: &Path) -> Option<u64> {
    let read = |name: &str| read_to_string(group.join(name)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?; // or the word `max`
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    // Copies of files are given up before memory runs out.
    let stat = read("memory.stat").unwrap_or_default();
    let field = |name| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap_or(0);
    let files = field("inactive_file ").saturating_add(field("active_file "));
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

/// Bytes from which the memory of the machine is looked at before they are asked for.
const LARGE: u64 = 1 << 28;

/// Whether so many bytes fit into the memory of the machine, as far as the system tells: systems promise memory that they do
/// not have, and end the program that uses it. What not even is promised does not fit either.
pub(crate) fn fits_memory(bytes: u64) -> bool {
    is_promised(bytes) && (bytes <= LARGE || memory_bytes().is_none_or(|memory| bytes <= memory.available))
}

/// So many bytes as messages tell them.
pub(crate) fn size_in_words(bytes: u64) -> String {
    match bytes >> 30 {
        0 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{:.0} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// Whether the system would hand out so many bytes at once. They are given back untouched.
fn is_promised(bytes: u64) -> bool {
    let mut room: Vec<u8> = Vec::new();
    let promised = usize::try_from(bytes).is_ok_and(|bytes| room.try_reserve_exact(bytes).is_ok());
    black_box(&room); // else nothing would be asked for
    promised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_its_own_line_only() {
        assert_eq!(
            parse_field("Name:\tx\nVmPeak:\t 99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n", "VmHWM:"),
            Some(1234 * 1024)
        );
        assert_eq!(parse_field("VmPeak: 99 kB\n", "VmHWM:"), None);
        assert_eq!(parse_field("VmHWM: many kB\n", "VmHWM:"), None);
        assert_eq!(parse_field("VmHWM: 18446744073709551615 kB\n", "VmHWM:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_no_machine_has_does_not_fit() {
        assert!(fits_memory(LARGE) && !fits_memory(u64::MAX) && !is_promised(1 << 62));
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_suits_them() {
        let all = [0, 1, 288_000_000, 1 << 30, 3 << 40].map(size_in_words);
        assert_eq!(all, ["0 MiB", "1 MiB", "275 MiB", "1 GiB", "3072 GiB"]);
    }

    #[test]
    fn a_limit_on_addresses_is_read_where_there_is_one() {
        let report = |limit: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max cpu time              7                    unlimited            seconds   \n\
                 Max address space         {limit}            unlimited            bytes     \n"
            )
        };
        assert_eq!(address_space_limit(&report("716800000")), Some(716_800_000));
        assert_eq!(address_space_limit(&report("unlimited")), None);
        assert_eq!(address_space_limit("Max cpu time 7"), None);
    }

    #[test]
    fn a_group_leaves_what_is_neither_used_nor_a_copy_of_a_file() {
        let group = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
        assert_eq!(group_left(group.path()), None);
        file("memory.max", "max\n");
        file("memory.current", "700\n");
        assert_eq!(group_left(group.path()), None);
        file("memory.max", "1000\n");
        assert_eq!(group_left(group.path()), Some(300));
        file("memory.stat", "anon 500\nfile 200\ninactive_file 150\nactive_file 40\n");
        assert_eq!(group_left(group.path()), Some(490));
        file("memory.max", "400\n");
        assert_eq!(group_left(group.path()), Some(0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_this_process_covers_what_it_touched() {
        let touched = vec![1u8; 8 << 20];
        assert!(peak_rss_bytes().unwrap() >= std::hint::black_box(&touched).len() as u64);
    }
}
