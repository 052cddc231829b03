use bt_events::{Body, Business, Event, Health, Log, Metric, Status, Text};

use crate::pipeline::Origin;
use crate::sink::Rejection;

/// Elasticsearch's limit for `_id`, in bytes.
const MAX_ID: usize = 512;

/// Appends an event's action and document for `_bulk`: field names of ECS (<https://www.elastic.co/docs/reference/ecs>),
/// values as they stood in the event.
pub(super) fn write(
    out: &mut Vec<u8>,
    event: &Event<'_>,
    origin: &Origin<'_>,
) -> Result<(), Rejection> {
    out.extend_from_slice(b"{\"create\":{\"_id\":");
    write_id(out, event, origin)?;
    out.extend_from_slice(b"}}\n{\"@timestamp\":");
    event.ts.write_json(out);
    let Body::Metric(Metric { value, .. }) = &event.body else {
        write_body(out, event, origin);
        return Ok(());
    };
    if !value.is_finite() {
        return Err(Rejection::new(
            "non_finite_value",
            "field `value` must be finite",
        ));
    }
    write_body(out, event, origin);
    Ok(())
}

/// The event's own id, which is the same when its producer sends it again; else where it is in Kafka, which is the
/// same when we read it again.
fn write_id(out: &mut Vec<u8>, event: &Event<'_>, origin: &Origin<'_>) -> Result<(), Rejection> {
    if let Some(id) = &event.id {
        let length = id.as_str().len();
        if length > MAX_ID {
            let message = format!("field `id` has {length} bytes, {MAX_ID} are possible");
            return Err(Rejection::new("invalid_field", message));
        }
        id.write_json(out);
        return Ok(());
    }
    let assignment = origin.assignment;
    let id = format!(
        "\"{}-{}-{}-{}\"",
        assignment.topic_id,
        assignment.partition,
        origin.offset,
        origin.place.unwrap_or(0)
    );
    out.extend_from_slice(id.as_bytes());
    Ok(())
}

fn write_body(out: &mut Vec<u8>, event: &Event<'_>, origin: &Origin<'_>) {
    out.extend_from_slice(b",\"service\":{\"name\":");
    event.service.write_json(out);
    if let Some(instance) = &event.instance {
        out.extend_from_slice(b",\"node\":{\"name\":");
        instance.write_json(out);
        out.push(b'}');
    }
    if let Body::Health(health) = &event.body {
        text(out, ",\"state\":", &status(health.status).into());
    }
    out.extend_from_slice(b"},\"event\":{\"dataset\":");
    Text::from(&*origin.assignment.topic).write_json(out);
    optional(out, ",\"id\":", event.id.as_ref());
    let mut labels = Labels::default();
    match &event.body {
        Body::Log(log) => write_log(out, log, &mut labels),
        Body::Business(business) => write_business(out, business),
        Body::Health(health) => write_health(out, health, &mut labels),
        Body::Metric(metric) => write_metric(out, metric, &mut labels),
    }
    for (name, value) in &event.extra {
        labels.add(name, value.get());
    }
    labels.write(out);
    out.extend_from_slice(b"}\n");
}

fn write_log(out: &mut Vec<u8>, log: &Log<'_>, labels: &mut Labels) {
    out.extend_from_slice(b",\"kind\":\"event\"},\"log\":{\"level\":");
    log.level.write_json(out);
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
    for (name, value) in &log.fields {
        labels.add(&name, value);
    }
}

fn write_business(out: &mut Vec<u8>, business: &Business<'_>) {
    text(out, ",\"kind\":\"event\",\"action\":", &business.r#type);
    out.push(b'}');
    if let Some(payload) = &business.payload {
        let json = payload.get();
        // The field is mapped as an object, whatever the engine.
        let (head, tail) = match json.starts_with('{') {
            true => (",\"payload\":", ""),
            false => (",\"payload\":{\"value\":", "}"),
        };
        for part in [head, json, tail] {
            write_line(out, part);
        }
    }
}

fn write_health(out: &mut Vec<u8>, health: &Health<'_>, labels: &mut Labels) {
    out.extend_from_slice(b",\"kind\":\"state\"");
    if let Some(millis) = health.latency_ms.filter(|m| (0.0..1e12).contains(m)) {
        // ECS has durations in nanoseconds.
        out.extend_from_slice(format!(",\"duration\":{:.0}", millis * 1e6).as_bytes());
    }
    out.push(b'}');
    for (check, of_check) in &health.checks {
        labels.add(check, &format!("\"{}\"", status(*of_check)));
    }
}

fn write_metric(out: &mut Vec<u8>, metric: &Metric<'_>, labels: &mut Labels) {
    let kind = match metric.kind {
        bt_events::Kind::Counter => "counter",
        bt_events::Kind::Gauge => "gauge",
        bt_events::Kind::Histogram => "histogram",
    };
    text(
        out,
        ",\"kind\":\"metric\"},\"metric\":{\"name\":",
        &metric.name,
    );
    let rest = format!(",\"type\":\"{kind}\",\"value\":{}}}", metric.value);
    out.extend_from_slice(rest.as_bytes());
    nested(out, ",\"trace\":{\"id\":", metric.trace_id.as_ref());
    for (name, value) in &metric.labels {
        labels.add(&name, value);
    }
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

/// ECS' `labels`: one level of keywords. As Elastic's own agents do, dots in names become underscores; values that are
/// not scalar are kept as their JSON text. So no event's labels can contradict the mapping that another's have made.
#[derive(Default)]
struct Labels {
    names: Vec<String>,
    json: Vec<u8>,
}

impl Labels {
    /// Adds a value that is JSON.
    fn add(&mut self, name: &str, value: &str) {
        if value == "null" {
            return;
        }
        let mut name = name.replace(['.', '*', '"'], "_");
        if name.trim().is_empty() {
            name = "_".to_owned();
        }
        // A document with a name twice would be refused.
        while self.names.contains(&name) {
            name.push('_');
        }
        self.json
            .push(if self.names.is_empty() { b'{' } else { b',' });
        Text::from(&*name).write_json(&mut self.json);
        self.json.push(b':');
        match value.as_bytes().first() {
            Some(b'{' | b'[') => Text::from(value).write_json(&mut self.json),
            _ => self.json.extend_from_slice(value.as_bytes()),
        }
        self.names.push(name);
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.json.is_empty() {
            out.extend_from_slice(b",\"labels\":");
            out.extend_from_slice(&self.json);
            out.push(b'}');
        }
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
