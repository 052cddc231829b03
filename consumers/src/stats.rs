//! The consumer's own metrics, `bt_consumer_…`, and what its probes answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// How long the poll loop may stand still before `/healthz` says so. Draining at a rebalance takes up to
/// [`crate::pipeline::REVOKE_DEADLINE`] and a commit a few seconds more.
const STANDSTILL: Duration = Duration::from_secs(60);

/// All counters and gauges of the process.
pub(crate) struct Stats {
    registry: Registry,
    pub records: IntCounterVec,
    pub bytes: IntCounterVec,
    /// By outcome and, where it was not taken, the reason.
    pub events: IntCounterVec,
    pub dead_letters: IntCounterVec,
    pub dead_letters_pending: IntGauge,
    pub commits: IntCounterVec,
    pub rebalances: IntCounterVec,
    pub lag: IntGaugeVec,
    pub assigned: IntGauge,
    pub paused: IntGauge,
    pub in_flight: IntGauge,
    pub kafka_errors: IntCounterVec,
    pub series: IntGauge,
    pub series_expired: IntCounter,
    pub bulk_requests: IntCounterVec,
    pub bulk_items: IntCounterVec,
    pub bulk_seconds: Histogram,
}

impl Stats {
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)
                .expect("the metric's name and labels are valid");
            registry
                .register(Box::new(vec.clone()))
                .expect("each metric is registered once");
            vec
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)
                .expect("the metric's name and labels are valid");
            registry
                .register(Box::new(vec.clone()))
                .expect("each metric is registered once");
            vec
        };
        let single = |name: &str, help: &str| gauge(name, help, &[]).with_label_values::<&str>(&[]);
        let opts = HistogramOpts::new(
            "bt_consumer_bulk_duration_seconds",
            "Time from sending a _bulk request to having its answer.",
        )
        .buckets(vec![
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        ]);
        let bulk_seconds = Histogram::with_opts(opts).expect("the histogram's options are valid");
        registry
            .register(Box::new(bulk_seconds.clone()))
            .expect("each metric is registered once");
        Self {
            records: counter(
                "bt_consumer_records_total",
                "Records read from Kafka.",
                &["topic"],
            ),
            bytes: counter(
                "bt_consumer_bytes_total",
                "Bytes of the values of records read from Kafka.",
                &["topic"],
            ),
            events: counter(
                "bt_consumer_events_total",
                "Events by outcome: taken by the sink, dropped by a limit, or rejected into the dead-letter topic.",
                &["outcome", "reason"],
            ),
            dead_letters: counter(
                "bt_consumer_dead_letters_total",
                "Events that the dead-letter topic has acknowledged.",
                &["reason"],
            ),
            dead_letters_pending: single(
                "bt_consumer_dead_letters_pending",
                "Events on their way to the dead-letter topic.",
            ),
            commits: counter(
                "bt_consumer_commits_total",
                "Commits of offsets.",
                &["result"],
            ),
            rebalances: counter(
                "bt_consumer_rebalances_total",
                "Changes of the assignment.",
                &["kind"],
            ),
            lag: gauge(
                "bt_consumer_lag_records",
                "Records between the consumer's position and the end of an assigned partition, as of the last fetch (a paused partition is not fetched).",
                &["topic", "partition"],
            ),
            assigned: single(
                "bt_consumer_assigned_partitions",
                "Partitions assigned to this pod.",
            ),
            paused: single(
                "bt_consumer_paused_partitions",
                "Assigned partitions that are paused.",
            ),
            in_flight: single(
                "bt_consumer_in_flight_bytes",
                "Bytes that were read and are not yet acknowledged by the sink or the dead-letter topic.",
            ),
            kafka_errors: counter(
                "bt_consumer_kafka_errors_total",
                "Errors from Kafka by code.",
                &["code"],
            ),
            series: single(
                "bt_consumer_series",
                "Series that the prometheus sink holds.",
            ),
            series_expired: counter(
                "bt_consumer_series_expired_total",
                "Series dropped because they had no event for seriesTtl.",
                &[],
            )
            .with_label_values::<&str>(&[]),
            bulk_requests: counter(
                "bt_consumer_bulk_requests_total",
                "_bulk requests by HTTP status, or `error` where there was no answer.",
                &["status"],
            ),
            bulk_items: counter(
                "bt_consumer_bulk_items_total",
                "Documents by the engine's answer: created, duplicate, retried or rejected.",
                &["outcome"],
            ),
            bulk_seconds,
            registry,
        }
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut out)
            .expect("own metrics always encode into memory");
        out
    }
}

/// What the poll loop tells the probes.
pub(crate) struct Health {
    started: Instant,
    beat_millis: AtomicU64,
    joined: AtomicBool,
    sink_ready: AtomicBool,
    stuck: Mutex<Option<String>>,
    /// Why the group cannot be joined, as long as it is not.
    joining: Mutex<Option<String>>,
}

impl Health {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            beat_millis: AtomicU64::new(0),
            joined: AtomicBool::new(false),
            sink_ready: AtomicBool::new(false),
            stuck: Mutex::new(None),
            joining: Mutex::new(None),
        }
    }

    /// The poll loop is alive.
    pub fn beat(&self) {
        let millis = self.started.elapsed().as_millis() as u64;
        self.beat_millis.store(millis, Ordering::Relaxed);
    }

    /// The group has given an assignment, be it empty.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    pub fn sink_ready(&self, ready: bool) {
        self.sink_ready.store(ready, Ordering::Relaxed);
    }

    /// There is work and none gets done, for no reason outside this process; `None` when that is over.
    pub fn stuck(&self, why: Option<String>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// `/healthz`.
    pub fn alive(&self) -> Result<(), String> {
        let beat = Duration::from_millis(self.beat_millis.load(Ordering::Relaxed));
        let standing = self.started.elapsed().saturating_sub(beat);
        if standing > STANDSTILL {
            return Err(format!(
                "the poll loop has stood still for {} s",
                standing.as_secs()
            ));
        }
        match &*self.stuck.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    pub fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Why there is no assignment yet; `None` when nothing is known to be in the way.
    pub fn joining(&self, why: Option<String>) {
        *self.joining.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// `/readyz`.
    pub fn ready(&self) -> Result<(), String> {
        if !self.has_joined() {
            let why = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
            let why = why.as_deref().unwrap_or("joining the group");
            return Err(format!(
                "waiting for the consumer group's assignment: {why}"
            ));
        }
        if !self.sink_ready.load(Ordering::Relaxed) {
            return Err("waiting for the sink to be set up".into());
        }
        Ok(())
    }
}
