//! Numbers as Prometheus reads and writes them.

/// Integers up to here, 2^53, are exact in a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a sample's value: the shortest text that is read as the same number.
pub(super) fn value(out: &mut Vec<u8>, value: f64) {
    if value.abs() < EXACT && value.fract() == 0.0 {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(non_finite(value).as_bytes());
    }
}

/// Appends a count.
pub(super) fn count(out: &mut Vec<u8>, count: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
}

/// Appends a time in milliseconds since the epoch as seconds.
pub(super) fn timestamp(out: &mut Vec<u8>, millis: i64) {
    if millis < 0 {
        out.push(b'-');
    }
    let millis = millis.unsigned_abs();
    count(out, millis / 1000);
    let fraction = millis % 1000;
    if fraction > 0 {
        out.push(b'.');
        out.extend([100, 10, 1].map(|unit| b'0' + (fraction / unit % 10) as u8));
    }
}

/// A bucket's bound as Prometheus' own libraries write it, which is Go's `%g`: a bound that is written otherwise would
/// be another series. OpenMetrics' floats always have a point or an exponent.
pub(super) fn bound(bound: f64, open_metrics: bool) -> String {
    if !bound.is_finite() {
        return non_finite(bound).to_owned();
    }
    let scientific = format!("{bound:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut text = bound.to_string();
    if open_metrics && !text.contains('.') {
        text.push_str(".0");
    }
    text
}

fn non_finite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "+Inf",
        f64::NEG_INFINITY => "-Inf",
        _ => "NaN",
    }
}
