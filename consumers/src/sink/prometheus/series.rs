use std::collections::HashMap;
use std::sync::Arc;

use bt_events::Kind;

use crate::sink::Rejection;

/// The series of one partition.
#[derive(Default)]
pub(super) struct PartitionSeries {
    pub families: HashMap<Box<str>, Family>,
}

/// All series of one name.
pub(super) struct Family {
    pub kind: Kind,
    pub help: Option<Box<str>>,
    pub unit: Option<Box<str>>,
    /// A histogram's upper bounds.
    pub buckets: Arc<[f64]>,
    /// By their labels as shown.
    pub series: HashMap<Box<str>, Series>,
}

pub(super) struct Series {
    pub value: Value,
    /// When it had its last event, in the sink's seconds.
    touched: u32,
}

pub(super) enum Value {
    /// A counter or a gauge.
    Number(f64),
    Histogram(Box<Histogram>),
}

pub(super) struct Histogram {
    /// By bucket, not cumulative, +Inf at the end.
    pub counts: Box<[u64]>,
    pub sum: f64,
}

/// A change to one series.
pub(super) struct Sample<'s> {
    pub name: &'s str,
    pub update: Update,
    pub help: Option<&'s str>,
    pub unit: Option<&'s str>,
    pub buckets: Option<&'s [f64]>,
}

#[derive(Clone, Copy)]
pub(super) enum Update {
    Increment(f64),
    Set(f64),
    Add(f64),
    Observe(f64),
}

impl Update {
    fn kind(self) -> Kind {
        match self {
            Update::Increment(_) => Kind::Counter,
            Update::Set(_) | Update::Add(_) => Kind::Gauge,
            Update::Observe(_) => Kind::Histogram,
        }
    }

    fn value(self) -> f64 {
        match self {
            Update::Increment(v) | Update::Set(v) | Update::Add(v) | Update::Observe(v) => v,
        }
    }
}

/// Whether a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    Taken,
    /// It would have made a new series, and there is no room.
    NoRoom,
}

impl Applied {
    /// Both, where one event makes several changes.
    pub fn and(self, other: Self) -> Self {
        if self == Applied::Taken { other } else { self }
    }
}

impl PartitionSeries {
    /// Makes a change, or says why it cannot be made; `reserve` takes the room for a new series.
    pub fn apply(
        &mut self,
        sample: &Sample<'_>,
        labels: &str,
        default_buckets: &Arc<[f64]>,
        now: u32,
        reserve: impl FnOnce() -> bool,
    ) -> Result<Applied, Rejection> {
        let value = sample.update.value();
        let name = sample.name;
        if !value.is_finite() {
            return Err(Rejection::new(
                "non_finite_value",
                format!("{name}: the value must be finite"),
            ));
        }
        if matches!(sample.update, Update::Increment(v) if v < 0.0) {
            return Err(Rejection::new(
                "negative_increment",
                format!("{name}: a counter's value is an increment of at least 0, found {value}"),
            ));
        }
        if !self.families.contains_key(name) {
            self.check_new(name, sample.update.kind())?;
            if !reserve() {
                return Ok(Applied::NoRoom);
            }
            let mut family = Family::new(sample, default_buckets);
            family.insert(labels, sample.update, now);
            self.families.insert(name.into(), family);
            return Ok(Applied::Taken);
        }
        let family = self.families.get_mut(name).expect("it was just found");
        family.check(sample)?;
        if let Some(series) = family.series.get_mut(labels) {
            series.update(sample.update, &family.buckets);
            series.touched = now;
        } else if reserve() {
            family.insert(labels, sample.update, now);
        } else {
            return Ok(Applied::NoRoom);
        }
        Ok(Applied::Taken)
    }

    /// Whether a new family may have this name: valid, and not a name that a histogram's parts are shown under.
    fn check_new(&self, name: &str, kind: Kind) -> Result<(), Rejection> {
        if !is_metric_name(name) {
            return Err(Rejection::new(
                "invalid_name",
                format!("the metric name {name:?} must match [a-zA-Z_:][a-zA-Z0-9_:]*"),
            ));
        }
        const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
        let clash = match kind {
            Kind::Histogram => PARTS
                .iter()
                .map(|part| format!("{name}{part}"))
                .find(|part| self.families.contains_key(part.as_str())),
            _ => PARTS
                .iter()
                .filter_map(|part| name.strip_suffix(part))
                .find(|base| {
                    self.families
                        .get(*base)
                        .is_some_and(|f| f.kind == Kind::Histogram)
                })
                .map(str::to_owned),
        };
        match clash {
            Some(other) => Err(Rejection::new(
                "type_clash",
                format!("the metric name {name} clashes with the parts of a histogram ({other})"),
            )),
            None => Ok(()),
        }
    }

    /// Drops series without an event since `before`; returns how many.
    pub fn expire(&mut self, before: u32) -> usize {
        let mut expired = 0;
        self.families.retain(|_, family| {
            let had = family.series.len();
            family.series.retain(|_, series| series.touched >= before);
            expired += had - family.series.len();
            !family.series.is_empty()
        });
        expired
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.families
            .values()
            .map(|family| family.series.len())
            .sum()
    }
}

impl Family {
    fn new(sample: &Sample<'_>, default_buckets: &Arc<[f64]>) -> Self {
        let kind = sample.update.kind();
        let buckets = match (kind, sample.buckets) {
            (Kind::Histogram, Some(buckets)) => buckets.into(),
            (Kind::Histogram, None) => default_buckets.clone(),
            _ => Arc::from([]),
        };
        Self {
            kind,
            help: sample.help.map(Into::into),
            unit: sample.unit.map(Into::into),
            buckets,
            series: HashMap::new(),
        }
    }

    fn check(&self, sample: &Sample<'_>) -> Result<(), Rejection> {
        let name = sample.name;
        let kind = sample.update.kind();
        if self.kind != kind {
            let clash = format!("{name} is a {:?} here already, found a {kind:?}", self.kind);
            return Err(Rejection::new("type_clash", clash));
        }
        match sample.buckets {
            Some(buckets) if kind == Kind::Histogram && *buckets != *self.buckets => {
                Err(Rejection::new(
                    "bucket_clash",
                    format!(
                        "{name} has the buckets {:?} here already, found {buckets:?}",
                        self.buckets
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    fn insert(&mut self, labels: &str, update: Update, now: u32) {
        let value = match self.kind {
            Kind::Histogram => Value::Histogram(Box::new(Histogram {
                counts: vec![0; self.buckets.len() + 1].into(),
                sum: 0.0,
            })),
            _ => Value::Number(0.0),
        };
        let mut series = Series {
            value,
            touched: now,
        };
        series.update(update, &self.buckets);
        self.series.insert(labels.into(), series);
    }
}

impl Series {
    fn update(&mut self, update: Update, buckets: &[f64]) {
        match (&mut self.value, update) {
            (Value::Number(number), Update::Increment(v) | Update::Add(v)) => *number += v,
            (Value::Number(number), Update::Set(v)) => *number = v,
            (Value::Histogram(histogram), update) => {
                let value = update.value();
                let bucket = buckets.partition_point(|bound| *bound < value);
                histogram.counts[bucket] += 1;
                histogram.sum += value;
            }
            (Value::Number(_), Update::Observe(_)) => {}
        }
    }
}

/// Prometheus' rule for metric names.
fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}
