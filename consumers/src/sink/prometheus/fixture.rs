//! For tests: a partition whose events are JSON, and what it shows as plain maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bt_events::Kind;

use super::page::bits;
use super::room::Room;
use super::series::{Applied, PartitionSeries, RecordTime, SeriesSettings, Source};
use super::snapshot::{Exemplar, HistogramSnapshot, PartitionSnapshot, Values};
use super::state::{Loaded, StateError, StateRecord};
use crate::sink::Rejection;

pub(super) const TOPIC: &str = "m";

pub(super) fn series(exactly_once: bool) -> PartitionSeries {
    PartitionSeries::new(
        Source {
            topic: TOPIC.into(),
            topic_id: "id".to_owned(),
            partition: 3,
        },
        Arc::new(SeriesSettings {
            histogram_buckets: [0.5, 1.0, 10.0].into(),
            exactly_once,
        }),
    )
}

/// Applies the event with these fields beside time, service and instance.
pub(super) fn apply_at(
    series: &mut PartitionSeries,
    fields: &str,
    now: u32,
    room: &mut Room,
) -> Result<Applied, Rejection> {
    apply_record(series, fields, i64::from(now) * 1000 + 7, now, room)
}

/// The same from a record with this timestamp.
pub(super) fn apply_record(
    series: &mut PartitionSeries,
    fields: &str,
    timestamp: i64,
    now: u32,
    room: &mut Room,
) -> Result<Applied, Rejection> {
    let json = format!(r#"{{"ts":1000,"service":"s","instance":"i",{fields}}}"#);
    let event = bt_events::parse(json.as_bytes())
        .and_then(|mut elements| elements.next().expect("one").event())
        .expect(&json);
    let record = RecordTime {
        timestamp_ms: Some(timestamp),
    };
    series.apply(&event, record, now, room)
}

/// Writes at this offset and commits.
pub(super) fn commit(series: &mut PartitionSeries, offset: i64) -> Vec<StateRecord> {
    let mut records = Vec::new();
    series.write(offset, &mut records);
    series.committed();
    records
}

/// The state topic's partition after compaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Compacted(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Compacted {
    pub fn append(&mut self, records: &[StateRecord]) {
        for record in records {
            match &record.value {
                Some(value) => self.0.insert(record.key.clone(), value.clone()),
                None => self.0.remove(&record.key),
            };
        }
    }

    pub fn load(&self, room: &mut Room) -> Result<(PartitionSeries, Loaded), StateError> {
        let mut restored = series(true);
        for (key, value) in &self.0 {
            restored.load(key, Some(value))?;
        }
        let loaded = restored.loaded(room)?;
        Ok((restored, loaded))
    }
}

/// A series that is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub kind: Kind,
    pub created: i64,
    /// A histogram's sum.
    pub value: f64,
    pub histogram: Option<HistogramSnapshot>,
    pub exemplar: Option<Exemplar>,
}

/// What is shown, by name and labels, the latter without those of the service and the source.
pub(super) fn shown(snapshot: &PartitionSnapshot) -> BTreeMap<String, Shown> {
    let mut all = BTreeMap::new();
    for of_family in &snapshot.families {
        for page in &of_family.pages {
            for slot in bits(page.shown) {
                let labels = page.labels.of(slot);
                let own = labels
                    .strip_prefix(r#"service="s""#)
                    .and_then(|rest| rest.strip_suffix(r#",source="m/3""#))
                    .expect(labels);
                let own = own.strip_prefix(r#",instance="i""#).unwrap_or(own);
                let name = format!("{}{own}", of_family.family.name);
                let (value, histogram) = match &page.values {
                    Values::Numbers(numbers) => (numbers[slot], None),
                    Values::Histograms(histograms) => {
                        (histograms[slot].sum, Some(histograms[slot].clone()))
                    }
                };
                let exemplar = page.exemplars.iter().find(|(of, _)| *of as usize == slot);
                let series = Shown {
                    kind: of_family.family.kind,
                    created: page.labels.created[slot],
                    value,
                    histogram,
                    exemplar: exemplar.map(|(_, exemplar)| exemplar.clone()),
                };
                assert_eq!(all.insert(name, series), None, "a series is shown twice");
            }
        }
    }
    all
}

/// The values that are shown.
pub(super) fn values(series: &PartitionSeries) -> BTreeMap<String, f64> {
    let shown = shown(&series.snapshot()).into_iter();
    shown.map(|(name, series)| (name, series.value)).collect()
}

/// The fields of a counter's event.
pub(super) fn counter(name: &str, label: u32, value: f64) -> String {
    format!(r#""name":"{name}","kind":"counter","value":{value},"labels":{{"n":{label}}}"#)
}
