//! Protobuf pages, read as a scraper reads them.

use bt_events::Kind;
use prost::Message;

use super::fixture::*;
use super::*;
use crate::sink::prometheus::exposition::metrics_proto::*;
use crate::sink::prometheus::snapshot::{
    FamilyInfo, FamilySnapshot, HistogramSnapshot, Native, Values,
};

/// A family with its metrics.
#[derive(Clone, PartialEq, Message)]
pub struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    pub r#type: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    pub unit: Option<String>,
}

pub fn decode(mut body: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !body.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut body).expect("a family"));
    }
    families
}

/// The buckets by index that spans and deltas stand for.
pub fn expand(spans: &[BucketSpan], deltas: &[i64]) -> Vec<(i32, u64)> {
    let mut buckets = Vec::new();
    let (mut index, mut count) = (0, 0);
    let mut deltas = deltas.iter();
    for span in spans {
        index += span.offset();
        for _ in 0..span.length() {
            count += deltas.next().expect("a delta for each bucket");
            buckets.push((index, count as u64));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

fn read(families: Vec<FamilySnapshot>) -> Vec<MetricFamily> {
    decode(&render(&[partition(families)], Format::Protobuf, Encoding::Identity).body)
}

fn only(histogram: HistogramSnapshot) -> Histogram {
    let info = FamilyInfo {
        buckets: [1.0, 2.0].into(),
        ..info("h", Kind::Histogram)
    };
    let mut families = read(vec![histograms_of(info, &[(r#"a="b""#, histogram)])]);
    let family = &mut families[0];
    assert_eq!(family.r#type(), MetricType::Histogram);
    family.metric.remove(0).histogram.expect("a histogram")
}

#[test]
fn a_counter_has_its_labels_beginning_and_exemplar() {
    let described = FamilyInfo {
        help: Some("All \"of\"\nthem.".into()),
        unit: Some("bytes".into()),
        ..info("sent_bytes_total", Kind::Counter)
    };
    let mut counter = numbers_of(described, &[(r#"service="s",a="x\"\\\nä,b=\"c""#, 0.0)]);
    counter.pages[0].exemplars = vec![(0, exemplar("4bf92f35", 1.5))];
    let gauge = numbers("depth", Kind::Gauge, &[(r#"a="1""#, -0.25)]);
    let [gauge, counter] = &read(vec![counter, gauge])[..] else {
        panic!("two families, sorted");
    };
    assert_eq!(counter.name(), "sent_bytes_total");
    assert_eq!(counter.help(), "All \"of\"\nthem.");
    assert_eq!(counter.unit(), "bytes");
    assert_eq!(counter.r#type, Some(MetricType::Counter as i32));
    let metric = &counter.metric[0];
    let labels: Vec<_> = metric.label.iter().map(|l| (l.name(), l.value())).collect();
    assert_eq!(labels, [("service", "s"), ("a", "x\"\\\nä,b=\"c")]);
    let value = metric.counter.as_ref().expect("a counter");
    // Written, though it is the default.
    assert_eq!(value.value, Some(0.0));
    let created = value.created_timestamp.expect("a beginning");
    assert_eq!(
        (created.seconds, created.nanos),
        (1_700_000_000, 250_000_000)
    );
    let exemplar = value.exemplar.as_ref().expect("an exemplar");
    assert_eq!(exemplar.label[0].name(), "trace_id");
    assert_eq!(exemplar.label[0].value(), "4bf92f35");
    assert_eq!(exemplar.value(), 1.5);
    assert_eq!(exemplar.timestamp.expect("a time").nanos, 5_000_000);
    assert_eq!(gauge.r#type(), MetricType::Gauge);
    assert_eq!(gauge.metric[0].label.len(), 1);
    assert_eq!(gauge.metric[0].gauge.expect("a gauge").value(), -0.25);
    assert_eq!(gauge.metric[0].counter, None);
}

#[test]
fn a_histogram_has_classic_and_native_buckets() {
    let positive = vec![(-3, 4), (-2, 1), (5, 2), (6, 2), (9, 1)];
    let native = Native {
        zero_count: 3,
        negative: vec![(2, 7)],
        positive: positive.clone(),
        ..Native::default()
    };
    let histogram = only(HistogramSnapshot {
        counts: [12, 5, 3].into(),
        sum: 7.5,
        exemplars: vec![(1, exemplar("t", 1.5))],
        native,
    });
    assert_eq!(
        (histogram.sample_count(), histogram.sample_sum()),
        (20, 7.5)
    );
    let classic: Vec<_> = histogram
        .bucket
        .iter()
        .map(|b| (b.upper_bound(), b.cumulative_count(), b.exemplar.is_some()))
        .collect();
    let inf = f64::INFINITY;
    assert_eq!(
        classic,
        [(1.0, 12, false), (2.0, 17, true), (inf, 20, false)]
    );
    assert_eq!((histogram.schema(), histogram.zero_count()), (3, 3));
    assert_eq!(histogram.zero_threshold(), 2f64.powi(-128));
    let spans: Vec<_> = histogram
        .positive_span
        .iter()
        .map(|s| (s.offset(), s.length()))
        .collect();
    assert_eq!(spans, [(-3, 2), (6, 2), (2, 1)]);
    assert_eq!(histogram.positive_delta, [4, -3, 1, 0, -1]);
    assert_eq!(
        expand(&histogram.positive_span, &histogram.positive_delta),
        positive
    );
    assert_eq!(
        expand(&histogram.negative_span, &histogram.negative_delta),
        [(2, 7)]
    );
}

#[test]
fn where_one_native_histogram_does_not_add_up_its_family_is_classic() {
    let mut family = histograms("h", &[(r#"a="1""#, [1, 1, 1]), (r#"a="2""#, [1, 2, 3])]);
    let wrong = Native {
        positive: vec![(1, 2)],
        ..Native::default()
    };
    if let Values::Histograms(histograms) = &mut family.pages[0].values {
        histograms[1].native = wrong;
    }
    let other = histograms("i", &[("", [1, 1, 1])]);
    let families = read(vec![family, other]);
    let all = |family: &MetricFamily| -> Vec<Histogram> {
        let metrics = family.metric.iter();
        metrics
            .map(|m| m.histogram.clone().expect("a histogram"))
            .collect()
    };
    for (histogram, count) in all(&families[0]).iter().zip([3, 6]) {
        assert_eq!(histogram.sample_count(), count);
        assert_eq!(histogram.bucket.len(), 3);
        let native = (
            histogram.schema,
            histogram.zero_threshold,
            histogram.zero_count,
        );
        assert_eq!(native, (None, None, None));
        assert!(histogram.positive_span.is_empty() && histogram.positive_delta.is_empty());
    }
    assert_eq!(all(&families[1])[0].zero_count, Some(3));
}

#[test]
fn a_native_histogram_without_observations_can_be_told_from_a_classic_one() {
    let empty = Native {
        zero_threshold: 0.0,
        ..Native::default()
    };
    let histogram = only(HistogramSnapshot {
        native: empty,
        ..observed(&[0, 0, 0], 0.0)
    });
    let spans: Vec<_> = histogram
        .positive_span
        .iter()
        .map(|s| (s.offset(), s.length()))
        .collect();
    assert_eq!(spans, [(0, 0)]);
}

#[test]
fn one_series_leaves_nothing_in_the_next() {
    let mut long = numbers(
        "a_total",
        Kind::Counter,
        &[(r#"a="1",b="2""#, 1.0), ("", 2.0)],
    );
    long.pages[0].exemplars = vec![(0, exemplar("t", 1.0))];
    let mut histogram = histograms("h", &[("", [1, 0, 0]), ("", [0, 1, 0])]);
    if let Values::Histograms(histograms) = &mut histogram.pages[0].values {
        histograms[0].native.zero_count = 0;
        histograms[0].native.positive = vec![(1, 1)];
    }
    let families = read(vec![long, histogram]);
    let second = &families[0].metric[1];
    assert!(second.label.is_empty());
    assert_eq!(second.counter.as_ref().expect("a counter").exemplar, None);
    let second = families[1].metric[1]
        .histogram
        .as_ref()
        .expect("a histogram");
    assert!(second.positive_span.is_empty() && second.positive_delta.is_empty());
    assert_eq!(second.zero_count(), 1);
}
