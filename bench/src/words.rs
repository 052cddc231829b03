//! Figures in words.

use std::time::Duration;

use crate::health::Heard;

/// Bytes in a mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// A target, and whether it was met.
pub fn verdict(target: &str, met: bool) -> String {
    format!("{target}: {}", if met { "met" } else { "missed" })
}

/// Seconds, to the hundredth.
pub fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

/// A duration in seconds, to the hundredth.
pub fn duration(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

/// Bytes in mebibytes.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

/// What the answers of a `/healthz` were like.
pub fn health(heard: Heard) -> String {
    let millis = heard.worst.as_secs_f64() * 1000.0;
    let failed = if heard.failed > 0 {
        format!(", {} without an answer", heard.failed)
    } else {
        String::new()
    };
    format!("{millis:.0} ms (asked {}{failed})", heard.asked)
}

/// Tells whoever waits how far it is.
pub fn progress(text: &str) {
    eprintln!("  {text}");
}
