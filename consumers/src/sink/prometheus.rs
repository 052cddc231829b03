//! The prometheus sink: the series of the events, shown to a scrape.
//!
//! A partition's series are its own, with `source` among their labels, and live as long as its assignment. They are in
//! memory: another owner begins anew, which Prometheus sees as a reset of the counter.

mod labels;
mod render;
mod series;
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_events::{Body, Event, Health, Kind, Metric, Op, Status};

use super::{Rejection, Sink, SinkStatus, Taken};
use crate::config;
use crate::pipeline::{Assignment, Origin};
use crate::stats::Stats;
use labels::Labels;
pub(crate) use render::Format;
use series::{Applied, PartitionSeries, Sample, Update};
pub(crate) use store::Store;

const HEALTH: &str = "bt_service_health";
const HEALTH_LATENCY: &str = "bt_service_health_latency_seconds";
const EVENTS: &str = "bt_events_total";

/// The sink's half on the poll thread.
pub(crate) struct PrometheusSink {
    store: Arc<Store>,
    stats: Arc<Stats>,
    buckets: Arc<[f64]>,
    ttl: Duration,
    /// By generation.
    partitions: HashMap<u64, Arc<Mutex<PartitionSeries>>>,
    labels: Labels,
    started: Instant,
    /// Seconds since `started`; coarse, so that the clock is not read for each event.
    now: u32,
    next_expiry: Instant,
    overflow: Overflow,
}

/// Events that found no room, for one warning a minute.
#[derive(Default)]
struct Overflow {
    dropped: u64,
    logged_at: Option<Instant>,
}

impl PrometheusSink {
    pub fn new(config: &config::PrometheusSink, store: Arc<Store>, stats: Arc<Stats>) -> Self {
        let now = Instant::now();
        Self {
            store,
            stats,
            buckets: config.histogram_buckets.clone().into(),
            ttl: config.series_ttl.0,
            partitions: HashMap::new(),
            labels: Labels::default(),
            started: now,
            now: 0,
            next_expiry: now,
            overflow: Overflow::default(),
        }
    }

    fn metric(
        &mut self,
        event: &Event<'_>,
        metric: &Metric<'_>,
        origin: &Origin<'_>,
    ) -> Result<Applied, Rejection> {
        let name = metric.name.as_str();
        if [HEALTH, HEALTH_LATENCY, EVENTS].contains(&&*name) {
            return Err(Rejection::new(
                "reserved_name",
                format!("the metric name {name} is the consumer's own"),
            ));
        }
        let buckets = metric.buckets.as_deref();
        if let Some(Err(why)) = buckets.map(config::check_buckets) {
            return Err(Rejection::new(
                "invalid_buckets",
                format!("field `buckets`: {why}"),
            ));
        }
        self.labels.begin(event);
        for (name, value) in &metric.labels {
            self.labels.push(name, value.get())?;
        }
        let update = match (metric.kind, metric.op) {
            (Kind::Counter, _) => Update::Increment(metric.value),
            (Kind::Gauge, Op::Set) => Update::Set(metric.value),
            (Kind::Gauge, Op::Add) => Update::Add(metric.value),
            (Kind::Histogram, _) => Update::Observe(metric.value),
        };
        let help = metric.help.as_ref().map(bt_events::Text::as_str);
        let unit = metric.unit.as_ref().map(bt_events::Text::as_str);
        let sample = Sample {
            name: &name,
            update,
            help: help.as_deref(),
            unit: unit.as_deref(),
            buckets,
        };
        self.apply(origin, &sample)
    }

    /// The service as a whole is the series without the label `check`; each check has one with it.
    fn health(
        &mut self,
        event: &Event<'_>,
        health: &Health<'_>,
        origin: &Origin<'_>,
    ) -> Result<Applied, Rejection> {
        let value = |status| match status {
            Status::Up => 1.0,
            Status::Degraded => 0.5,
            Status::Down => 0.0,
        };
        let gauge = |name, help, value| Sample {
            name,
            update: Update::Set(value),
            help: Some(help),
            unit: None,
            buckets: None,
        };
        let status = |status| {
            gauge(
                HEALTH,
                "1 up, 0.5 degraded, 0 down; without the label check: the service as a whole.",
                value(status),
            )
        };
        self.labels.begin(event);
        let mut applied = self.apply(origin, &status(health.status))?;
        if let Some(millis) = health.latency_ms.filter(|m| m.is_finite()) {
            let latency = gauge(
                HEALTH_LATENCY,
                "How long the health check took.",
                millis / 1000.0,
            );
            applied = applied.and(self.apply(origin, &latency)?);
        }
        for (check, of_check) in &health.checks {
            self.labels.begin(event);
            self.labels.push_text("check", check)?;
            applied = applied.and(self.apply(origin, &status(*of_check))?);
        }
        Ok(applied)
    }

    fn business(
        &mut self,
        event: &Event<'_>,
        kind: &str,
        origin: &Origin<'_>,
    ) -> Result<Applied, Rejection> {
        self.labels.begin_service(event);
        self.labels.push_text("type", kind)?;
        let sample = Sample {
            name: EVENTS,
            update: Update::Increment(1.0),
            help: Some("Business events by service and type."),
            unit: None,
            buckets: None,
        };
        self.apply(origin, &sample)
    }

    fn apply(&mut self, origin: &Origin<'_>, sample: &Sample<'_>) -> Result<Applied, Rejection> {
        let generation = origin.assignment.generation;
        let partition = self
            .partitions
            .get(&generation)
            .expect("the pipeline gives events only of assigned partitions");
        let labels = self
            .labels
            .render(&origin.assignment.topic, origin.assignment.partition)?;
        let mut series = partition.lock().unwrap_or_else(PoisonError::into_inner);
        series.apply(sample, labels, &self.buckets, self.now, || {
            self.store.reserve()
        })
    }

    fn expire(&mut self) {
        let ttl = self.ttl.as_secs() as u32;
        let Some(before) = self.now.checked_sub(ttl) else {
            return;
        };
        for partition in self.partitions.values() {
            let expired = partition
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .expire(before);
            self.store.release(expired);
            self.stats.series_expired.inc_by(expired as u64);
        }
    }
}

impl Sink for PrometheusSink {
    fn assigned(&mut self, assignments: &[Arc<Assignment>]) {
        for assignment in assignments {
            let series = self.store.insert(assignment);
            self.partitions.insert(assignment.generation, series);
        }
    }

    fn event(&mut self, event: &Event<'_>, origin: &Origin<'_>) -> Taken {
        let applied = match &event.body {
            Body::Metric(metric) => self.metric(event, metric, origin),
            Body::Health(health) => self.health(event, health, origin),
            Body::Business(business) => self.business(event, &business.r#type.as_str(), origin),
            Body::Log(_) => Err(Rejection::new(
                "wrong_kind",
                "a log event has no place in the prometheus sink; consume its topic with an elasticsearch sink",
            )),
        };
        match applied {
            Ok(Applied::Taken) => Taken::Done,
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
        self.now = now.duration_since(self.started).as_secs() as u32;
        self.stats.series.set(self.store.series() as i64);
        if now >= self.next_expiry {
            self.next_expiry =
                now + (self.ttl / 10).clamp(Duration::from_secs(1), Duration::from_secs(10));
            self.expire();
        }
        let Overflow { dropped, logged_at } = &mut self.overflow;
        if *dropped > 0 && logged_at.is_none_or(|at| now - at >= Duration::from_secs(60)) {
            tracing::warn!(
                events = dropped,
                "maxSeries is reached: events for new series are dropped"
            );
            *dropped = 0;
            *logged_at = Some(now);
        }
    }

    fn flush(&mut self) {}

    fn revoked(&mut self, assignments: &[Arc<Assignment>]) {
        for assignment in assignments {
            self.partitions.remove(&assignment.generation);
            self.store.remove(assignment);
        }
    }

    fn status(&self) -> SinkStatus {
        SinkStatus {
            ready: true,
            waiting: false,
        }
    }
}

#[cfg(test)]
#[path = "prometheus/tests.rs"]
mod tests;
