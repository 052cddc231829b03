//! Whole pages.

use bt_events::Kind;

use super::fixture::*;
use super::*;
use crate::sink::prometheus::snapshot::{FamilyInfo, Values};

fn text(partitions: &[PartitionSnapshot], format: Format) -> String {
    let page = render(partitions, format, Encoding::Identity);
    String::from_utf8(page.body.into()).expect("text")
}

/// Two partitions with something of everything.
fn sample() -> Vec<PartitionSnapshot> {
    let described = |name, kind, help: &str, unit: Option<&str>| FamilyInfo {
        help: Some(help.into()),
        unit: unit.map(Into::into),
        ..info(name, kind)
    };
    let mut requests = numbers_of(
        described(
            "req_total",
            Kind::Counter,
            "All \"requests\"\nof all.",
            None,
        ),
        &[
            (r#"service="s",a="x\"\\\n",source="m/0""#, 2.5),
            (r#"service="hidden",source="m/0""#, 7.0),
            (r#"service="t",source="m/0""#, 1e21),
        ],
    );
    requests.pages[0].shown = 0b101;
    requests.pages[0].exemplars = vec![(0, exemplar("4bf92f35", 1.0))];
    let mut latency = histograms("lat_seconds", &[(r#"service="s",source="m/0""#, [1, 2, 3])]);
    if let Values::Histograms(histograms) = &mut latency.pages[0].values {
        histograms[0].exemplars = vec![(2, exemplar("a\"b", 2e6))];
    }
    let unit = |name, unit| described(name, Kind::Gauge, "", Some(unit));
    vec![
        partition(vec![
            numbers_of(
                unit("temp_celsius", "celsius"),
                &[(r#"source="m/0""#, -1.5)],
            ),
            latency,
            requests,
            numbers("jobs", Kind::Counter, &[(r#"source="m/0""#, 3.0)]),
            numbers("size", Kind::Gauge, &[]),
        ]),
        partition(vec![
            numbers_of(
                unit("depth", "metres"),
                &[(r#"source="m/1""#, f64::INFINITY)],
            ),
            numbers_of(
                described("req_total", Kind::Counter, "Another help.", None),
                &[(r#"service="s",source="m/1""#, 9_007_199_254_740_991.0)],
            ),
        ]),
    ]
}

#[test]
fn a_text_page_is_as_prometheus_reads_it() {
    let expected = r##"# TYPE depth gauge
depth{source="m/1"} +Inf
# TYPE jobs counter
jobs{source="m/0"} 3
# TYPE lat_seconds histogram
lat_seconds_bucket{service="s",source="m/0",le="0.5"} 1
lat_seconds_bucket{service="s",source="m/0",le="1e+06"} 3
lat_seconds_bucket{service="s",source="m/0",le="+Inf"} 6
lat_seconds_sum{service="s",source="m/0"} 100.25
lat_seconds_count{service="s",source="m/0"} 6
# HELP req_total All "requests"\nof all.
# TYPE req_total counter
req_total{service="s",a="x\"\\\n",source="m/0"} 2.5
req_total{service="t",source="m/0"} 1e+21
req_total{service="s",source="m/1"} 9007199254740991
# TYPE temp_celsius gauge
temp_celsius{source="m/0"} -1.5
"##;
    assert_eq!(text(&sample(), Format::Text), expected);
}

#[test]
fn an_openmetrics_page_has_units_beginnings_and_exemplars() {
    let expected = r##"# TYPE depth gauge
depth{source="m/1"} +Inf
# TYPE jobs unknown
jobs{source="m/0"} 3
# TYPE lat_seconds histogram
lat_seconds_bucket{service="s",source="m/0",le="0.5"} 1
lat_seconds_bucket{service="s",source="m/0",le="1e+06"} 3
lat_seconds_bucket{service="s",source="m/0",le="+Inf"} 6 # {trace_id="a\"b"} 2000000 1700000001.005
lat_seconds_sum{service="s",source="m/0"} 100.25
lat_seconds_count{service="s",source="m/0"} 6
lat_seconds_created{service="s",source="m/0"} 1700000000.250
# HELP req All \"requests\"\nof all.
# TYPE req counter
req_total{service="s",a="x\"\\\n",source="m/0"} 2.5 # {trace_id="4bf92f35"} 1 1700000001.005
req_created{service="s",a="x\"\\\n",source="m/0"} 1700000000.250
req_total{service="t",source="m/0"} 1e+21
req_created{service="t",source="m/0"} 1700000000.250
req_total{service="s",source="m/1"} 9007199254740991
req_created{service="s",source="m/1"} 1700000000.250
# TYPE temp_celsius gauge
# UNIT temp_celsius celsius
temp_celsius{source="m/0"} -1.5
# EOF
"##;
    assert_eq!(text(&sample(), Format::OpenMetrics), expected);
}

#[test]
fn without_series_there_is_an_empty_page() {
    let nothing = [partition(vec![numbers("a", Kind::Gauge, &[])])];
    assert_eq!(text(&nothing, Format::Text), "");
    assert_eq!(text(&nothing, Format::OpenMetrics), "# EOF\n");
    assert_eq!(text(&nothing, Format::Protobuf), "");
}

#[test]
fn the_reserved_size_is_enough_and_not_much_more() {
    let labels = r#"service="checkout",instance="checkout-1",path="/api",source="m/0""#;
    let series = [(labels, 12_345.0); 64];
    let buckets = [(labels, [1, 2, 3]); 64];
    let partitions = [partition(vec![
        numbers("requests_total", Kind::Counter, &series),
        histograms("latency_seconds", &buckets),
    ])];
    let families = Families::merge(&partitions);
    for (format, dialect) in [
        (Format::Text, Dialect::Text),
        (Format::OpenMetrics, Dialect::OpenMetrics),
    ] {
        let size = text::size(&families, dialect);
        let page = render(&partitions, format, Encoding::Identity).body.len();
        assert!((page..page * 5 / 4).contains(&size), "{size} for {page}");
    }
}

#[test]
fn a_gzipped_page_is_the_same_page() {
    let series: Vec<_> = (0..5000)
        .map(|n| (format!("n=\"{n}\""), f64::from(n)))
        .collect();
    let series: Vec<_> = series.iter().map(|(l, v)| (l.as_str(), *v)).collect();
    let partitions = [partition(vec![numbers("g", Kind::Gauge, &series)])];
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let plain = render(&partitions, format, Encoding::Identity).body;
        let packed = render(&partitions, format, Encoding::Gzip).body;
        assert!(packed.len() < plain.len() / 2);
        let mut unpacked = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(&*packed);
        std::io::Read::read_to_end(&mut gzip, &mut unpacked).expect("gzip");
        assert!(plain == unpacked, "{format:?}");
    }
}

#[test]
fn an_exemplar_has_at_most_128_characters_of_labels() {
    for (length, want) in [(0, 0), (1, 1), (120, 1), (121, 0)] {
        // Characters, not bytes.
        let id = "ä".repeat(length);
        let mut counter = numbers("a_total", Kind::Counter, &[(r#"b="c""#, 1.0)]);
        counter.pages[0].exemplars = vec![(0, exemplar(&id, 1.0))];
        let page = text(&[partition(vec![counter])], Format::OpenMetrics);
        assert_eq!(page.matches("trace_id").count(), want, "{length}");
    }
}

#[test]
fn an_exemplar_that_would_have_the_page_refused_is_left_out() {
    for id in ["a\0", "\u{1b}", "a\nb"] {
        let mut counter = numbers("a_total", Kind::Counter, &[(r#"b="c""#, 1.0)]);
        counter.pages[0].exemplars = vec![(0, exemplar(id, 1.0))];
        let page = text(&[partition(vec![counter])], Format::OpenMetrics);
        assert!(!page.contains("trace_id"), "{id:?}");
    }
}

#[test]
fn bounds_are_written_as_by_go() {
    // What strconv.FormatFloat(f, 'g', -1, 64) gives.
    let cases = [
        (1e5, "100000"),
        (123_456.0, "123456"),
        (1_234_567.0, "1.234567e+06"),
        (1e6, "1e+06"),
        (1e21, "1e+21"),
        (1_048_576.0, "1.048576e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.000_123_45, "0.00012345"),
        (-1e7, "-1e+07"),
        (2.5, "2.5"),
        (0.0, "0"),
        (f64::INFINITY, "+Inf"),
    ];
    for (bound, want) in cases {
        assert_eq!(number::bound(bound, false), want);
    }
    // As Prometheus itself normalizes the label `le`.
    for (bound, want) in [(1.0, "1.0"), (0.0, "0.0"), (1e6, "1e+06"), (100.0, "100.0")] {
        assert_eq!(number::bound(bound, true), want);
    }
}

#[test]
fn times_are_written_in_seconds() {
    for (millis, want) in [(1000, "1"), (1005, "1.005"), (-1500, "-1.500"), (0, "0")] {
        let mut out = Vec::new();
        number::timestamp(&mut out, millis);
        assert_eq!(out, want.as_bytes());
    }
}
