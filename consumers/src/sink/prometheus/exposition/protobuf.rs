//! Prometheus' protobuf format, which has native histograms: families, each with its length before it.

use bt_events::Kind;
use prost::Message;

use super::families::{Families, Family};
use super::metrics_proto::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, METRIC_TAG, Metric,
    MetricFamilyHead, MetricType, Timestamp,
};
use super::output::Output;
use super::{TRACE_ID, is_showable, labels};
use crate::sink::prometheus::snapshot::{self, FamilyInfo, HistogramSnapshot, Native, Values};

/// Writes the page.
pub(super) fn write(families: &Families<'_>, out: &mut Output) {
    // Both are used again, so that a series takes no memory of its own.
    let mut body = Vec::new();
    let mut metric = Metric::default();
    for family in families.iter() {
        body.clear();
        write_family(family, &mut metric, &mut body);
        prost::encode_length_delimiter(body.len(), out.buffer())
            .expect("writing to memory does not fail");
        out.write(&body);
        out.pass_on();
    }
}

fn write_family(family: &Family<'_>, metric: &mut Metric, body: &mut Vec<u8>) {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let head = MetricFamilyHead {
        name: Some(family.name.to_owned()),
        help: family.help.map(str::to_owned),
        r#type: Some(kind.into()),
        unit: family.unit.map(str::to_owned),
    };
    body.extend_from_slice(&head.encode_to_vec());
    let native = adds_up(family);
    for part in &family.parts {
        for page in &part.pages {
            for slot in page.shown_slots() {
                set_labels(&mut metric.label, page.labels.of(slot));
                let created = page.labels.created_of(slot).map(timestamp);
                match (&page.values, family.kind) {
                    (Values::Numbers(numbers), Kind::Counter) => {
                        metric.counter = Some(Counter {
                            value: Some(numbers[slot]),
                            exemplar: page.exemplar(slot).and_then(exemplar),
                            created_timestamp: created,
                        });
                    }
                    (Values::Numbers(numbers), _) => {
                        metric.gauge = Some(Gauge {
                            value: Some(numbers[slot]),
                        });
                    }
                    (Values::Histograms(histograms), _) => {
                        let of_slot = metric.histogram.get_or_insert_default();
                        set_histogram(of_slot, &histograms[slot], &part.family, native);
                        of_slot.created_timestamp = created;
                    }
                }
                body.push(METRIC_TAG);
                metric
                    .encode_length_delimited(body)
                    .expect("writing to memory does not fail");
            }
        }
    }
    (metric.counter, metric.gauge, metric.histogram) = (None, None, None);
}

fn set_labels(pairs: &mut Vec<LabelPair>, text: &str) {
    let mut used = 0;
    for (name, value) in labels::pairs(text) {
        if used == pairs.len() {
            pairs.push(LabelPair::default());
        }
        let pair = &mut pairs[used];
        let own_name = pair.name.get_or_insert_default();
        own_name.clear();
        own_name.push_str(name);
        let own_value = pair.value.get_or_insert_default();
        own_value.clear();
        labels::unescape(value, own_value);
        used += 1;
    }
    pairs.truncate(used);
}

/// Whether the native histograms of a family can be shown. Prometheus refuses the whole page for one whose buckets do
/// not add up to its count, and takes all of a family for native where the first one is.
fn adds_up(family: &Family<'_>) -> bool {
    let pages = family.parts.iter().flat_map(|part| &part.pages);
    pages.into_iter().all(|page| match &page.values {
        Values::Numbers(_) => true,
        Values::Histograms(histograms) => page.shown_slots().all(|slot| {
            let histogram = &histograms[slot];
            histogram.native.count() == histogram.counts.iter().sum::<u64>()
        }),
    })
}

fn set_histogram(
    out: &mut Histogram,
    of: &HistogramSnapshot,
    family: &FamilyInfo,
    show_native: bool,
) {
    let mut count = 0;
    out.bucket.clear();
    let bounds = family.buckets.iter().copied().chain([f64::INFINITY]);
    for (bucket, bound) in bounds.enumerate() {
        count += of.counts.get(bucket).copied().unwrap_or_default();
        out.bucket.push(Bucket {
            cumulative_count: Some(count),
            upper_bound: Some(bound),
            exemplar: of.exemplar(bucket).and_then(exemplar),
        });
    }
    out.sample_count = Some(count);
    out.sample_sum = Some(of.sum);
    let native = &of.native;
    out.schema = show_native.then_some(native.schema.into());
    out.zero_threshold = show_native.then_some(native.zero_threshold);
    out.zero_count = show_native.then_some(native.zero_count);
    for (spans, deltas, buckets) in [
        (
            &mut out.positive_span,
            &mut out.positive_delta,
            &native.positive,
        ),
        (
            &mut out.negative_span,
            &mut out.negative_delta,
            &native.negative,
        ),
    ] {
        spans.clear();
        deltas.clear();
        if show_native {
            set_spans(spans, deltas, buckets);
        }
    }
    if show_native && is_without_trace(native) {
        // What says that it is a native one at all.
        out.positive_span.push(BucketSpan {
            offset: Some(0),
            length: Some(0),
        });
    }
}

/// Whether nothing of a native histogram would be seen.
fn is_without_trace(native: &Native) -> bool {
    native.zero_threshold == 0.0 && native.count() == 0
}

fn set_spans(spans: &mut Vec<BucketSpan>, deltas: &mut Vec<i64>, buckets: &[(i32, u64)]) {
    let mut next = 0;
    let mut before = 0;
    for &(index, count) in buckets {
        match spans.last_mut() {
            Some(span) if index == next => span.length = span.length.map(|length| length + 1),
            _ => spans.push(BucketSpan {
                offset: Some(index - next),
                length: Some(1),
            }),
        }
        next = index + 1;
        deltas.push(count as i64 - before);
        before = count as i64;
    }
}

fn exemplar(of: &snapshot::Exemplar) -> Option<Exemplar> {
    is_showable(of).then(|| Exemplar {
        label: vec![LabelPair {
            name: Some(TRACE_ID.to_owned()),
            value: Some(of.trace_id.to_string()),
        }],
        value: Some(of.value),
        timestamp: Some(timestamp(of.at)),
    })
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: millis.rem_euclid(1000) as i32 * 1_000_000,
    }
}
