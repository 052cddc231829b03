use super::exposition::{Encoding, Format, Shown};
use super::*;
use crate::config::HumanDuration;
use crate::pipeline::Lease;

struct Bench {
    sink: PrometheusSink,
    store: Arc<Store>,
    stats: Arc<Stats>,
    partitions: Vec<Arc<Assignment>>,
    began: Instant,
}

impl Bench {
    fn new(max_series: u32) -> Self {
        let store = Arc::new(Store::new(Arc::new(Lease::unlimited())));
        let stats = Arc::new(Stats::new());
        let config = config::PrometheusSink {
            series_ttl: HumanDuration::from_secs(60),
            max_series,
            histogram_buckets: vec![0.5, 1.0, 10.0],
            exactly_once: false,
        };
        let mut sink = PrometheusSink::new(
            &config,
            Arc::new(SeriesSettings {
                histogram_buckets: config.histogram_buckets.clone().into(),
                exactly_once: false,
            }),
            store.clone(),
            stats.clone(),
        );
        let partitions: Vec<_> = (0..2)
            .map(|p| Arc::new(Assignment::new("m".into(), "id".into(), p, p as u64 + 1)))
            .collect();
        for partition in &partitions {
            sink.assigned(partition);
        }
        Self {
            sink,
            store,
            stats,
            partitions,
            began: Instant::now(),
        }
    }

    fn send(&mut self, partition: usize, json: &str) -> Taken {
        let json = format!(r#"{{"ts":1,"service":"s","instance":"i",{json}}}"#);
        let event = bt_events::parse(json.as_bytes())
            .and_then(|mut elements| elements.next().expect("one").event())
            .expect(&json);
        let origin = Origin {
            assignment: &self.partitions[partition],
            offset: 0,
            timestamp: None,
            key: None,
            place: None,
            bytes: None,
        };
        self.sink.event(&event, &origin)
    }

    fn page(&self, format: Format) -> String {
        let page = exposition::render(&self.store.snapshots(), format, Encoding::Identity);
        String::from_utf8(page.body.to_vec()).expect("text")
    }
}

#[test]
fn series_are_shown_as_prometheus_reads_them() {
    let mut bench = Bench::new(100);
    let events = [
        (
            0,
            r#""name":"req_total","kind":"counter","value":2,"labels":{"code":200,"a":"x\"\\\n"},"help":"All \"requests\"\nof all.""#,
        ),
        (
            0,
            r#""name":"req_total","kind":"counter","value":0.5,"labels":{"a":"x\"\\\n","code":"200","none":null}"#,
        ),
        (1, r#""name":"req_total","kind":"counter","value":1"#),
        (0, r#""name":"jobs","kind":"counter","value":3"#),
        (
            0,
            r#""name":"temp_celsius","kind":"gauge","value":20,"unit":"celsius""#,
        ),
        (
            0,
            r#""name":"temp_celsius","kind":"gauge","value":-1.5,"op":"add""#,
        ),
        (0, r#""name":"lat","kind":"histogram","value":0.5"#),
        (0, r#""name":"lat","kind":"histogram","value":0.7"#),
        (0, r#""name":"lat","kind":"histogram","value":99"#),
        (0, r#""type":"order.created","payload":{}"#),
        (
            0,
            r#""status":"degraded","checks":{"db":"down"},"latency_ms":12"#,
        ),
    ];
    for (partition, event) in events {
        assert!(
            matches!(bench.send(partition, event), Taken::Done),
            "{event}"
        );
    }
    let text = bench.page(Format::Text);
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        r#"# HELP req_total All "requests"\nof all."#,
        "# TYPE req_total counter",
        r#"req_total{service="s",instance="i",a="x\"\\\n",code="200",source="m/0"} 2.5"#,
        r#"req_total{service="s",instance="i",source="m/1"} 1"#,
        "# TYPE jobs counter",
        r#"temp_celsius{service="s",instance="i",source="m/0"} 18.5"#,
        "# TYPE lat histogram",
        r#"lat_bucket{service="s",instance="i",source="m/0",le="0.5"} 1"#,
        r#"lat_bucket{service="s",instance="i",source="m/0",le="1"} 2"#,
        r#"lat_bucket{service="s",instance="i",source="m/0",le="10"} 2"#,
        r#"lat_bucket{service="s",instance="i",source="m/0",le="+Inf"} 3"#,
        r#"lat_sum{service="s",instance="i",source="m/0"} 100.2"#,
        r#"lat_count{service="s",instance="i",source="m/0"} 3"#,
        r#"bt_events_total{service="s",type="order.created",source="m/0"} 1"#,
        r#"bt_service_health{service="s",instance="i",source="m/0"} 0.5"#,
        r#"bt_service_health{service="s",instance="i",check="db",source="m/0"} 0"#,
        r#"bt_service_health_latency_seconds{service="s",instance="i",source="m/0"} 0.012"#,
    ];
    for line in expected {
        assert!(lines.contains(&line), "{line}\nis missing in\n{text}");
    }
    assert_eq!(text.matches("# TYPE req_total").count(), 1);
    let open = bench.page(Format::OpenMetrics);
    for line in [
        "# TYPE req counter",
        r#"# HELP req All \"requests\"\nof all."#,
        "# TYPE jobs unknown",
        "# UNIT temp_celsius celsius",
        r#"lat_bucket{service="s",instance="i",source="m/0",le="1.0"} 2"#,
    ] {
        assert!(
            open.lines().any(|l| l == line),
            "{line}\nis missing in\n{open}"
        );
    }
    assert!(open.ends_with("# EOF\n"));
}

#[test]
fn what_prometheus_would_not_take_is_rejected_by_reason() {
    let mut bench = Bench::new(100);
    assert!(matches!(
        bench.send(0, r#""name":"c","kind":"counter","value":1"#),
        Taken::Done
    ));
    assert!(matches!(
        bench.send(0, r#""name":"h","kind":"histogram","value":1"#),
        Taken::Done
    ));
    let cases = [
        (r#""name":"a b","kind":"counter","value":1"#, "invalid_name"),
        (r#""name":"","kind":"counter","value":1"#, "invalid_name"),
        (r#""name":"1a","kind":"counter","value":1"#, "invalid_name"),
        (r#""name":"c","kind":"gauge","value":1"#, "type_clash"),
        (r#""name":"h_sum","kind":"gauge","value":1"#, "type_clash"),
        (
            r#""name":"c","kind":"counter","value":-1"#,
            "negative_increment",
        ),
        (
            r#""name":"c","kind":"counter","value":1e999"#,
            "non_finite_value",
        ),
        (
            r#""name":"h","kind":"histogram","value":1,"buckets":[1,2]"#,
            "bucket_clash",
        ),
        (
            r#""name":"h2","kind":"histogram","value":1,"buckets":[2,1]"#,
            "invalid_buckets",
        ),
        (
            r#""name":"c","kind":"counter","value":1,"labels":{"a-b":"x"}"#,
            "invalid_label",
        ),
        (
            r#""name":"c","kind":"counter","value":1,"labels":{"a":{"b":1}}"#,
            "invalid_label",
        ),
        (
            r#""name":"c","kind":"counter","value":1,"labels":{"a":"1","a":"2"}"#,
            "invalid_label",
        ),
        (
            r#""name":"c","kind":"counter","value":1,"labels":{"source":"x"}"#,
            "reserved_label",
        ),
        (
            r#""name":"c","kind":"counter","value":1,"labels":{"__x":"x"}"#,
            "reserved_label",
        ),
        (
            r#""name":"bt_events_total","kind":"counter","value":1"#,
            "reserved_name",
        ),
        (r#""level":"info","message":"m""#, "wrong_kind"),
    ];
    for (event, want) in cases {
        match bench.send(0, event) {
            Taken::Rejected(why) => assert_eq!(why.reason, want, "{event}: {}", why.message),
            other => panic!("{event}: {other:?}"),
        }
    }
    // Another partition has its own types.
    assert!(matches!(
        bench.send(1, r#""name":"c","kind":"gauge","value":1"#),
        Taken::Done
    ));
    assert_eq!(bench.sink.room.used(), 3);
}

#[test]
fn max_series_bounds_all_partitions_together() {
    let mut bench = Bench::new(2);
    let event =
        |label: u32| format!(r#""name":"c","kind":"counter","value":1,"labels":{{"n":{label}}}"#);
    assert!(matches!(bench.send(0, &event(1)), Taken::Done));
    assert!(matches!(bench.send(1, &event(1)), Taken::Done));
    assert!(matches!(
        bench.send(0, &event(2)),
        Taken::Dropped {
            reason: "max_series"
        }
    ));
    assert!(matches!(bench.send(0, &event(1)), Taken::Done));
    let leaving = bench.partitions[1].clone();
    bench.sink.revoked(&[leaving]);
    assert_eq!(bench.sink.room.used(), 1);
    assert!(!bench.page(Format::Text).contains("m/1"));
    assert!(matches!(bench.send(0, &event(2)), Taken::Done));
}

#[test]
fn series_without_events_expire_by_the_clock() {
    let mut bench = Bench::new(10);
    let began = bench.began;
    let at = |secs| began + Duration::from_secs(secs);
    bench.send(0, r#""name":"old","kind":"counter","value":1"#);
    bench.sink.tick(at(40));
    bench.send(0, r#""name":"young","kind":"counter","value":1"#);
    bench.sink.tick(at(59));
    assert_eq!(bench.sink.room.used(), 2);
    bench.sink.tick(at(75));
    assert_eq!(bench.sink.room.used(), 1);
    assert!(bench.page(Format::Text).contains("young"));
    assert_eq!(bench.stats.series_expired.get(), 1);
    bench.sink.tick(at(200));
    assert_eq!(bench.page(Format::Text), "");
}

#[test]
fn formats_are_negotiated() {
    let cases = [
        ("", Format::Text),
        ("text/plain", Format::Text),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            Format::OpenMetrics,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.1",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;q=0,text/plain", Format::Text),
        (
            "application/openmetrics-text; version=0.0.1,text/plain",
            Format::Text,
        ),
    ];
    for (accept, want) in cases {
        assert_eq!(Format::negotiate(accept), want, "{accept}");
    }
}
