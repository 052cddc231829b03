//! The prometheus sink: the series of the events, shown to a scrape.
//!
//! A partition's series are its own, with `source` among their labels ([`series`]). With exactly-once they are in the
//! state topic too ([`state`]), committed together with the partition's offset; without, another owner begins anew, which
//! Prometheus sees as a reset of the counter. A scrape reads snapshots of what is shown ([`store`], [`exposition`]).

mod cells;
pub(crate) mod exposition;
mod family;
mod index;
mod labels;
mod native;
mod page;
mod pages;
mod raw;
mod room;
mod sample;
mod series;
pub(crate) mod snapshot;
mod state;
mod store;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use ::prometheus::local::LocalHistogram;
use bt_events::Event;

use super::{Sink, SinkStatus, Stateful, Taken};
use crate::config;
use crate::pipeline::{Assignment, Origin};
use crate::stats::Stats;
pub(crate) use room::Room;
use series::{Applied, RecordTime};
pub(crate) use series::{PartitionSeries, SeriesSettings, Source};
pub(crate) use state::{Meta, StateError, StateRecord};
pub(crate) use store::Store;
use store::lock;

/// Between two looks at the memory that the series take.
const MEASURE: Duration = Duration::from_secs(5);

/// The sink's half on the poll thread.
pub(crate) struct PrometheusSink {
    store: Arc<Store>,
    stats: Arc<Stats>,
    settings: Arc<SeriesSettings>,
    room: Room,
    max_series: usize,
    ttl: Duration,
    partitions: Vec<Owned>,
    /// The place of the one that had the last event.
    last: usize,
    /// Those of the commit that is under way.
    under_way: Vec<u64>,
    started: Instant,
    /// Since the epoch; coarse, so that the clock is not read for each event.
    now: Duration,
    next_expiry: Instant,
    next_measure: Instant,
    overflow: Overflow,
    /// Handed on with each tick.
    freshness: LocalHistogram,
}

struct Owned {
    assignment: Arc<Assignment>,
    /// It has caught up, as far as this thread knows.
    shown: bool,
    /// The time of the oldest event that waits to be shown, in milliseconds since the epoch.
    waiting: Option<i64>,
    series: Arc<Mutex<PartitionSeries>>,
}

/// Events that found no room, for one warning a minute.
#[derive(Default)]
struct Overflow {
    dropped: u64,
    logged_at: Option<Instant>,
}

impl PrometheusSink {
    pub fn new(
        config: &config::PrometheusSink,
        settings: Arc<SeriesSettings>,
        store: Arc<Store>,
        stats: Arc<Stats>,
    ) -> Self {
        let started = Instant::now();
        let max_series = config.max_series as usize;
        Self {
            freshness: stats.freshness.local(),
            store,
            stats,
            settings,
            room: Room::new(max_series),
            max_series,
            ttl: config.series_ttl.0,
            partitions: Vec::new(),
            last: 0,
            under_way: Vec::new(),
            started,
            now: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            next_expiry: started,
            next_measure: started,
            overflow: Overflow::default(),
        }
    }

    fn insert(&mut self, assignment: &Arc<Assignment>, series: PartitionSeries, shown: bool) {
        let owned = Owned {
            assignment: assignment.clone(),
            shown,
            waiting: None,
            series: self.store.insert(assignment, series, shown),
        };
        self.partitions.push(owned);
    }

    fn of(&self, generation: u64) -> Option<&Owned> {
        let is = |owned: &&Owned| owned.assignment.generation == generation;
        self.partitions.iter().find(is)
    }

    /// What is catching up is left alone: its events of the time since may be still to come.
    fn expire(&mut self) {
        let Some(before) = self.now.checked_sub(self.ttl) else {
            return;
        };
        for owned in self.partitions.iter() {
            if owned.shown {
                let expired = lock(&owned.series).expire(before.as_secs() as u32, &mut self.room);
                self.stats.series_expired.inc_by(expired as u64);
            }
        }
    }

    fn measure(&mut self) {
        let bytes = self
            .partitions
            .iter()
            .map(|owned| lock(&owned.series).bytes());
        self.stats.series_bytes.set(bytes.sum::<usize>() as i64);
        for (service, refused) in self.room.take_refused() {
            let counter = self.stats.series_refused.with_label_values(&[service]);
            counter.inc_by(refused);
        }
    }
}

impl Sink for PrometheusSink {
    fn assigned(&mut self, assignment: &Arc<Assignment>) {
        let series = PartitionSeries::new(Source::of(assignment), self.settings.clone());
        self.insert(assignment, series, true);
    }

    fn event(&mut self, event: &Event<'_>, origin: &Origin<'_>) -> Taken {
        let generation = origin.assignment.generation;
        let is = |owned: &Owned| owned.assignment.generation == generation;
        if !self.partitions.get(self.last).is_some_and(is) {
            let place = self.partitions.iter().position(is);
            self.last = place.expect("the pipeline gives events only of assigned partitions");
        }
        let owned = &mut self.partitions[self.last];
        let record = RecordTime {
            timestamp_ms: origin.timestamp,
        };
        let now = self.now.as_secs() as u32;
        let applied = lock(&owned.series).apply(event, record, now, &mut self.room);
        match applied {
            Ok(Applied::Taken) => {
                let at = event.ts.at().as_millisecond();
                match owned.shown {
                    true => self.freshness.observe(age(self.now, at)),
                    false => owned.waiting = owned.waiting.into_iter().chain([at]).min(),
                }
                Taken::Done
            }
            Ok(Applied::NoRoom) => {
                self.overflow.dropped += 1;
                Taken::Dropped {
                    reason: "max_series",
                }
            }
            Err(why) => Taken::Rejected(why),
        }
    }

    fn tick(&mut self, now: Instant) {
        // The clock may have been set since the start.
        let today = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let epoch = today.saturating_sub(self.started.elapsed());
        self.now = epoch + now.duration_since(self.started);
        self.freshness.flush();
        self.stats.series.set(self.room.used() as i64);
        self.stats.shown.set(self.store.shown() as i64);
        if now >= self.next_expiry {
            self.next_expiry =
                now + (self.ttl / 10).clamp(Duration::from_secs(1), Duration::from_secs(10));
            self.expire();
        }
        if now >= self.next_measure {
            self.next_measure = now + MEASURE;
            self.measure();
        }
        let Overflow { dropped, logged_at } = &mut self.overflow;
        if *dropped > 0 && logged_at.is_none_or(|at| now - at >= Duration::from_secs(60)) {
            tracing::warn!(
                events = dropped,
                "maxSeries is reached: events for new series are dropped; bt_consumer_series_refused_total counts them by service"
            );
            *dropped = 0;
            *logged_at = Some(now);
        }
    }

    fn flush(&mut self) {}

    fn share(&mut self, own: usize, all: usize) {
        if all > 0 {
            self.room.set_limit((self.max_series * own).div_ceil(all));
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        match self.settings.exactly_once {
            true => Some(self),
            false => None,
        }
    }

    fn revoked(&mut self, assignments: &[Arc<Assignment>]) {
        for assignment in assignments {
            self.store.remove(assignment);
            let generation = assignment.generation;
            let is = |owned: &Owned| owned.assignment.generation == generation;
            if let Some(place) = self.partitions.iter().position(is) {
                let owned = self.partitions.swap_remove(place);
                self.room.release(lock(&owned.series).len());
            }
        }
    }

    fn status(&self) -> SinkStatus {
        SinkStatus {
            ready: true,
            waiting: false,
        }
    }
}

impl Stateful for PrometheusSink {
    fn restored(&mut self, assignment: &Arc<Assignment>, series: PartitionSeries) {
        self.room.restored(series.len());
        self.insert(assignment, series, false);
    }

    fn caught_up(&mut self, assignment: &Assignment) {
        self.store.show(assignment, true);
        let generation = assignment.generation;
        let is = |owned: &&mut Owned| owned.assignment.generation == generation;
        if let Some(owned) = self.partitions.iter_mut().find(is) {
            owned.shown = true;
            if let Some(at) = owned.waiting.take() {
                self.freshness.observe(age(self.now, at));
            }
        }
    }

    fn hide(&mut self, assignments: &[Arc<Assignment>]) {
        for assignment in assignments {
            self.store.show(assignment, false);
        }
    }

    fn is_dirty(&self, assignment: &Assignment) -> bool {
        let owned = self.of(assignment.generation);
        owned.is_some_and(|owned| lock(&owned.series).is_dirty())
    }

    fn write(&mut self, assignment: &Assignment, offset: i64, out: &mut Vec<StateRecord>) {
        if let Some(owned) = self.of(assignment.generation) {
            lock(&owned.series).write(offset, out);
            self.under_way.push(assignment.generation);
        }
    }

    fn written(&mut self, committed: bool) {
        for generation in std::mem::take(&mut self.under_way) {
            let Some(owned) = self.of(generation) else {
                continue;
            };
            let mut series = lock(&owned.series);
            match committed {
                true => series.committed(),
                false => series.not_committed(),
            }
        }
    }

    fn rewrite(&mut self) {
        for owned in self.partitions.iter() {
            lock(&owned.series).rewrite_all();
        }
    }
}

/// Seconds.
fn age(now: Duration, at_millis: i64) -> f64 {
    (now.as_millis() as i64 - at_millis).max(0) as f64 / 1000.0
}

impl Source {
    /// The partition of an assignment.
    pub fn of(assignment: &Assignment) -> Self {
        Self {
            topic: assignment.topic.clone(),
            topic_id: assignment.topic_id.clone(),
            partition: assignment.partition,
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod model;
#[cfg(test)]
#[path = "prometheus/tests.rs"]
mod tests;
