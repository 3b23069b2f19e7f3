//! The process's peak memory, as its operating system counts it.

/// Peak resident memory in bytes, where the system reports it (Linux).
pub fn peak_bytes() -> Option<u64> {
    peak_of_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM` of a `/proc/PID/status` text.
fn peak_of_status(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_is_read_from_the_status_text() {
        assert_eq!(
            peak_of_status("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"),
            Some(2_097_152)
        );
        assert_eq!(peak_of_status("Name:\tx\n"), None);
        assert_eq!(peak_of_status("VmHWM: many\n"), None);
    }
}
