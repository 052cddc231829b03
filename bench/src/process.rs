//! What a process has used so far, as Linux tells it under `/proc`.

use anyhow::{Context, Result};

/// Linux counts in hundredths of a second for programs, whatever the kernel's own clock is (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, user and system of all threads, from the text of `/proc/PID/stat`.
///
/// # Errors
/// When it is no such text.
pub fn cpu_seconds(stat: &str) -> Result<f64> {
    // The command's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no /proc/PID/stat")?;
    let ticks: Option<Vec<f64>> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse().ok())
        .collect();
    let ticks = ticks
        .filter(|ticks| ticks.len() == 2)
        .with_context(|| format!("no CPU times in {stat:?}"))?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// A value in bytes, from the text of `/proc/PID/status`, which gives it in kB.
///
/// # Errors
/// When it is not there.
pub fn bytes(status: &str, key: &str) -> Result<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    value
        .map(|kb| kb * 1024)
        .with_context(|| format!("no {key} in /proc/PID/status"))
}

/// CPU seconds of this program so far; nothing where there is no `/proc`.
pub fn own_cpu_seconds() -> Option<f64> {
    cpu_seconds(&std::fs::read_to_string("/proc/self/stat").ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat =
            "1 (bt) (x) S 0 1 1 0 -1 4194560 2172 635 0 0 250 50 1 0 20 0 2 0 1188199 97296384";
        assert_eq!(cpu_seconds(stat).expect("two times"), 3.0);
        assert!(cpu_seconds("1 (bt) S 0").is_err());
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "VmPeak:\t  159228 kB\nVmHWM:\t   17792 kB\n";
        assert_eq!(bytes(status, "VmHWM").expect("a value"), 17792 * 1024);
        assert!(bytes(status, "VmRSS").is_err());
    }
}
