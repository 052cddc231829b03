use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::pipeline::Assignment;

/// Of the record.
const MILLIS: i64 = 1_714_557_600_500;

fn bulk(json: &str, place: Option<usize>) -> Result<(Value, Value), Rejection> {
    bulk_to("logs-bt-default", json, place)
}

fn bulk_to(stream: &str, json: &str, place: Option<usize>) -> Result<(Value, Value), Rejection> {
    let element = bt_events::parse(json.as_bytes())
        .expect(json)
        .next()
        .expect(json);
    let event = element.event().expect(json);
    let assignment = Arc::new(Assignment::new("logs.events".into(), "aBc_-".into(), 2, 1));
    let origin = Origin {
        assignment: &assignment,
        offset: 77,
        timestamp: Some(MILLIS),
        key: None,
        place,
        bytes: Some(element.json().as_bytes()),
    };
    let mut out = Vec::new();
    let target = Target::parse(stream).expect(stream);
    write(&mut out, &event, &origin, &target)?;
    let text = String::from_utf8(out).expect("UTF-8");
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines.len(), 3, "two lines, each ended: {text}");
    assert_eq!(lines[2], "");
    Ok((
        serde_json::from_str(lines[0]).expect(lines[0]),
        serde_json::from_str(lines[1]).expect(lines[1]),
    ))
}

#[test]
fn documents_have_the_names_of_ecs() {
    let cases = [
        (
            r#"{"ts":"2024-05-01T10:00:00.5Z","service":"orders","instance":"orders-1","id":"u-1","level":"error",
                "message":"a\n\"b\"","logger":"db","trace_id":"t1","span_id":"s1",
                "error":{"type":"E","stack_trace":"x\ny"},
                "fields":{"user.id":7,"user_id":8,"ok":true,"none":null,"deep":{"a":[1]},"":"e"},"host":"h"}"#,
            json!({"@timestamp": "2024-05-01T10:00:00.5Z", "message": "a\n\"b\"",
                "service": {"name": "orders", "node": {"name": "orders-1"}},
                "event": {"dataset": "logs.events", "id": "u-1", "kind": "event"},
                "log": {"level": "error", "logger": "db"}, "trace": {"id": "t1"}, "span": {"id": "s1"},
                "error": {"type": "E", "stack_trace": "x\ny"},
                "labels": {"user_id": 7, "user_id_": 8, "ok": true, "deep": "{\"a\":[1]}", "_": "e", "host": "h"}}),
        ),
        (
            r#"{"ts":1714557600500,"service":"s","level":"info","message":"m","error":{}}"#,
            json!({"@timestamp": 1714557600500_u64, "message": "m", "service": {"name": "s"},
                "event": {"dataset": "logs.events", "kind": "event"}, "log": {"level": "info"}}),
        ),
        (
            "{\"ts\":1,\"service\":\"s\",\"type\":\"order.created\",\"payload\":{\"id\":1,\n\"x.y\":[null]}}",
            json!({"@timestamp": 1, "service": {"name": "s"}, "payload": {"id": 1, "x.y": [null]},
                "event": {"dataset": "logs.events", "kind": "event", "action": "order.created"}}),
        ),
        (
            r#"{"ts":1,"service":"s","type":"t","payload":[1,2]}"#,
            json!({"@timestamp": 1, "service": {"name": "s"}, "payload": {"value": [1, 2]},
                "event": {"dataset": "logs.events", "kind": "event", "action": "t"}}),
        ),
        (
            r#"{"ts":1,"service":"s","status":"degraded","checks":{"db":"down"},"latency_ms":1.5}"#,
            json!({"@timestamp": 1, "service": {"name": "s", "state": "degraded"}, "labels": {"db": "down"},
                "event": {"dataset": "logs.events", "kind": "state", "duration": 1_500_000}}),
        ),
        (
            r#"{"ts":1,"service":"s","name":"n","kind":"gauge","value":2.5,"labels":{"a":"b"},"trace_id":"t1"}"#,
            json!({"@timestamp": 1, "service": {"name": "s"}, "labels": {"a": "b"}, "trace": {"id": "t1"},
                "metric": {"name": "n", "type": "gauge", "value": 2.5},
                "event": {"dataset": "logs.events", "kind": "metric"}}),
        ),
    ];
    for (event, want) in cases {
        assert_eq!(
            bulk(event, None).map(|(_, document)| document),
            Ok(want),
            "{event}"
        );
    }
}

#[test]
fn ids_are_the_events_or_the_place_in_kafka() {
    let with_id = r#"{"ts":1,"service":"s","id":"x\"y","level":"i","message":"m"}"#;
    let without = r#"{"ts":1,"service":"s","level":"i","message":"m"}"#;
    let cases = [
        (with_id, None, "x\"y"),
        (without, None, "aBc_--2-77-0"),
        (without, Some(3), "aBc_--2-77-3"),
    ];
    for (event, place, id) in cases {
        let action = bulk(event, place).map(|(action, _)| action);
        assert_eq!(action, Ok(json!({"create": {"_id": id}})));
    }
    let long = with_id.replace("x\\\"y", &"é".repeat(257));
    assert_eq!(
        bulk(&long, None).map_err(|why| why.reason),
        Err("invalid_field")
    );
    let infinite = r#"{"ts":1,"service":"s","name":"n","kind":"gauge","value":1e999}"#;
    assert_eq!(
        bulk(infinite, None).map_err(|why| why.reason),
        Err("non_finite_value")
    );
}

#[test]
fn the_index_is_named_where_it_is_not_always_the_same() {
    let event =
        r#"{"ts":"2024-05-02T00:00:00Z","service":"A-b","id":"1","level":"i","message":"m"}"#;
    let action = bulk_to("logs-{service}-{date}", event, None).map(|(action, _)| action);
    let want = json!({"create": {"_index": "logs-a_b-2024.05.02", "_id": "1"}});
    assert_eq!(action, Ok(want));
}

#[test]
fn an_impossible_time_is_the_records_and_is_kept() {
    let cases = [
        ("1714557600123456", json!(1_714_557_600_123_456_u64)),
        ("-62135596800001", json!("0000-12-31T23:59:59.999Z")),
        (
            r#""-000044-03-15T12:00:00Z""#,
            json!("-000044-03-15T12:00:00Z"),
        ),
    ];
    for (ts, kept) in cases {
        let event = format!(
            r#"{{"ts":{ts},"service":"s","level":"i","message":"m","fields":{{"event_ts":1}}}}"#
        );
        let (_, document) = bulk(&event, None).expect(ts);
        assert_eq!(document["@timestamp"], json!(MILLIS), "{ts}");
        assert_eq!(
            document["labels"],
            json!({"event_ts": kept, "event_ts_": 1})
        );
    }
    let first = r#"{"ts":-62135596800000,"service":"s","type":"t"}"#;
    let (_, document) = bulk(first, None).expect(first);
    assert_eq!(document["@timestamp"], json!("0001-01-01T00:00:00Z"));
}

#[test]
fn labels_are_such_as_every_engine_takes() {
    let digits = "1".repeat(401);
    let long = "x".repeat(300);
    let cases = [
        (
            r#"{"a":"x","b":1,"c":true}"#.to_owned(),
            json!({"a": "x", "b": 1, "c": true}),
        ),
        (
            r#"{ "a.b" : -1.5e3 , "c" : false }"#.to_owned(),
            json!({"a_b": -1500.0, "c": false}),
        ),
        ("{\"a\":1,\n\"b\":2}".to_owned(), json!({"a": 1, "b": 2})),
        (
            r#"{"a.b":1,"a_b":2,"a*b":3}"#.to_owned(),
            json!({"a_b": 1, "a_b_": 2, "a_b__": 3}),
        ),
        (
            r#"{"a":1,"a":2,"\u0061":3}"#.to_owned(),
            json!({"a": 1, "a_": 2, "a__": 3}),
        ),
        (
            r#"{"":1,"\u0000":2,".":3," ":4}"#.to_owned(),
            json!({"_": 1, "__": 2, "___": 3, "____": 4}),
        ),
        (
            r#"{"a":null,"b":[1, 2],"c":{}}"#.to_owned(),
            json!({"b": "[1, 2]", "c": "{}"}),
        ),
        (
            r#"{"a":"\ud800","b":"\ud83d\ude00"}"#.to_owned(),
            json!({"a": "\"\\ud800\"", "b": "😀"}),
        ),
        (format!(r#"{{"a":{digits}}}"#), json!({"a": digits})),
        (format!(r#"{{"{long}":1}}"#), json!({&long[..256]: 1})),
        (
            format!(r#"{{"{}":1}}"#, "é".repeat(200)),
            json!({"é".repeat(128): 1}),
        ),
        ("{}".to_owned(), Value::Null),
        ("{\"a\":null}".to_owned(), Value::Null),
    ];
    for (fields, want) in cases {
        let event =
            format!(r#"{{"ts":1,"service":"s","level":"i","message":"m","fields":{fields}}}"#);
        let (_, document) = bulk(&event, None).expect(&event);
        assert_eq!(document["labels"], want, "{fields}");
        assert_eq!(document["event"]["original"], Value::Null, "{fields}");
    }
}

#[test]
fn what_no_engine_takes_is_in_the_original() {
    let many: Vec<String> = (0..300).map(|n| format!(r#""n{n}":{n}"#)).collect();
    let twins = vec![r#""a":1"#; 300];
    let large = format!(r#""a":1,"b":"{}","c":3"#, "x".repeat(30_000));
    for (fields, labels) in [(many.join(","), 200), (twins.join(","), 200), (large, 2)] {
        let event =
            format!(r#"{{"ts":1,"service":"s","level":"i","message":"m","fields":{{{fields}}}}}"#);
        let (_, document) = bulk(&event, None).expect(&event);
        let kept = document["labels"].as_object().map(serde_json::Map::len);
        assert_eq!(kept, Some(labels));
        assert_eq!(document["event"]["original"], json!(event));
    }
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    for payload in [r#"{"a":1,"a":2}"#, r#"{"x":{"":1}}"#, &deep] {
        let event = format!(r#"{{"ts":1,"service":"s","type":"t","payload":{payload}}}"#);
        let (_, document) = bulk(&event, None).expect(&event);
        assert_eq!(document["payload"], Value::Null);
        assert_eq!(document["event"]["original"], json!(event));
    }
}

#[test]
fn what_is_no_event_is_a_document_of_its_text() {
    let assignment = Arc::new(Assignment::new("logs.events".into(), "aBc_-".into(), 2, 1));
    let cases: [(Option<&[u8]>, &str, &str); 3] = [
        (
            Some(b"oops: \"\xff\"\n"),
            "oops: \"\u{fffd}\"\n",
            "invalid_utf8",
        ),
        (Some(b"{\"a\":1}"), "{\"a\":1}", "unknown_kind"),
        (None, "", "null_value"),
    ];
    for (bytes, message, code) in cases {
        let event = bytes
            .ok_or(bt_events::EventError::NullValue)
            .and_then(bt_events::parse)
            .and_then(|mut elements| elements.next().expect("one element").event());
        let error = event.expect_err(code);
        let origin = Origin {
            assignment: &assignment,
            offset: 77,
            timestamp: Some(MILLIS),
            key: None,
            place: Some(2),
            bytes,
        };
        let mut out = Vec::new();
        let target = Target::parse("logs-{service}-{date}").expect("a name");
        super::super::malformed::write(&mut out, &error, &origin, &target);
        let lines: Vec<Value> = out
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect();
        let action = json!({"_index": "logs-_unknown-2024.05.01", "_id": "aBc_--2-77-2"});
        let document = json!({"@timestamp": MILLIS, "message": message,
            "error": {"code": code, "message": error.to_string()},
            "event": {"kind": "pipeline_error", "dataset": "logs.events"}});
        assert_eq!(lines, [json!({"create": action}), document]);
    }
}
