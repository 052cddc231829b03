//! The cases that the SDKs of all languages have in common.

use std::collections::BTreeMap;
use std::time::Duration;

use bt_events::{ErrorInfo, Health, Kind, Log, Metric, Op, Producer, Status};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::kafka::read;
use crate::mock::Mock;

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    call: String,
    service: String,
    instance: Option<String>,
    args: Map<String, Value>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Event {
        topic: String,
        key: String,
        event: Value,
    },
    Dropped {
        dropped: String,
    },
}

#[test]
fn events_are_what_the_cases_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/cases.json");
    let text = std::fs::read_to_string(path).expect("the cases");
    let cases = serde_json::from_str::<Cases>(&text).expect("cases").cases;
    assert!(cases.len() > 50, "only {} cases", cases.len());
    let kafka = Mock::new();
    for case in &cases {
        if let Expect::Event { topic, .. } = &case.expect {
            // Most exist already.
            let _ = kafka.cluster.create_topic(topic, 1, 1);
        }
    }
    let producer = kafka.producer();
    let mut expected: BTreeMap<&str, Vec<(&Case, &str, &Value)>> = BTreeMap::new();
    for case in &cases {
        let before = producer.stats().dropped;
        let taken = call(&producer, case);
        match &case.expect {
            Expect::Event { topic, key, event } => {
                assert!(taken, "{}: {:?}", case.name, producer.stats());
                expected.entry(topic).or_default().push((case, key, event));
            }
            Expect::Dropped { dropped } => {
                assert!(!taken, "{}: was taken", case.name);
                let mut after = before.clone();
                *after.entry(dropped.clone()).or_default() += 1;
                assert_eq!(producer.stats().dropped, after, "{}", case.name);
            }
        }
    }
    assert!(producer.flush(Duration::from_secs(20)), "{producer:?}");
    let topics: Vec<&str> = expected.keys().copied().collect();
    let count = expected.values().map(Vec::len).sum();
    let all = read(&kafka.bootstrap(), &topics, 1, count);
    for (topic, expected) in expected {
        let records: Vec<_> = all.iter().filter(|record| record.topic == topic).collect();
        assert_eq!(records.len(), expected.len(), "{topic}");
        for (record, (case, key, event)) in records.iter().zip(expected) {
            assert_eq!(record.key, key, "{}", case.name);
            let mut value = record.value.clone();
            let fields = value.as_object_mut().expect("an object");
            let ts = fields.remove("ts").expect("ts");
            let ts = ts.as_str().expect("a text");
            assert!(
                ts.len() == 24 && ts.ends_with('Z') && ts.parse::<Timestamp>().is_ok(),
                "{ts}"
            );
            let id = fields.remove("id").expect("id");
            assert!(
                uuid::Uuid::parse_str(id.as_str().expect("a text")).is_ok(),
                "{id}"
            );
            assert!(same(&value, event), "{}: {value} is not {event}", case.name);
        }
    }
}

/// Whether two JSON values are the same, `1` and `1.0` included.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            a == b || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn call(producer: &Producer, case: &Case) -> bool {
    let args = &case.args;
    let text = |name: &str| args.get(name).and_then(Value::as_str).map(str::to_owned);
    let instance = text("instance").or_else(|| case.instance.clone());
    let service = text("service").unwrap_or_else(|| case.service.clone());
    let producer = producer.for_service(service, instance.unwrap_or_default());
    match case.call.as_str() {
        "send_metric" => producer.send_metric(metric(args)),
        "send_log" => producer.send_log(log(args)),
        "send_event" => {
            let kind = text("type").expect("a type");
            let none = Value::Null;
            let payload = args.get("payload").unwrap_or(&none);
            match text("topic") {
                Some(topic) => producer.send_event_to(topic, kind, payload),
                None => producer.send_event(kind, payload),
            }
        }
        "send_health" => producer.send_health(health(args)),
        other => panic!("{}: what is {other}?", case.name),
    }
}

/// A number; Python's words for those that JSON lacks.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().expect("a number"),
        value => value.as_f64().expect("a number"),
    }
}

fn metric(args: &Map<String, Value>) -> Metric<'static> {
    let text = |name: &str| args.get(name).and_then(Value::as_str).map(str::to_owned);
    let value = args.get("value").map_or(1.0, number);
    let mut metric = Metric::counter(text("name").expect("a name"), value);
    metric.kind = match text("kind").as_deref() {
        None | Some("counter") => Kind::Counter,
        Some("gauge") => Kind::Gauge,
        Some("histogram") => Kind::Histogram,
        Some(other) => panic!("Rust has no kind {other}"),
    };
    if text("op").as_deref() == Some("add") {
        metric.op = Op::Add;
    }
    for (name, value) in args
        .get("labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        metric = match value {
            Value::String(value) => metric.label(name.clone(), value),
            value => metric.label(name.clone(), value),
        };
    }
    if let Some(bounds) = args.get("buckets").and_then(Value::as_array) {
        metric = metric.buckets(bounds.iter().map(number).collect::<Vec<_>>());
    }
    metric.help = text("help").map(Into::into);
    metric.unit = text("unit").map(Into::into);
    metric.trace_id = text("trace_id").map(Into::into);
    metric
}

fn log(args: &Map<String, Value>) -> Log<'static> {
    let text = |name: &str| args.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut log = Log::new(
        text("level").expect("a level"),
        text("message").expect("a message"),
    );
    log.logger = text("logger").map(Into::into);
    log.trace_id = text("trace_id").map(Into::into);
    log.span_id = text("span_id").map(Into::into);
    log.error = args.get("error").map(|error| {
        let part = |name: &str| error[name].as_str().map(|text| text.to_owned().into());
        ErrorInfo {
            r#type: part("type"),
            message: part("message"),
            stack_trace: part("stack_trace"),
        }
    });
    for (name, value) in args
        .get("fields")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        log = log.field(name.clone(), value);
    }
    log
}

fn health(args: &Map<String, Value>) -> Health<'static> {
    let status = |value: &Value| Status::deserialize(value).expect("a status");
    let mut health = Health::new(status(&args["status"]));
    for (name, value) in args
        .get("checks")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        health = health.check(name.clone(), status(value));
    }
    health.latency_ms = args.get("latency_ms").map(number);
    health
}
