//! From an event to the changes of its series.

use bt_events::{Body, Business, Event, Health, Kind, Metric, Text};

use super::{PartitionSeries, RecordTime};
use crate::sink::Rejection;
use crate::sink::prometheus::cells::{Place, SeriesId};
use crate::sink::prometheus::page::Change;
use crate::sink::prometheus::raw::RawKey;
use crate::sink::prometheus::room::Room;
use crate::sink::prometheus::sample::{Sample, Traced, Update, of_health};
use crate::sink::prometheus::snapshot::FamilyInfo;

/// What became of an event that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Taken,
    /// It would have made a new series, and there is no room. Series of the event that there were already have it.
    NoRoom,
}

/// When an event arrived, and when a series that begins with it begins.
#[derive(Clone, Copy)]
struct Times {
    /// Seconds since the epoch.
    now: u32,
    /// Milliseconds since the epoch.
    created: i64,
}

impl PartitionSeries {
    /// Takes an event that arrived at `now`, in seconds since the epoch. A rejected one has changed nothing.
    ///
    /// # Errors
    /// Why the event cannot be taken, ever.
    pub fn apply(
        &mut self,
        event: &Event<'_>,
        record: RecordTime,
        now: u32,
        room: &mut Room,
    ) -> Result<Applied, Rejection> {
        let times = Times {
            now,
            created: record.timestamp_ms.unwrap_or(i64::from(now) * 1000),
        };
        let applied = match &event.body {
            Body::Metric(metric) => self.metric(event, metric, times, room),
            Body::Health(health) => self.health(event, health, times, room),
            Body::Business(business) => self.business(event, business, times, room),
            Body::Log(_) => Err(Rejection::new(
                "wrong_kind",
                "a log event has no place in the prometheus sink; consume its topic with an elasticsearch sink",
            )),
        }?;
        if applied == Applied::NoRoom {
            room.refuse(&event.service.as_str());
        }
        Ok(applied)
    }

    fn metric(
        &mut self,
        event: &Event<'_>,
        metric: &Metric<'_>,
        times: Times,
        room: &mut Room,
    ) -> Result<Applied, Rejection> {
        let update = Update::of(metric)?;
        let key = self.keys.metric(event, metric);
        let id = match key.and_then(|key| self.index.by_raw(key, &self.cells)) {
            Some(id) => Some(id),
            None => {
                let name = metric.name.as_str();
                let help = metric.help.as_ref().map(Text::as_str);
                let unit = metric.unit.as_ref().map(Text::as_str);
                let (help, unit) = (help.as_deref(), unit.as_deref());
                let sample = Sample::of_metric(metric, update, &name, help, unit)?;
                self.labels.begin(event);
                for (name, value) in &metric.labels {
                    self.labels.push(&name, value)?;
                }
                self.series(&sample, key, times, room)?
            }
        };
        let Some(id) = id else {
            return Ok(Applied::NoRoom);
        };
        match &metric.trace_id {
            None => self.update(id, update, None, times.now),
            Some(trace_id) => {
                let trace_id = trace_id.as_str();
                self.update(id, update, Traced::of(event, &trace_id), times.now)
            }
        }
    }

    fn business(
        &mut self,
        event: &Event<'_>,
        business: &Business<'_>,
        times: Times,
        room: &mut Room,
    ) -> Result<Applied, Rejection> {
        let sample = Sample::of_business();
        let key = self.keys.business(event, business);
        let id = match key.and_then(|key| self.index.by_raw(key, &self.cells)) {
            Some(id) => Some(id),
            None => {
                self.labels.begin_service(event);
                let r#type = business.r#type.as_str();
                self.labels.push_text("type", &r#type)?;
                self.series(&sample, key, times, room)?
            }
        };
        match id {
            Some(id) => self.update(id, sample.update, None, times.now),
            None => Ok(Applied::NoRoom),
        }
    }

    /// Several series: all are checked before the first is changed.
    fn health(
        &mut self,
        event: &Event<'_>,
        health: &Health<'_>,
        times: Times,
        room: &mut Room,
    ) -> Result<Applied, Rejection> {
        if health.latency_ms.is_some_and(|millis| !millis.is_finite()) {
            return Err(Rejection::new(
                "non_finite_value",
                "field `latency_ms`: the value must be finite",
            ));
        }
        for (check, sample) in of_health(health) {
            if check.is_some_and(str::is_empty) {
                return Err(Rejection::new(
                    "invalid_label",
                    "field `checks`: a check must have a name",
                ));
            }
            self.health_labels(event, check)?;
            self.labels.render(&self.source_label)?;
            self.families.check(&sample)?;
        }
        let mut applied = Applied::Taken;
        for (check, sample) in of_health(health) {
            self.health_labels(event, check)?;
            match self.series(&sample, None, times, room)? {
                Some(id) => {
                    self.update(id, sample.update, None, times.now)?;
                }
                None => applied = Applied::NoRoom,
            }
        }
        Ok(applied)
    }

    fn health_labels(&mut self, event: &Event<'_>, check: Option<&str>) -> Result<(), Rejection> {
        self.labels.begin(event);
        check.map_or(Ok(()), |check| self.labels.push_text("check", check))
    }

    /// The series of a sample with the labels that were gathered, made if there is none and there is room.
    fn series(
        &mut self,
        sample: &Sample<'_>,
        key: Option<RawKey>,
        times: Times,
        room: &mut Room,
    ) -> Result<Option<SeriesId>, Rejection> {
        let Self {
            families,
            pages,
            cells,
            index,
            ..
        } = self;
        let labels = self.labels.render(&self.source_label)?;
        let family = families.check(sample)?;
        let found = family.and_then(|family| index.by_labels(family, labels, pages, cells));
        let id = match (family, found) {
            (Some(family), Some(id)) => {
                families.complete(family, sample.help, sample.unit);
                id
            }
            _ if !room.take() => return Ok(None),
            _ => {
                let family = family.unwrap_or_else(|| {
                    families.insert(new_family(sample, &self.settings.histogram_buckets))
                });
                let of_family = families.get_mut(family);
                let at = match of_family.open.last() {
                    Some(at) => *at as usize,
                    None => {
                        let at = pages.create(family);
                        of_family.pages += 1;
                        of_family.open.push(at as u32);
                        at
                    }
                };
                let page = pages.page_mut(at);
                let slot = page.free_slot();
                let id = cells.insert(Place::new(at, slot), 0.0, times.now);
                page.add(slot, id, &of_family.info, labels, times.created);
                if !self.settings.exactly_once {
                    page.shown |= 1 << slot;
                }
                page.open = !page.is_full();
                if !page.open {
                    of_family.open.pop();
                }
                pages.mark(at, Change::Members);
                index.insert(id, pages, cells);
                self.len += 1;
                id
            }
        };
        if let Some(key) = key {
            index.remember(id, key, cells);
        }
        Ok(Some(id))
    }

    #[inline]
    fn update(
        &mut self,
        id: SeriesId,
        update: Update,
        traced: Option<Traced<'_>>,
        now: u32,
    ) -> Result<Applied, Rejection> {
        let cell = &mut self.cells[id];
        let place = cell.place;
        let fits = match update {
            Update::Set(value) => {
                cell.value = value;
                true
            }
            Update::Increment(value) | Update::Add(value) => {
                let sum = cell.value + value;
                let fits = sum.is_finite();
                if fits {
                    cell.value = sum;
                }
                fits
            }
            Update::Observe(value) => {
                let page = self.pages.page_mut(place.page());
                let buckets = &self.families.get(page.family).info.buckets;
                page.observe(place.slot(), value, buckets, traced).is_ok()
            }
        };
        if !fits {
            let family = self.pages.page(place.page()).family;
            let name = &self.families.get(family).info.name;
            return Err(Rejection::new(
                "overflow",
                format!("{name}: the sum is too large for a number"),
            ));
        }
        cell.touched = now;
        if let (Update::Increment(value), Some(traced)) = (update, traced) {
            let page = self.pages.page_mut(place.page());
            page.trace(place.slot(), value, traced);
        }
        self.pages.mark(place.page(), Change::Values);
        Ok(Applied::Taken)
    }
}

fn new_family(sample: &Sample<'_>, default_buckets: &[f64]) -> FamilyInfo {
    let kind = sample.update.kind();
    FamilyInfo {
        name: sample.name.into(),
        kind,
        help: sample.help.map(Into::into),
        unit: sample.unit.map(Into::into),
        buckets: match (kind, sample.buckets) {
            (Kind::Histogram, Some(buckets)) => buckets.into(),
            (Kind::Histogram, None) => default_buckets.into(),
            _ => Box::default(),
        },
    }
}
