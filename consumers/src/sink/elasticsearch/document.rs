use bt_events::{Body, Business, Event, Health, Log, Metric, Status, Text};
use jiff::Timestamp;

use super::labels::Labels;
use super::payload;
use super::target::Target;
use crate::pipeline::Origin;
use crate::sink::Rejection;

/// Elasticsearch's limit for `_id`, in bytes.
const MAX_ID: usize = 512;
/// 0001-01-01: engines' dates have years of four digits.
const FIRST_TIME: Timestamp = Timestamp::constant(-62_135_596_800, 0);
/// The last moment of the year 9999, in milliseconds since the epoch.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// Appends an event's action and document for `_bulk`: field names of ECS (<https://www.elastic.co/docs/reference/ecs>),
/// values as they stood in the event. Where something of the event is left out, as no engine would take it, the whole event is there as
/// the text `event.original`.
///
/// # Errors
/// Why no document can be made of it; then nothing was appended.
pub(super) fn write(
    out: &mut Vec<u8>,
    event: &Event<'_>,
    origin: &Origin<'_>,
    target: &Target,
) -> Result<(), Rejection> {
    check(event)?;
    write_action(out, target, |out| target.name(out, event, origin));
    match &event.id {
        // The same when its producer sends it again.
        Some(id) => id.write_json(out),
        None => write_place(out, origin),
    }
    let mut labels = Labels::default();
    out.extend_from_slice(b"}}\n{\"@timestamp\":");
    let known = !event.ts.is_out_of_range() && event.ts.at() >= FIRST_TIME;
    match known {
        true => event.ts.write_json(out),
        false => write_record_time(out, origin),
    }
    write_service(out, event);
    match &event.body {
        Body::Log(log) => write_log(out, log),
        Body::Business(business) => write_payload(out, business, &mut labels),
        Body::Health(_) => {}
        Body::Metric(metric) => write_metric(out, metric),
    }
    if !known {
        let mut ts = Vec::new();
        event.ts.write_json(&mut ts);
        labels.add(out, "event_ts", &String::from_utf8_lossy(&ts));
    }
    write_labels(out, event, &mut labels);
    write_event(out, event, origin, labels.left_out);
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// What no document can be made of.
fn check(event: &Event<'_>) -> Result<(), Rejection> {
    if let Some(id) = &event.id
        && id.json().is_none_or(|json| json.len() > MAX_ID)
    {
        let length = id.as_str().len();
        if length > MAX_ID {
            let message = format!("field `id` has {length} bytes, {MAX_ID} are possible");
            return Err(Rejection::new("invalid_field", message));
        }
    }
    match &event.body {
        Body::Metric(metric) if !metric.value.is_finite() => Err(Rejection::new(
            "non_finite_value",
            "field `value` must be finite",
        )),
        _ => Ok(()),
    }
}

/// Appends an action up to the value of its `_id`.
pub(super) fn write_action(out: &mut Vec<u8>, target: &Target, name: impl FnOnce(&mut Vec<u8>)) {
    if target.fixed().is_some() {
        out.extend_from_slice(b"{\"create\":{\"_id\":");
        return;
    }
    out.extend_from_slice(b"{\"create\":{\"_index\":\"");
    name(out);
    out.extend_from_slice(b"\",\"_id\":");
}

/// Appends where the event is in Kafka as its `_id`: the same when we read it again.
pub(super) fn write_place(out: &mut Vec<u8>, origin: &Origin<'_>) {
    let mut digits = itoa::Buffer::new();
    out.push(b'"');
    out.extend_from_slice(origin.assignment.topic_id.as_bytes());
    out.push(b'-');
    out.extend_from_slice(digits.format(origin.assignment.partition).as_bytes());
    out.push(b'-');
    out.extend_from_slice(digits.format(origin.offset).as_bytes());
    out.push(b'-');
    out.extend_from_slice(digits.format(origin.place.unwrap_or(0)).as_bytes());
    out.push(b'"');
}

/// Appends the record's time; 1970 where it has none.
pub(super) fn write_record_time(out: &mut Vec<u8>, origin: &Origin<'_>) {
    let millis = origin.timestamp.unwrap_or(0).clamp(0, LAST_MILLIS);
    out.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
}

/// Appends the topic. Kafka has nothing in a topic's name that JSON would escape.
pub(super) fn write_topic(out: &mut Vec<u8>, origin: &Origin<'_>) {
    out.push(b'"');
    out.extend_from_slice(origin.assignment.topic.as_bytes());
    out.push(b'"');
}

fn write_service(out: &mut Vec<u8>, event: &Event<'_>) {
    text(out, ",\"service\":{\"name\":", &event.service);
    nested(out, ",\"node\":{\"name\":", event.instance.as_ref());
    if let Body::Health(health) = &event.body {
        text(out, ",\"state\":", &status(health.status).into());
    }
    out.push(b'}');
}

fn write_log(out: &mut Vec<u8>, log: &Log<'_>) {
    text(out, ",\"log\":{\"level\":", &log.level);
    optional(out, ",\"logger\":", log.logger.as_ref());
    text(out, "},\"message\":", &log.message);
    nested(out, ",\"trace\":{\"id\":", log.trace_id.as_ref());
    nested(out, ",\"span\":{\"id\":", log.span_id.as_ref());
    if let Some(error) = &log.error {
        let mut separator = ",\"error\":{";
        let fields = [
            ("\"type\":", &error.r#type),
            ("\"message\":", &error.message),
            ("\"stack_trace\":", &error.stack_trace),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                out.extend_from_slice(separator.as_bytes());
                text(out, name, value);
                separator = ",";
            }
        }
        if separator == "," {
            out.push(b'}');
        }
    }
}

fn write_payload(out: &mut Vec<u8>, business: &Business<'_>, labels: &mut Labels) {
    let Some(payload) = &business.payload else {
        return;
    };
    let json = payload.get();
    if !payload::is_indexable(json) {
        labels.left_out = true;
        return;
    }
    // The field is mapped as an object, whatever the engine.
    let (head, tail) = match json.starts_with('{') {
        true => (",\"payload\":", ""),
        false => (",\"payload\":{\"value\":", "}"),
    };
    for part in [head, json, tail] {
        write_line(out, part);
    }
}

fn write_metric(out: &mut Vec<u8>, metric: &Metric<'_>) {
    let kind = match metric.kind {
        bt_events::Kind::Counter => "counter",
        bt_events::Kind::Gauge => "gauge",
        bt_events::Kind::Histogram => "histogram",
    };
    text(out, ",\"metric\":{\"name\":", &metric.name);
    let rest = format!(",\"type\":\"{kind}\",\"value\":{}}}", metric.value);
    out.extend_from_slice(rest.as_bytes());
    nested(out, ",\"trace\":{\"id\":", metric.trace_id.as_ref());
}

fn write_labels(out: &mut Vec<u8>, event: &Event<'_>, labels: &mut Labels) {
    match &event.body {
        Body::Log(Log { fields, .. }) | Body::Metric(Metric { labels: fields, .. }) => {
            labels.add_all(out, fields);
        }
        Body::Health(health) => {
            for (check, of_check) in &health.checks {
                labels.add(out, check, &format!("\"{}\"", status(*of_check)));
            }
        }
        Body::Business(_) => {}
    }
    for (name, value) in &event.extra {
        labels.add(out, name, value.get());
    }
    labels.end(out);
}

fn write_event(out: &mut Vec<u8>, event: &Event<'_>, origin: &Origin<'_>, original: bool) {
    out.extend_from_slice(match &event.body {
        Body::Log(_) | Body::Business(_) => b",\"event\":{\"kind\":\"event\",\"dataset\":",
        Body::Health(_) => b",\"event\":{\"kind\":\"state\",\"dataset\":",
        Body::Metric(_) => b",\"event\":{\"kind\":\"metric\",\"dataset\":".as_slice(),
    });
    write_topic(out, origin);
    optional(out, ",\"id\":", event.id.as_ref());
    match &event.body {
        Body::Business(business) => text(out, ",\"action\":", &business.r#type),
        Body::Health(Health { latency_ms, .. }) => {
            if let Some(millis) = latency_ms.filter(|m| (0.0..1e12).contains(m)) {
                // ECS has durations in nanoseconds.
                out.extend_from_slice(format!(",\"duration\":{:.0}", millis * 1e6).as_bytes());
            }
        }
        Body::Log(_) | Body::Metric(_) => {}
    }
    if original {
        let json = String::from_utf8_lossy(origin.bytes.unwrap_or_default());
        text(out, ",\"original\":", &(&*json).into());
    }
    out.push(b'}');
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Up => "up",
        Status::Degraded => "degraded",
        Status::Down => "down",
    }
}

fn text(out: &mut Vec<u8>, head: &str, value: &Text<'_>) {
    out.extend_from_slice(head.as_bytes());
    value.write_json(out);
}

fn optional(out: &mut Vec<u8>, head: &str, value: Option<&Text<'_>>) {
    if let Some(value) = value {
        text(out, head, value);
    }
}

/// As [`optional`], in an object of its own.
fn nested(out: &mut Vec<u8>, head: &str, value: Option<&Text<'_>>) {
    if let Some(value) = value {
        text(out, head, value);
        out.push(b'}');
    }
}

/// Appends JSON that may have line breaks between its tokens: in `_bulk` a document is one line.
fn write_line(out: &mut Vec<u8>, json: &str) {
    // In strings line breaks are escaped, so that these are all white space.
    match json.contains(['\n', '\r']) {
        false => out.extend_from_slice(json.as_bytes()),
        true => out.extend(json.bytes().filter(|b| !matches!(b, b'\n' | b'\r'))),
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "document_fuzz.rs"]
mod fuzz;
