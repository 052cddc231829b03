use super::super::fixture::{Shown, apply_at, commit, counter, series, shown, values};
use super::*;
use crate::sink::Rejection;

struct Bench {
    series: PartitionSeries,
    room: Room,
    now: u32,
}

impl Bench {
    fn new(exactly_once: bool) -> Self {
        Self {
            series: series(exactly_once),
            room: Room::new(1000),
            now: 100,
        }
    }

    fn apply(&mut self, fields: &str) -> Result<Applied, Rejection> {
        apply_at(&mut self.series, fields, self.now, &mut self.room)
    }

    fn take(&mut self, fields: &str) {
        assert_eq!(self.apply(fields), Ok(Applied::Taken), "{fields}");
    }

    fn reason(&mut self, fields: &str) -> &'static str {
        match self.apply(fields) {
            Err(why) => why.reason,
            Ok(applied) => panic!("{fields}: {applied:?}"),
        }
    }

    fn values(&self) -> Vec<(String, f64)> {
        values(&self.series).into_iter().collect()
    }
}

#[test]
fn a_sum_that_would_not_be_finite_is_rejected_and_changes_nothing() {
    let mut bench = Bench::new(false);
    for (name, kind, op) in [
        ("c", "counter", ""),
        ("g", "gauge", r#","op":"add""#),
        ("h", "histogram", ""),
    ] {
        let event = format!(r#""name":"{name}","kind":"{kind}","value":1.7e308{op}"#);
        bench.take(&event);
        let before = shown(&bench.series.snapshot());
        assert_eq!(bench.reason(&event), "overflow");
        assert_eq!(shown(&bench.series.snapshot()), before);
    }
}

#[test]
fn names_that_would_be_samples_of_another_family_clash_whichever_comes_first() {
    let cases = [
        (("h", "histogram"), ("h_sum", "gauge"), true),
        (("h", "histogram"), ("h_count", "counter"), true),
        (("h", "histogram"), ("h_bucket", "histogram"), true),
        (("h", "histogram"), ("h_created", "gauge"), true),
        (("h", "histogram"), ("h_total", "counter"), true),
        (("c_total", "counter"), ("c_created", "gauge"), true),
        (("c", "counter"), ("c_total", "counter"), true),
        (("c", "counter"), ("c_total", "gauge"), true),
        (("c", "counter"), ("c_created", "gauge"), true),
        (("c_total", "counter"), ("c", "gauge"), false),
        (("g", "gauge"), ("g_sum", "gauge"), false),
        (("g", "gauge"), ("g_total", "counter"), false),
        (("c_total", "counter"), ("c_sum", "counter"), false),
        (("a_b", "counter"), ("a", "histogram"), false),
    ];
    for (one, other, clash) in cases {
        for (first, second) in [(one, other), (other, one)] {
            let mut bench = Bench::new(false);
            let event = |(name, kind)| format!(r#""name":"{name}","kind":"{kind}","value":1"#);
            bench.take(&event(first));
            let applied = bench.apply(&event(second)).map_err(|why| why.reason);
            let want = match clash {
                true => Err("type_clash"),
                false => Ok(Applied::Taken),
            };
            assert_eq!(applied, want, "{first:?}, {second:?}");
        }
    }
}

#[test]
fn the_consumers_own_names_are_nobodys_else_not_even_as_a_sample() {
    let mut bench = Bench::new(false);
    for (name, kind) in [
        ("bt_service_health", "gauge"),
        ("bt_service_health_latency_seconds", "gauge"),
        ("bt_events_total", "counter"),
        ("bt_events_created", "gauge"),
        ("bt_events", "counter"),
        ("bt_events", "histogram"),
    ] {
        let event = format!(r#""name":"{name}","kind":"{kind}","value":1"#);
        assert_eq!(bench.reason(&event), "reserved_name", "{name} {kind}");
    }
    bench.take(r#""type":"order.created""#);
    assert_eq!(
        bench.reason(r#""name":"bt_events_total","kind":"counter","value":1"#),
        "reserved_name"
    );
}

#[test]
fn texts_that_are_too_long_are_rejected_also_of_a_known_series() {
    let mut bench = Bench::new(false);
    let metric = r#""name":"g","kind":"gauge","value":1"#;
    bench.take(metric);
    for (field, length, reason) in [
        ("help", 1025, "help_too_long"),
        ("unit", 65, "unit_too_long"),
    ] {
        let text = "x".repeat(length);
        let event = format!(r#"{metric},"{field}":"{text}""#);
        assert_eq!(bench.reason(&event), reason);
        // Escapes do not count, the text does.
        let short = "\\u0078".repeat(length - 1);
        bench.take(&format!(r#"{metric},"{field}":"{short}""#));
    }
    let long = "n".repeat(257);
    let event = format!(r#""name":"{long}","kind":"gauge","value":1"#);
    assert_eq!(bench.reason(&event), "invalid_name");
    let value = "v".repeat(9000);
    let event = format!(r#"{metric},"labels":{{"l":"{value}"}}"#);
    assert_eq!(bench.reason(&event), "labels_too_long");
    let many: Vec<String> = (0..65).map(|n| format!(r#""l{n}":1"#)).collect();
    let event = format!(r#"{metric},"labels":{{{}}}"#, many.join(","));
    assert_eq!(bench.reason(&event), "too_many_labels");
}

#[test]
fn a_health_event_is_taken_whole_or_rejected_whole() {
    let mut bench = Bench::new(false);
    let long = "c".repeat(9000);
    for bad in [
        format!(r#""status":"down","checks":{{"db":"down","{long}":"up"}}"#),
        r#""status":"down","checks":{"db":"down","":"up"}"#.to_owned(),
    ] {
        assert!(bench.apply(&bad).is_err());
        assert_eq!(bench.series.len(), 0);
    }
    assert_eq!(
        bench.reason(r#""status":"down","latency_ms":1e999"#),
        "non_finite_value"
    );
    assert_eq!(bench.room.used(), 0);
    bench.take(r#""status":"up","checks":{"db":"degraded"},"latency_ms":250"#);
    assert_eq!(
        bench.values(),
        [
            (r#"bt_service_health"#.to_owned(), 1.0),
            (r#"bt_service_health,check="db""#.to_owned(), 0.5),
            ("bt_service_health_latency_seconds".to_owned(), 0.25),
        ]
    );
}

#[test]
fn an_event_without_room_is_counted_once_and_known_series_still_have_it() {
    let mut bench = Bench::new(false);
    bench.take(r#""status":"up""#);
    bench.room.set_limit(1);
    let event = r#""status":"down","checks":{"db":"down","mq":"down"}"#;
    assert_eq!(bench.apply(event), Ok(Applied::NoRoom));
    assert_eq!(bench.values(), [("bt_service_health".to_owned(), 0.0)]);
    assert_eq!(bench.room.take_refused().collect::<Vec<_>>(), [("s", 1)]);
    assert_eq!(bench.room.used(), 1);
}

#[test]
fn events_of_one_series_may_differ_in_their_json() {
    let mut bench = Bench::new(false);
    let forms = [
        r#""name":"c","kind":"counter","value":1,"labels":{"a":"x","b":200}"#,
        r#""name":"c","kind":"counter","value":1,"labels":{"b":"200","a":"x"}"#,
        r#""name":"c","kind":"counter","value":1,"labels":{"b":"200","a":"\u0078","c":null}"#,
        r#""name":"c","kind":"counter","value":1,"labels":{"b":200,"a":"x"},"help":"h","unit":"u""#,
    ];
    for _ in 0..30 {
        for form in forms {
            bench.take(form);
        }
    }
    assert_eq!(bench.values(), [(r#"c,a="x",b="200""#.to_owned(), 120.0)]);
    let info = &bench.series.snapshot().families[0].family;
    assert_eq!(
        (info.help.as_deref(), info.unit.as_deref()),
        (Some("h"), Some("u"))
    );
    // Buckets are part of what is checked, so also of what is recognised.
    bench.take(r#""name":"h","kind":"histogram","value":1,"buckets":[1,2]"#);
    bench.take(r#""name":"h","kind":"histogram","value":1"#);
    let other = r#""name":"h","kind":"histogram","value":1,"buckets":[1,3]"#;
    assert_eq!(bench.reason(other), "bucket_clash");
}

#[test]
fn a_trace_becomes_the_exemplar_of_its_counter_or_bucket() {
    let mut bench = Bench::new(false);
    let traced = |metric: &str, id: &str| format!(r#"{metric},"trace_id":"{id}""#);
    let count = r#""name":"c","kind":"counter","value":2"#;
    let trace = |shown: &Shown| shown.exemplar.as_ref().map(|e| e.trace_id.to_string());
    bench.take(&traced(count, "one"));
    bench.take(&traced(count, "two"));
    // What cannot be one does no harm.
    for bad in ["", "a b", &"x".repeat(65), "\\u00e4"] {
        bench.take(&traced(count, bad));
    }
    let all = shown(&bench.series.snapshot());
    assert_eq!(trace(&all["c"]).as_deref(), Some("two"));
    assert_eq!(all["c"].value, 12.0);
    let exemplar = all["c"].exemplar.as_ref().expect("one");
    assert_eq!((exemplar.value, exemplar.at), (2.0, 1000));
    for (value, id) in [("0.1", "a"), ("7", "b"), ("0.2", "c")] {
        let metric = format!(r#""name":"h","kind":"histogram","value":{value}"#);
        bench.take(&traced(&metric, id));
    }
    let all = shown(&bench.series.snapshot());
    let histogram = all["h"].histogram.as_ref().expect("a histogram");
    let mut traces: Vec<_> = histogram
        .exemplars
        .iter()
        .map(|(bucket, e)| (*bucket, &*e.trace_id, e.value))
        .collect();
    traces.sort_by_key(|(bucket, ..)| *bucket);
    assert_eq!(traces, [(0, "c", 0.2), (2, "b", 7.0)]);
    // A gauge has none.
    bench.take(&traced(r#""name":"g","kind":"gauge","value":2"#, "one"));
    assert_eq!(trace(&shown(&bench.series.snapshot())["g"]), None);
}

#[test]
fn a_new_series_is_hidden_until_the_commit_that_holds_it() {
    let mut bench = Bench::new(true);
    bench.take(&counter("c", 1, 1.0));
    assert!(bench.values().is_empty());
    let mut records = Vec::new();
    bench.series.write(1, &mut records);
    bench.take(&counter("c", 2, 1.0));
    bench.take(&counter("c", 1, 1.0));
    assert!(bench.values().is_empty());
    bench.series.committed();
    assert_eq!(bench.values(), [(r#"c,n="1""#.to_owned(), 2.0)]);
    assert!(bench.series.is_dirty());
    bench.series.write(2, &mut records);
    bench.series.not_committed();
    assert_eq!(bench.values().len(), 1);
    assert!(bench.series.is_dirty());
    commit(&mut bench.series, 2);
    assert_eq!(bench.values().len(), 2);
    assert!(!bench.series.is_dirty());
}

#[test]
fn a_series_that_comes_back_is_a_new_one() {
    let mut bench = Bench::new(true);
    bench.take(&counter("c", 1, 5.0));
    commit(&mut bench.series, 1);
    bench.now = 200;
    // Keeps the page.
    bench.take(&counter("c", 2, 1.0));
    commit(&mut bench.series, 1);
    assert_eq!(bench.series.expire(200, &mut bench.room), 1);
    let stays = [(r#"c,n="2""#.to_owned(), 1.0)];
    assert_eq!(bench.values(), stays);
    bench.take(&counter("c", 1, 1.0));
    assert_eq!(bench.values(), stays);
    // A removal while the new series is in flight takes that one away too.
    bench.series.write(2, &mut Vec::new());
    bench.now = 300;
    bench.take(&counter("c", 2, 0.0));
    assert_eq!(bench.series.expire(300, &mut bench.room), 1);
    bench.take(&counter("c", 1, 2.0));
    bench.series.committed();
    assert_eq!(bench.values(), stays);
    commit(&mut bench.series, 3);
    let all = shown(&bench.series.snapshot());
    let series = &all[r#"c,n="1""#];
    assert_eq!((series.value, series.created), (2.0, 300_007));
    assert_eq!(bench.room.used(), 2);
}

#[test]
fn slots_and_pages_are_used_again_and_what_was_there_is_forgotten() {
    let mut bench = Bench::new(false);
    for n in 0..100 {
        bench.now = 100 + n % 2;
        bench.take(&counter("c", n, 1.0));
    }
    let bytes = bench.series.bytes();
    for round in 0..20u32 {
        assert_eq!(bench.series.expire(101 + round, &mut bench.room), 50);
        assert_eq!(bench.series.len(), 50);
        bench.now = 102 + round;
        for n in 0..50 {
            bench.take(&counter("c", 1000 * (round + 1) + n, f64::from(round)));
        }
        assert_eq!(bench.series.len(), 100);
    }
    let all = bench.values();
    assert_eq!(all.len(), 100);
    for (name, value) in all {
        assert!(
            (value == 19.0 && name.starts_with(r#"c,n="20"#))
                || (value == 18.0 && name.starts_with(r#"c,n="19"#)),
            "{name} {value}"
        );
    }
    assert!(bench.series.bytes() < bytes * 5 / 4);
    bench.series.expire(u32::MAX, &mut bench.room);
    assert_eq!((bench.series.len(), bench.room.used()), (0, 0));
    // Not even the family is left: the name may be another kind's.
    bench.take(r#""name":"c","kind":"gauge","value":1"#);
}
