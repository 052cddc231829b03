//! Snapshots made by hand.

use std::sync::Arc;

use bt_events::Kind;

use crate::sink::prometheus::snapshot::*;

/// When each series of these began.
pub const CREATED: i64 = 1_700_000_000_250;

pub fn info(name: &str, kind: Kind) -> FamilyInfo {
    FamilyInfo {
        name: name.into(),
        kind,
        help: None,
        unit: None,
        buckets: [].into(),
    }
}

/// A family with one series a label text.
pub fn family<V>(
    info: FamilyInfo,
    series: &[(&str, V)],
    values: impl Fn(Vec<V>) -> Values,
) -> FamilySnapshot
where
    V: Clone,
{
    let pages = series.chunks(PAGE).map(|of_page| {
        let mut labels = PageLabels::default();
        for (text, _) in of_page {
            labels.text.push_str(text);
            labels.ends.push(labels.text.len() as u32);
            labels.created.push(CREATED);
        }
        PageSnapshot {
            labels: Arc::new(labels),
            shown: ((1u64 << of_page.len()) - 1) as u32,
            values: values(of_page.iter().map(|(_, value)| value.clone()).collect()),
            exemplars: Vec::new(),
        }
    });
    FamilySnapshot {
        pages: pages.collect(),
        family: Arc::new(info),
    }
}

pub fn numbers(name: &str, kind: Kind, series: &[(&str, f64)]) -> FamilySnapshot {
    numbers_of(info(name, kind), series)
}

pub fn numbers_of(info: FamilyInfo, series: &[(&str, f64)]) -> FamilySnapshot {
    family(info, series, |values| Values::Numbers(values.into()))
}

pub fn histograms_of(info: FamilyInfo, series: &[(&str, HistogramSnapshot)]) -> FamilySnapshot {
    family(info, series, |values| Values::Histograms(values.into()))
}

/// A histogram with the bounds 0.5 and 1000000.
pub fn histograms(name: &str, series: &[(&str, [u64; 3])]) -> FamilySnapshot {
    let info = FamilyInfo {
        buckets: [0.5, 1e6].into(),
        ..info(name, Kind::Histogram)
    };
    let series: Vec<_> = series
        .iter()
        .map(|(labels, counts)| (*labels, observed(counts, 100.25)))
        .collect();
    histograms_of(info, &series)
}

/// Classic and native buckets of the same number of observations.
pub fn observed(counts: &[u64], sum: f64) -> HistogramSnapshot {
    HistogramSnapshot {
        counts: counts.into(),
        sum,
        native: Native {
            zero_count: counts.iter().sum(),
            ..Native::default()
        },
        exemplars: Vec::new(),
    }
}

pub fn exemplar(trace_id: &str, value: f64) -> Exemplar {
    Exemplar {
        trace_id: trace_id.into(),
        value,
        at: 1_700_000_001_005,
    }
}

pub fn partition(families: Vec<FamilySnapshot>) -> PartitionSnapshot {
    PartitionSnapshot { families }
}
