//! Any snapshots give a page that is valid and says what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use bt_events::Kind;
use proptest::prelude::*;

use super::fixture::*;
use super::native::{decode, expand};
use super::strict::{self, Page as Read};
use super::*;
use crate::sink::prometheus::snapshot::*;

/// Names that clash in every way that there is.
const NAMES: [&str; 13] = [
    "a",
    "a_total",
    "a_created",
    "a_created_total",
    "a_sum",
    "a_seconds",
    "a_seconds_total",
    "h",
    "h_bucket",
    "h_sum",
    "h_sum_total",
    "h_created",
    "_total",
];

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u32>().prop_map(f64::from),
        (-1e19..1e19f64).prop_map(f64::round),
        prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        Just(f64::INFINITY),
    ]
}

fn exemplars() -> impl Strategy<Value = Option<Exemplar>> {
    let exemplar = (".{1,40}", value(), -5_000..5_000_000_000_000i64);
    prop::option::of(exemplar.prop_map(|(trace_id, value, at)| Exemplar {
        trace_id: trace_id.into(),
        value,
        at,
    }))
}

fn buckets() -> impl Strategy<Value = Vec<(i32, u64)>> {
    let buckets = prop::collection::btree_map(-300..300i32, 0..u64::from(u32::MAX), 0..12);
    buckets.prop_map(|buckets| buckets.into_iter().collect())
}

fn histogram(bounds: usize) -> impl Strategy<Value = HistogramSnapshot> {
    let native = (-4..=8i8, 0..1000u64, buckets(), buckets());
    (
        native,
        value(),
        exemplars(),
        0..=bounds,
        prop::bool::weighted(0.97),
    )
        .prop_map(
            move |((schema, zero_count, positive, negative), sum, exemplar, bucket, adds_up)| {
                let native = Native {
                    schema,
                    zero_count,
                    positive,
                    negative,
                    ..Native::default()
                };
                let mut counts = vec![0; bounds + 1];
                counts[bucket] = native.count() + u64::from(!adds_up);
                HistogramSnapshot {
                    counts: counts.into(),
                    sum,
                    native,
                    exemplars: exemplar.map(|e| (bucket as u16, e)).into_iter().collect(),
                }
            },
        )
}

#[derive(Debug, Clone)]
struct Spec {
    info: FamilyInfo,
    shown: u32,
    series: Vec<(String, f64, HistogramSnapshot, Option<Exemplar>)>,
}

fn spec() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![
        Just(Kind::Counter),
        Just(Kind::Gauge),
        Just(Kind::Histogram)
    ];
    let text = prop::option::of(r#"[ a-z\\"\n]{0,8}"#);
    let unit = prop::option::of(prop_oneof![Just("seconds"), Just("total"), Just("")]);
    (kind, text, unit, 0..3usize, any::<u32>()).prop_flat_map(
        |(kind, help, unit, bounds, shown)| {
            let bounds = if kind == Kind::Histogram { bounds } else { 0 };
            let info = FamilyInfo {
                help: help.map(Into::into),
                unit: unit.map(Into::into),
                buckets: [-0.5, 1e6][..bounds].into(),
                ..info("", kind)
            };
            let series = (".{0,8}", value(), histogram(bounds), exemplars());
            prop::collection::vec(series, 1..40).prop_map(move |series| Spec {
                info: info.clone(),
                shown,
                series,
            })
        },
    )
}

fn snapshots() -> impl Strategy<Value = Vec<PartitionSnapshot>> {
    let families = prop::collection::btree_map(prop::sample::select(&NAMES[..]), spec(), 0..6);
    prop::collection::vec(families, 1..4).prop_map(|partitions| {
        let partitions = partitions.into_iter().enumerate();
        partitions.map(|(p, families)| build(p, families)).collect()
    })
}

fn build(partition: usize, families: BTreeMap<&str, Spec>) -> PartitionSnapshot {
    let families = families.into_iter().map(|(name, spec)| {
        let escaped = |text: &str| {
            let mut out = Vec::new();
            labels::escape(text, &mut out);
            String::from_utf8(out).expect("text")
        };
        let labels: Vec<_> = (spec.series.iter().enumerate())
            .map(|(n, (text, ..))| {
                format!(
                    "text=\"{}\",n=\"{n}\",source=\"m/{partition}\"",
                    escaped(text)
                )
            })
            .collect();
        let info = FamilyInfo {
            name: name.into(),
            ..spec.info
        };
        let is_histogram = info.kind == Kind::Histogram;
        let series: Vec<_> = labels
            .iter()
            .map(String::as_str)
            .zip(&spec.series)
            .collect();
        let mut family = family(info, &series, |of_page| match is_histogram {
            true => Values::Histograms(of_page.iter().map(|s| s.2.clone()).collect()),
            false => Values::Numbers(of_page.iter().map(|s| s.1).collect()),
        });
        for (page, specs) in family.pages.iter_mut().zip(spec.series.chunks(PAGE)) {
            page.shown &= spec.shown;
            let exemplars = specs.iter().enumerate();
            page.exemplars = exemplars
                .filter_map(|(slot, s)| Some((slot as u8, s.3.clone()?)))
                .collect();
        }
        family
    });
    PartitionSnapshot {
        families: families.collect(),
    }
}

/// What one series says.
struct Series<'s> {
    info: &'s Arc<FamilyInfo>,
    labels: Vec<(String, String)>,
    number: Option<f64>,
    histogram: Option<&'s HistogramSnapshot>,
    exemplar: Option<&'s Exemplar>,
}

fn all_series(partitions: &[PartitionSnapshot]) -> Vec<Series<'_>> {
    let mut all = Vec::new();
    for family in partitions.iter().flat_map(|p| &p.families) {
        for page in &family.pages {
            for slot in (0..PAGE).filter(|slot| page.shown >> slot & 1 == 1) {
                let pairs = labels::pairs(page.labels.of(slot));
                let labels = pairs.map(|(name, value)| {
                    let mut plain = String::new();
                    labels::unescape(value, &mut plain);
                    (name.to_owned(), plain)
                });
                all.push(Series {
                    info: &family.family,
                    labels: labels.collect(),
                    number: match &page.values {
                        Values::Numbers(numbers) => Some(numbers[slot]),
                        Values::Histograms(_) => None,
                    },
                    histogram: match &page.values {
                        Values::Numbers(_) => None,
                        Values::Histograms(histograms) => Some(&histograms[slot]),
                    },
                    exemplar: page.exemplar(slot),
                });
            }
        }
    }
    all
}

/// Name, labels, value, exemplar.
type Line = (
    String,
    Vec<(String, String)>,
    f64,
    Option<(String, f64, f64)>,
);

fn expected_lines(series: &[Series<'_>], open: bool, page: &Read) -> Vec<Line> {
    let mut lines = Vec::new();
    for s in series {
        let name = &*s.info.name;
        let base = name.strip_suffix("_total").unwrap_or_default();
        let is_counter = s.info.kind == Kind::Counter
            && page.types.get(base).is_some_and(|kind| kind == "counter");
        let exemplar = |exemplar: Option<&Exemplar>| {
            let seconds = |e: &Exemplar| e.at as f64 / 1000.0;
            let exemplar = exemplar
                .filter(|e| is_showable(e) && open && (is_counter || s.histogram.is_some()));
            exemplar.map(|e| (e.trace_id.to_string(), e.value, seconds(e)))
        };
        let mut line = |part: &str, value: f64, of: Option<&Exemplar>, le: Option<String>| {
            let mut labels = s.labels.clone();
            labels.extend(le.map(|le| ("le".to_owned(), le)));
            lines.push((format!("{name}{part}"), labels, value, exemplar(of)));
        };
        if let Some(number) = s.number {
            line("", number, s.exemplar, None);
        }
        if let Some(histogram) = s.histogram {
            let total = histogram.counts.iter().sum::<u64>() as f64;
            line("_sum", histogram.sum, None, None);
            line("_count", total, None, None);
            let mut count = 0;
            for (bucket, of_bucket) in histogram.counts.iter().enumerate() {
                count += of_bucket;
                let bound = s.info.buckets.get(bucket).copied().unwrap_or(f64::INFINITY);
                let le = number::bound(bound, open);
                line(
                    "_bucket",
                    count as f64,
                    histogram.exemplar(bucket),
                    Some(le),
                );
            }
        }
        if open && (is_counter || s.histogram.is_some()) {
            let base = if is_counter { base } else { name };
            let created = CREATED as f64 / 1000.0;
            lines.push((format!("{base}_created"), s.labels.clone(), created, None));
        }
    }
    lines
}

fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    lines
}

/// The series of families that are on the page.
fn on_page<'s>(all: Vec<Series<'s>>, text: &Read) -> Vec<Series<'s>> {
    let kind_on_page = |s: &Series<'_>| match &**text.types.get(&*s.info.name)? {
        "counter" => Some(Kind::Counter),
        "gauge" => Some(Kind::Gauge),
        _ => Some(Kind::Histogram),
    };
    let shown = |s: &Series<'_>| kind_on_page(s) == Some(s.info.kind);
    all.into_iter().filter(shown).collect()
}

fn read(partitions: &[PartitionSnapshot], format: Format) -> (Read, usize) {
    let page = render(partitions, format, Encoding::Identity);
    let text = String::from_utf8(page.body.into()).expect("text");
    let read = strict::read(&text, format == Format::OpenMetrics);
    (
        read.unwrap_or_else(|why| panic!("{why}\nin\n{text}")),
        page.hidden,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_say_what_the_snapshots_say(partitions in snapshots()) {
        let (text, hidden) = read(&partitions, Format::Text);
        let all = all_series(&partitions);
        let total = all.len();
        let shown = on_page(all, &text);
        prop_assert_eq!(shown.len() + hidden, total);
        for format in [Format::Text, Format::OpenMetrics] {
            let open = format == Format::OpenMetrics;
            let (page, hidden_too) = read(&partitions, format);
            prop_assert_eq!(hidden_too, hidden);
            let expected = sorted(expected_lines(&shown, open, &page));
            let lines = page.samples.into_iter().map(|s| (s.name, s.labels, s.value, s.exemplar));
            prop_assert_eq!(sorted(lines.collect()), expected);
        }
        let page = render(&partitions, Format::Protobuf, Encoding::Identity);
        prop_assert_eq!(page.hidden, hidden);
        let families = decode(&page.body);
        let names: Vec<_> = families.iter().map(|family| family.name().to_owned()).collect();
        prop_assert!(names.is_sorted());
        let mut metrics: BTreeMap<_, _> = BTreeMap::new();
        for family in &families {
            for metric in &family.metric {
                let labels = metric.label.iter();
                let labels: Vec<_> =
                    labels.map(|l| (l.name().to_owned(), l.value().to_owned())).collect();
                let before = metrics.insert((family.name().to_owned(), labels), metric);
                prop_assert!(before.is_none());
            }
        }
        prop_assert_eq!(metrics.len(), shown.len());
        let adds_up = |histogram: &HistogramSnapshot| {
            histogram.native.count() == histogram.counts.iter().sum::<u64>()
        };
        for s in &shown {
            let metric = metrics[&(s.info.name.to_string(), s.labels.clone())];
            let number = metric.counter.as_ref().map(|c| c.value())
                .or(metric.gauge.as_ref().map(|g| g.value()));
            prop_assert_eq!(number, s.number);
            prop_assert_eq!(metric.histogram.is_some(), s.histogram.is_some());
            if let (Some(found), Some(want)) = (&metric.histogram, s.histogram) {
                let total: u64 = want.counts.iter().sum();
                prop_assert_eq!(found.sample_count(), total);
                prop_assert_eq!(found.sample_sum(), want.sum);
                let native = expand(&found.positive_span, &found.positive_delta);
                let negative = expand(&found.negative_span, &found.negative_delta);
                let family = shown.iter().filter(|other| other.info.name == s.info.name);
                if family.filter_map(|other| other.histogram).all(adds_up) {
                    prop_assert_eq!(&native, &want.native.positive);
                    prop_assert_eq!(&negative, &want.native.negative);
                    prop_assert_eq!(found.schema(), i32::from(want.native.schema));
                } else {
                    prop_assert!(native.is_empty() && negative.is_empty());
                }
            }
        }
    }
}
