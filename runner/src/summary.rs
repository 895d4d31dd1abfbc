//! What a run used of the machine.

/// The largest resident memory of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_rss_bytes() -> Option<u64> {
    parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The line `VmHWM: <number> kB` of a Linux process status, in bytes.
fn parse_peak(status: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = field.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024) // the kernel says kB and means kibibytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_its_own_line_only() {
        assert_eq!(parse_peak("Name:\tx\nVmPeak:\t 99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_peak("VmPeak: 99 kB\n"), None);
        assert_eq!(parse_peak("VmHWM: many kB\n"), None);
        assert_eq!(parse_peak("VmHWM: 18446744073709551615 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_this_process_covers_what_it_touched() {
        let touched = vec![1u8; 8 << 20];
        assert!(peak_rss_bytes().unwrap() >= std::hint::black_box(&touched).len() as u64);
    }
}
