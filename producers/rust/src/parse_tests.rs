use super::*;
use crate::{Body, Business, ErrorInfo, Health, Log, Metric, Status};

fn one(json: &str) -> Result<Event<'_>, EventError> {
    parse(json.as_bytes())?.next().expect("an element").event()
}

#[test]
fn kinds_are_told_apart_by_shape() {
    let cases = [
        (
            r#"{"ts":1,"service":"s","name":"a","kind":"counter","value":1}"#,
            "metric",
        ),
        (
            r#"{"ts":1,"service":"s","level":"info","message":"m"}"#,
            "log",
        ),
        (
            r#"{"ts":1,"service":"s","level":"info","message":"m","type":"t","status":500}"#,
            "log",
        ),
        (r#"{"ts":1,"service":"s","status":"up"}"#, "health"),
        (
            r#"{"ts":1,"service":"s","status":"down","message":"db"}"#,
            "health",
        ),
        (
            r#"{"ts":1,"service":"s","type":"order.created","payload":{"a":1}}"#,
            "business",
        ),
        (
            r#"{"ts":1,"service":"s","type":"order.created"}"#,
            "business",
        ),
        (
            "\n {\"ts\":1,\"service\":\"s\",\"type\":\"t\",\"payload\":null} ",
            "business",
        ),
    ];
    for (json, kind) in cases {
        assert_eq!(one(json).map(|e| e.body.kind()), Ok(kind), "{json}");
    }
}

#[test]
fn errors_name_the_field() {
    let cases = [
        ("", "invalid_json", "EOF"),
        ("nope", "invalid_json", "expected ident"),
        ("{\"ts\":1", "invalid_json", "EOF"),
        ("{\"ts\":1,} ", "invalid_json", "trailing comma"),
        ("{} {}", "invalid_json", "trailing characters"),
        ("42", "not_an_object", "a number"),
        ("null", "not_an_object", "null"),
        ("{}", "unknown_kind", "level and message"),
        (
            r#"{"status":"up","service":"s"}"#,
            "missing_field",
            "health event without the field `ts`",
        ),
        (r#"{"status":"up","ts":1}"#, "missing_field", "`service`"),
        (
            r#"{"status":"up","ts":1,"service":""}"#,
            "invalid_field",
            "`service`: expected a name",
        ),
        (
            r#"{"status":"UP","ts":1,"service":"s"}"#,
            "invalid_field",
            "`status`: expected \"up\"",
        ),
        (
            r#"{"status":"up","ts":1,"service":"s","checks":{"db":7}}"#,
            "invalid_field",
            "`checks.db`",
        ),
        (
            r#"{"kind":"counter","value":1,"ts":1,"service":"s"}"#,
            "missing_field",
            "metric event without the field `name`",
        ),
        (
            r#"{"name":"a","kind":"timer","value":1,"ts":1,"service":"s"}"#,
            "invalid_field",
            "`kind`",
        ),
        (
            r#"{"name":"a","kind":"gauge","value":"1","ts":1,"service":"s"}"#,
            "invalid_field",
            "`value`: expected a number, found \"1\"",
        ),
        (
            r#"{"name":"a","kind":"gauge","value":1,"op":"sub","ts":1,"service":"s"}"#,
            "invalid_field",
            "`op`",
        ),
        (
            r#"{"name":"a","kind":"gauge","value":1,"labels":[],"ts":1,"service":"s"}"#,
            "invalid_field",
            "`labels`: expected an object",
        ),
        (
            r#"{"name":"a","kind":"histogram","value":1,"buckets":["x"],"ts":1,"service":"s"}"#,
            "invalid_field",
            "`buckets`",
        ),
        (
            r#"{"level":"info","ts":1,"service":"s"}"#,
            "missing_field",
            "log event without the field `message`",
        ),
        (
            r#"{"level":"info","message":{"a":1},"ts":1,"service":"s"}"#,
            "invalid_field",
            "`message`: expected a string",
        ),
        (
            r#"{"level":"\ud800","message":"m","ts":1,"service":"s"}"#,
            "invalid_field",
            "`level`",
        ),
        (
            r#"{"level":"e","message":"m","error":{"type":1},"ts":1,"service":"s"}"#,
            "invalid_field",
            "`error.type`",
        ),
        (
            r#"{"level":"i","message":"m","ts":"yesterday","service":"s"}"#,
            "invalid_field",
            "`ts`: expected RFC 3339",
        ),
        (
            r#"{"name":"a","kind":"gauge","value":1,"ts":99999999999999999,"service":"s"}"#,
            "invalid_field",
            "`ts`",
        ),
        (
            r#"{"status":"up","ts":-1e300,"service":"s"}"#,
            "invalid_field",
            "`ts`",
        ),
    ];
    for (json, reason, message) in cases {
        let error = one(json).map(|e| e.body.kind()).expect_err(json);
        assert_eq!(error.reason(), reason, "{json}: {error}");
        assert!(error.to_string().contains(message), "{json}: {error}");
    }
    assert_eq!(parse(b"\"\xff\"").map(|_| ()), Err(EventError::NotUtf8(1)));
}

#[test]
fn a_bad_element_leaves_the_others_alone() {
    let json = r#"[{"ts":1,"service":"s","status":"up"}, 7, {"x": 1}, {"ts":2,"service":"s","status":"down"}]"#;
    let read: Vec<_> = parse(json.as_bytes())
        .expect("an array")
        .map(|e| {
            (
                e.place(),
                e.json(),
                e.event().map(|e| e.body.kind()).map_err(|e| e.reason()),
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            (
                Some(0),
                r#"{"ts":1,"service":"s","status":"up"}"#,
                Ok("health")
            ),
            (Some(1), "7", Err("not_an_object")),
            (Some(2), r#"{"x": 1}"#, Err("unknown_kind")),
            (
                Some(3),
                r#"{"ts":2,"service":"s","status":"down"}"#,
                Ok("health")
            ),
        ]
    );
    assert_eq!(parse(b"[]").map(Iterator::count), Ok(0));
    assert_eq!(
        parse(b"[{},").map(|_| ()).map_err(|e| e.reason()),
        Err("invalid_json")
    );
}

#[test]
fn text_and_time_pass_through_as_they_were() {
    let cases = [
        (
            r#""2024-05-01T10:00:00.123Z""#,
            r#""2024-05-01T10:00:00.123Z""#,
        ),
        (
            r#""2024-05-01T10:00:00.123456789+02:00""#,
            r#""2024-05-01T10:00:00.123456789+02:00""#,
        ),
        (r#""2024-05-01 10:00:00Z""#, r#""2024-05-01T10:00:00Z""#),
        ("1714557600123", "1714557600123"),
        ("1714557600123.9", r#""2024-05-01T10:00:00.123Z""#),
        ("1714557600123.0e0", r#""2024-05-01T10:00:00.123Z""#),
        ("-1", r#""1969-12-31T23:59:59.999Z""#),
        ("-0", r#""1970-01-01T00:00:00Z""#),
        (r#""2016-12-31T23:59:60Z""#, r#""2016-12-31T23:59:59Z""#),
        (
            r#""2024-05-01T10:00:00+17:59""#,
            r#""2024-05-01T10:00:00+17:59""#,
        ),
        (
            r#""2024-05-01T10:00:00+18:00""#,
            r#""2024-04-30T16:00:00Z""#,
        ),
        (
            r#""2024-05-01T10:00:00-00:00""#,
            r#""2024-05-01T10:00:00Z""#,
        ),
    ];
    for (ts, want) in cases {
        let json =
            format!(r#"{{"ts":{ts},"service":"s","level":"info","message":"a\u00e9\n\"b\""}}"#);
        let event = one(&json).expect(&json);
        let mut out = Vec::new();
        event.ts.write_json(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), want);
        let Body::Log(log) = event.body else {
            panic!("a log")
        };
        assert_eq!(log.message.as_str(), "aé\n\"b\"");
        out.clear();
        log.message.write_json(&mut out);
        assert_eq!(out, br#""a\u00e9\n\"b\"""#);
    }
}

#[test]
fn unknown_fields_of_a_log_are_kept() {
    let event = one(r#"{"ts":1,"service":"s","level":"i","message":"m","fields":{"a":1},"b":[2],"value":null,"kind":"x"}"#)
        .expect("a log");
    let extra: Vec<_> = event
        .extra
        .iter()
        .map(|(k, v)| (k.as_ref(), v.get()))
        .collect();
    assert_eq!(extra, [("b", "[2]"), ("kind", "\"x\"")]);
    let Body::Log(log) = event.body else {
        panic!("a log")
    };
    assert_eq!(log.fields.iter().next(), Some(("a".into(), "1")));
}

#[test]
fn a_log_or_business_event_at_an_impossible_time_is_kept() {
    for ts in ["1714557600123456", "-1e300", "99999999999999999999"] {
        for body in [r#""level":"i","message":"m""#, r#""type":"t""#] {
            let json = format!(r#"{{"ts":{ts},"service":"s",{body}}}"#);
            let event = one(&json).expect(&json);
            assert!(event.ts.is_out_of_range());
            let mut out = Vec::new();
            event.ts.write_json(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), ts);
        }
    }
    let json = r#"{"ts":-377705023201000,"service":"s","type":"t"}"#;
    assert!(
        one(json).expect(json).ts.is_out_of_range(),
        "the first there is"
    );
    let json = r#"{"ts":253402207199999,"service":"s","type":"t"}"#;
    assert!(!one(json).expect(json).ts.is_out_of_range());
}

#[test]
fn halves_of_surrogate_pairs_do_not_lose_a_log() {
    let json = r#"{"ts":1,"service":"s","level":"i","message":"\\ud800 \ud800\ud83d\ude00\udcff\"",
        "error":{"message":"\uDC00","stack_trace":"\n\ud83d\ud83d\ude00"}}"#;
    let Body::Log(log) = one(json).expect(json).body else {
        panic!("a log")
    };
    assert_eq!(log.message.as_str(), "\\ud800 \u{fffd}😀\u{fffd}\"");
    let error = log.error.expect("an error");
    assert_eq!(error.message, Some("\u{fffd}".into()));
    assert_eq!(error.stack_trace, Some("\n\u{fffd}😀".into()));
}

#[test]
fn nothing_is_lost_that_a_log_or_a_business_event_has_no_field_for() {
    let cases = [
        (
            r#""level":"i","message":"m","help":1,"error":{"code":7,"cause":{"a":1},"type":"E"}"#,
            vec![
                ("error.code", "7"),
                ("error.cause", r#"{"a":1}"#),
                ("help", "1"),
            ],
        ),
        (
            r#""type":"t","x":1,"message":"m","trace_id":"a","fields":{}"#,
            vec![
                ("x", "1"),
                ("message", "\"m\""),
                ("trace_id", "\"a\""),
                ("fields", "{}"),
            ],
        ),
        (r#""status":"up","error":"e""#, vec![("error", "\"e\"")]),
    ];
    for (body, want) in cases {
        let json = format!(r#"{{"ts":1,"service":"s",{body}}}"#);
        let event = one(&json).expect(&json);
        let extra: Vec<_> = event
            .extra
            .iter()
            .map(|(k, v)| (k.as_ref(), v.get()))
            .collect();
        assert_eq!(extra, want, "{json}");
    }
}

#[test]
fn non_finite_values_are_left_to_the_sinks() {
    let event =
        one(r#"{"ts":1,"service":"s","name":"a","kind":"gauge","value":1e999}"#).expect("a metric");
    let Body::Metric(metric) = event.body else {
        panic!("a metric")
    };
    assert!(metric.value.is_infinite());
    assert!(one(r#"{"ts":1,"service":"s","name":"a","kind":"gauge","value":NaN}"#).is_err());
}

#[test]
fn what_a_producer_writes_is_read_back() {
    let at: jiff::Timestamp = "2024-05-01T10:00:00.5Z".parse().expect("a time");
    let mut log = Log::new("warn", "say \"hi\"\n");
    log.error = Some(ErrorInfo {
        r#type: Some("E".into()),
        ..ErrorInfo::default()
    });
    log.fields.push("n", crate::raw_json(&3).expect("a number"));
    let mut histogram = Metric::histogram("h", 0.2).label("a", "ü\"");
    histogram.buckets = Some(vec![0.1, 1.0]);
    let health = Health {
        status: Status::Degraded,
        checks: vec![("db".into(), Status::Down)],
        latency_ms: Some(2.5),
    };
    let order = Business {
        r#type: "order.created".into(),
        payload: Some(crate::raw_json(&[1, 2]).expect("an array")),
    };
    let events = [
        Event::metric("s", histogram),
        Event::metric("s", Metric::gauge_add("g", -1.5)),
        Event::log("s", log),
        Event::health("s", health),
        Event::business("s", order).id("2f1c"),
    ];
    for event in events {
        let event = event.at(at).instance("s-1");
        assert_eq!(event.key(), "s/s-1");
        let json = event.to_json();
        let read = one(&json).expect(&json);
        assert_eq!(read.to_json(), json);
        assert_eq!(read.ts.at(), at);
        assert_eq!(
            format!("{:?}", read.body),
            format!("{:?}", event.body),
            "{json}"
        );
    }
}

#[test]
fn labels_keep_the_text_they_were() {
    let labels = r#"{"b":"1", "\u0061":2,"b":{"c":[]}}"#;
    let json = format!(
        r#"{{"ts":1,"service":"s","name":"n","kind":"counter","value":1,"labels": {labels} }}"#
    );
    let Body::Metric(mut metric) = one(&json).expect("a metric").body else {
        panic!("a metric")
    };
    assert_eq!(metric.labels.raw(), Some(labels));
    let read = [("b", "\"1\""), ("a", "2"), ("b", "{\"c\":[]}")];
    assert!(
        metric
            .labels
            .iter()
            .eq(read.map(|(name, json)| (name.into(), json)))
    );
    metric
        .labels
        .push("d", crate::raw_json(&4).expect("a number"));
    assert_eq!(metric.labels.raw(), None);
    assert_eq!(metric.labels.iter().count(), 4);
    assert!(Metric::counter("n", 1.0).labels.is_empty());
    let broken = json.replace("\\u0061", "\\ud800");
    let error = one(&broken).expect_err("half of a pair").to_string();
    assert!(
        error.starts_with("field `labels`: expected an object"),
        "{error}"
    );
}

#[test]
fn a_metric_names_the_trace_it_was_measured_in() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let json = Event::metric("s", Metric::counter("n", 1.0).trace_id(trace)).to_json();
    let Body::Metric(metric) = one(&json).expect(&json).body else {
        panic!("a metric")
    };
    assert_eq!(metric.trace_id, Some(trace.into()));
}
