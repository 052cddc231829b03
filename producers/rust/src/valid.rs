//! What makes an event that the consumers take, so that a mistake is reported by the service that made it.

use thiserror::Error;

use crate::{Body, Business, Health, Kind, Log, Metric, Op, Text};

/// Labels that the pipeline sets itself.
const RESERVED_LABELS: [&str; 4] = ["service", "instance", "source", "le"];

/// Why what was given makes no event; the message says what to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct InvalidEvent(String);

impl InvalidEvent {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        InvalidEvent(message.into())
    }
}

type Checked = Result<(), InvalidEvent>;

fn invalid(message: String) -> Checked {
    Err(InvalidEvent::new(message))
}

/// Checks a body; optional texts that are empty are left out.
pub(crate) fn check(body: &mut Body<'_>) -> Checked {
    match body {
        Body::Metric(metric) => check_metric(metric),
        Body::Log(log) => check_log(log),
        Body::Health(health) => check_health(health),
        Body::Business(business) => check_business(business),
    }
}

fn check_metric(metric: &mut Metric<'_>) -> Checked {
    let name = metric.name.as_str();
    if !is_name(&name, |byte| byte == b':') {
        return invalid(format!(
            "metric name {name:?}: use letters, digits, '_' and ':', not starting with a digit"
        ));
    }
    let value = metric.value;
    if !value.is_finite() {
        return invalid(format!("metric {name}: {value} is not a finite number"));
    }
    if metric.kind == Kind::Counter && value < 0.0 {
        return invalid(format!(
            "metric {name}: a counter's value is an increment and cannot be {value}"
        ));
    }
    if metric.op == Op::Add && metric.kind != Kind::Gauge {
        return invalid(format!("metric {name}: only a gauge is added to"));
    }
    if let Some(bounds) = &metric.buckets {
        if metric.kind != Kind::Histogram {
            return invalid(format!("metric {name}: only a histogram has buckets"));
        }
        let finite = bounds.iter().all(|bound| bound.is_finite());
        if bounds.is_empty() || !finite || !bounds.is_sorted_by(|a, b| a < b) {
            return invalid(format!(
                "metric {name}: buckets must be finite upper bounds in increasing order"
            ));
        }
    }
    for (label, _) in &metric.labels {
        if !is_name(&label, |_| false) || label.starts_with("__") {
            return invalid(format!(
                "metric {name}: label {label:?}: use letters, digits and '_'"
            ));
        }
        if RESERVED_LABELS.contains(&&*label) {
            return invalid(format!(
                "metric {name}: label {label:?} is set by the pipeline itself; choose another name"
            ));
        }
    }
    drop(name);
    leave_out_empty([&mut metric.help, &mut metric.unit, &mut metric.trace_id]);
    Ok(())
}

fn check_log(log: &mut Log<'_>) -> Checked {
    if log.level.is_empty() {
        return invalid("a log line without a level: use a name such as \"info\"".to_owned());
    }
    leave_out_empty([&mut log.logger, &mut log.trace_id, &mut log.span_id]);
    Ok(())
}

fn check_health(health: &Health<'_>) -> Checked {
    match health.latency_ms {
        Some(latency) if !latency.is_finite() => invalid(format!(
            "health: a latency of {latency} is not a finite number"
        )),
        _ => Ok(()),
    }
}

fn check_business(business: &mut Business<'_>) -> Checked {
    let kind = &business.r#type;
    if kind.is_empty() {
        return invalid("an event without a type: use a name such as \"order.created\"".to_owned());
    }
    match &business.payload {
        Some(payload) if !payload.get().starts_with('{') => invalid(format!(
            "event {kind}: the payload must be an object, not {}",
            crate::json::kind_of(payload.get())
        )),
        _ => Ok(()),
    }
}

/// `name`, when Kafka takes it as the name of a topic.
pub(crate) fn topic(name: String) -> Result<String, InvalidEvent> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = matches!(name.len(), 1..=249) && name != "." && name != "..";
    match fits && name.bytes().all(plain) {
        true => Ok(name),
        false => Err(InvalidEvent(format!(
            "topic {name:?}: Kafka takes up to 249 letters, digits, '.', '_' and '-'"
        ))),
    }
}

/// Prometheus' rule for names: <https://prometheus.io/docs/concepts/data_model/>.
fn is_name(name: &str, also: impl Fn(u8) -> bool) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || also(byte);
    match name.as_bytes() {
        [first, rest @ ..] => {
            starts(*first) && rest.iter().all(|&b| starts(b) || b.is_ascii_digit())
        }
        [] => false,
    }
}

fn leave_out_empty<const N: usize>(texts: [&mut Option<Text<'_>>; N]) {
    for text in texts {
        if text.as_ref().is_some_and(Text::is_empty) {
            *text = None;
        }
    }
}
