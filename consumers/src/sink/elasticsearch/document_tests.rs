use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::pipeline::Assignment;

fn bulk(json: &str, place: Option<usize>) -> Result<(Value, Value), Rejection> {
    let element = bt_events::parse(json.as_bytes())
        .expect(json)
        .next()
        .expect(json);
    let event = element.event().expect(json);
    let assignment = Arc::new(Assignment::new("logs.events".into(), "aBc_-".into(), 2, 1));
    let origin = Origin {
        assignment: &assignment,
        offset: 77,
        timestamp: None,
        key: None,
        place,
        bytes: None,
    };
    let mut out = Vec::new();
    write(&mut out, &event, &origin)?;
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
