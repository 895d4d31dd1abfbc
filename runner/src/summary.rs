//! What a run used of the machine, and what it may ask for.

/// The largest resident memory of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_rss_bytes() -> Option<u64> {
    parse_field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The resident memory of this process, in bytes; `None` where the system does not tell.
pub fn rss_bytes() -> Option<u64> {
    parse_field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
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
    /// What a new program could use without swapping.
    pub available: u64,
}

/// The memory of this machine; `None` where the system does not tell.
pub fn memory_bytes() -> Option<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(Memory { total: parse_field(&text, "MemTotal:")?, available: parse_field(&text, "MemAvailable:")? })
}

/// Bytes from which the memory of the machine is looked at before they are asked for.
const LARGE: u64 = 1 << 28;

/// Whether so many bytes fit into the memory of the machine, as far as the system tells: systems promise memory that they do
/// not have, and end the program that uses it.
pub(crate) fn fits_memory(bytes: u64) -> bool {
    bytes <= LARGE || memory_bytes().is_none_or(|memory| bytes <= memory.available)
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
        assert!(fits_memory(LARGE) && !fits_memory(u64::MAX));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_this_process_covers_what_it_touched() {
        let touched = vec![1u8; 8 << 20];
        assert!(peak_rss_bytes().unwrap() >= std::hint::black_box(&touched).len() as u64);
    }
}
