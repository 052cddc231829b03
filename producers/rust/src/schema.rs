//! The wire format as JSON Schema, checked against the parser.

/// The wire format as JSON Schema (draft 2020-12), with an example of each kind.
pub const SCHEMA: &str = include_str!("events.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use crate::{
        Body, Business, ErrorInfo, Event, EventError, Health, Kind, Log, Metric, Op, Pairs, Status,
        parse, raw_json,
    };

    const KINDS: [&str; 4] = ["metric", "log", "health", "business"];

    fn schema() -> Value {
        serde_json::from_str(super::SCHEMA).expect("the schema is JSON")
    }

    fn names(of: &Value) -> BTreeSet<String> {
        let fields = of["properties"].as_object().expect("properties");
        fields.keys().cloned().collect()
    }

    /// The fields that an event of a kind may have.
    fn fields(schema: &Value, kind: &str) -> BTreeSet<String> {
        let common = names(&schema["$defs"]["common"]);
        common
            .union(&names(&schema["$defs"][kind]))
            .cloned()
            .collect()
    }

    fn required(schema: &Value, kind: &str) -> Vec<String> {
        let of = |name: &str| schema["$defs"][name]["required"].as_array().cloned();
        let both = of(kind).into_iter().chain(of("common")).flatten();
        both.map(|name| name.as_str().expect("a name").to_owned())
            .collect()
    }

    fn examples(schema: &Value, kind: &str) -> Vec<Value> {
        let examples = schema["$defs"][kind]["examples"].as_array();
        examples.expect("examples").clone()
    }

    /// Parses one event, and gives it to `look`.
    fn parsed<T>(event: &Value, look: impl FnOnce(Result<Event<'_>, EventError>) -> T) -> T {
        let json = event.to_string();
        let mut elements = parse(json.as_bytes()).expect("JSON");
        look(elements.next().expect("an event").event())
    }

    #[test]
    fn each_example_is_what_it_says_and_all_its_fields_are_known() {
        let schema = schema();
        for kind in KINDS {
            for example in examples(&schema, kind) {
                parsed(&example, |event| {
                    let event = event.expect("the example parses");
                    assert_eq!(event.body.kind(), kind, "{example}");
                    assert!(event.extra.is_empty(), "{:?}", event.extra);
                    let again: Value = serde_json::from_str(&event.to_json()).expect("JSON");
                    assert_eq!(again, example_as_written(&example));
                });
                let known = fields(&schema, kind);
                let mut names = example.as_object().expect("an object").keys();
                assert!(names.all(|name| known.contains(name)), "{example}");
            }
        }
    }

    /// Numbers of events are floating point, and times are written as RFC 3339; all examples are of one moment.
    fn example_as_written(example: &Value) -> Value {
        let mut example = example.clone();
        example["ts"] = json!("2026-01-31T12:00:00.125Z");
        for field in ["value", "latency_ms"] {
            if let Some(number) = example[field].as_f64() {
                example[field] = json!(number);
            }
        }
        if let Some(buckets) = example.get_mut("buckets").and_then(Value::as_array_mut) {
            for bucket in buckets {
                *bucket = json!(bucket.as_f64());
            }
        }
        example
    }

    #[test]
    fn what_is_required_is_and_nothing_else() {
        let schema = schema();
        for kind in KINDS {
            let required = required(&schema, kind);
            for example in examples(&schema, kind) {
                for field in example.as_object().expect("an object").keys() {
                    let mut without = example.clone();
                    without.as_object_mut().expect("an object").remove(field);
                    let fails = parsed(&without, |event| {
                        event.map_or(true, |event| event.body.kind() != kind)
                    });
                    assert_eq!(fails, required.contains(field), "{kind} without {field}");
                    // What is null is not there.
                    let mut null = example.clone();
                    null[field] = Value::Null;
                    let fails = parsed(&null, |event| {
                        event.map_or(true, |event| event.body.kind() != kind)
                    });
                    assert_eq!(fails, required.contains(field), "{kind}, {field} null");
                }
            }
        }
    }

    #[test]
    fn words_are_those_of_the_parser() {
        let schema = schema();
        let mut words = 0;
        for kind in KINDS {
            let properties = schema["$defs"][kind]["properties"].as_object();
            for (field, property) in properties.expect("properties") {
                let Some(allowed) = property["enum"].as_array() else {
                    continue;
                };
                let example = &examples(&schema, kind)[0];
                let with = |word: &Value| {
                    let mut event = example.clone();
                    event[field] = word.clone();
                    parsed(&event, |event| event.is_ok())
                };
                for word in allowed {
                    assert!(with(word), "{kind}.{field}: {word}");
                    words += 1;
                }
                assert!(!with(&json!("neither")), "{kind}.{field}");
            }
        }
        assert_eq!(words, 9);
    }

    /// Without `..`: a field that is added is missed here by the compiler, and then in the schema by this test.
    #[test]
    fn each_field_of_an_event_is_in_the_schema() {
        let schema = schema();
        let error = ErrorInfo {
            r#type: Some("t".into()),
            message: Some("m".into()),
            stack_trace: Some("s".into()),
        };
        let mut pairs = Pairs::default();
        pairs.push("a", raw_json(&"b").expect("JSON"));
        let bodies = [
            Body::Metric(Metric {
                name: "n".into(),
                kind: Kind::Gauge,
                value: 1.0,
                op: Op::Add,
                labels: pairs.clone(),
                help: Some("h".into()),
                unit: Some("u".into()),
                buckets: Some(vec![1.0]),
                trace_id: Some("t".into()),
            }),
            Body::Log(Log {
                level: "l".into(),
                message: "m".into(),
                logger: Some("l".into()),
                trace_id: Some("t".into()),
                span_id: Some("s".into()),
                error: Some(error),
                fields: pairs,
            }),
            Body::Health(Health {
                status: Status::Up,
                checks: vec![("c".into(), Status::Down)],
                latency_ms: Some(1.0),
            }),
            Body::Business(Business {
                r#type: "t".into(),
                payload: Some(raw_json(&1).expect("JSON")),
            }),
        ];
        for body in bodies {
            let kind = body.kind();
            let event = Event {
                ts: crate::Time::now(),
                service: "s".into(),
                instance: Some("i".into()),
                id: Some("d".into()),
                body,
                extra: Vec::new(),
            };
            let json: Value = serde_json::from_str(&event.to_json()).expect("JSON");
            let written: BTreeSet<String> = json
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect();
            assert_eq!(written, fields(&schema, kind), "{kind}");
            if kind == "log" {
                let error = json["error"].as_object().expect("an object");
                let written: BTreeSet<String> = error.keys().cloned().collect();
                assert_eq!(
                    written,
                    names(&schema["$defs"]["log"]["properties"]["error"])
                );
            }
        }
    }
}
