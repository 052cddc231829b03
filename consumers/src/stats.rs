//! The consumer's own metrics, `bt_consumer_…`, and what its probes answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts,
};

use crate::own_metrics::{Described, OwnMetrics};

/// How long the poll loop may stand still before `/healthz` says so. Draining at a rebalance takes up to
/// [`crate::pipeline::REVOKE_DEADLINE`] and a commit a few seconds more.
const STANDSTILL: Duration = Duration::from_secs(60);

/// All counters and gauges of the process.
pub(crate) struct Stats {
    registry: OwnMetrics,
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
    /// Events that found no room, by service.
    pub series_refused: IntCounterVec,
    pub series_bytes: IntGauge,
    pub series_hidden: IntGauge,
    pub shown: IntGauge,
    pub freshness: Histogram,
    pub lag_seconds: GaugeVec,
    pub last_commit: Gauge,
    pub commit_seconds: Histogram,
    pub state_records: IntCounter,
    /// What happened to the state that people should know of, by reason.
    pub state_notices: IntCounterVec,
    pub restoring: IntGauge,
    pub restored_records: IntCounter,
    pub restore_seconds: Histogram,
    pub bulk_requests: IntCounterVec,
    /// By outcome and, where the engine gave one, the reason.
    pub bulk_items: IntCounterVec,
    pub bulk_bytes: IntCounter,
    pub bulk_concurrency: IntGauge,
    pub bulk_waiting: IntGauge,
    /// Documents that may have been sent before their data stream rolled over, by result.
    pub bulk_doubts: IntCounterVec,
    pub bulk_seconds: Histogram,
}

impl Stats {
    pub fn new() -> Self {
        let registry = OwnMetrics::default();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registry.register(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            registry.register(IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let floats = |name: &str, help: &str, labels: &[&str]| {
            registry.register(GaugeVec::new(Opts::new(name, help), labels))
        };
        let single = |name: &str, help: &str| gauge(name, help, &[]).with_label_values::<&str>(&[]);
        let histogram_of = |name: &str, help: &str, buckets: Vec<f64>| {
            let opts = HistogramOpts::new(name, help).buckets(buckets);
            registry.register(Histogram::with_opts(opts))
        };
        let histogram = |name: &str, help: &str| {
            let buckets = vec![
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ];
            histogram_of(name, help, buckets)
        };
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
                "Documents by the engine's answer: created, duplicate (it was there already), failure_store (only the data stream's failure store has it), retried (each time) or rejected (into the dead-letter topic); of the last two the reason is the engine's. A duplicate by `rollover` was in an older index of the data stream.",
                &["outcome", "reason"],
            ),
            bulk_bytes: counter(
                "bt_consumer_bulk_bytes_total",
                "Bytes of the bodies of _bulk requests, as sent: compressed where they are.",
                &[],
            )
            .with_label_values::<&str>(&[]),
            bulk_concurrency: single(
                "bt_consumer_bulk_concurrency",
                "How many _bulk requests may be under way now: bulk.concurrency, or fewer while the engine cannot keep up.",
            ),
            bulk_waiting: single(
                "bt_consumer_bulk_waiting_batches",
                "Batches that wait to be tried again, requests that have had no answer for ten seconds, and the set-up of the engine that failed.",
            ),
            bulk_doubts: counter(
                "bt_consumer_bulk_doubts_total",
                "Documents that may have been sent before, by what was found in older indices of their data stream: unique (none), removed (there was one, and the second copy was deleted), unchecked (the engine's user has no right to look).",
                &["result"],
            ),
            bulk_seconds: histogram(
                "bt_consumer_bulk_duration_seconds",
                "Time from sending a _bulk request to having its answer.",
            ),
            series_refused: counter(
                "bt_consumer_series_refused_total",
                "Events dropped because they would have made a series beyond maxSeries, by service; the hundred first services by name.",
                &["service"],
            ),
            series_bytes: single(
                "bt_consumer_series_bytes",
                "Memory that the series take, estimated.",
            ),
            series_hidden: single(
                "bt_consumer_series_hidden",
                "Series that the last page left out since partitions differ in the type of their metric; the type of most series is shown.",
            ),
            shown: single(
                "bt_consumer_shown_partitions",
                "Partitions whose series a scrape shows: caught up, and the group's coordinator was heard of lately.",
            ),
            freshness: histogram_of(
                "bt_consumer_event_age_seconds",
                "Age of events, by their own time, when their series show them; of those that a partition had to catch up with, of the oldest one. A new series appears with the next commit. In the elasticsearch sink, when the engine has answered that it has their documents.",
                vec![
                    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
                    3600.0,
                ],
            ),
            lag_seconds: floats(
                "bt_consumer_lag_seconds",
                "Age of the last record read of an assigned partition, by its Kafka timestamp; 0 where there is nothing more to read.",
                &["topic", "partition"],
            ),
            last_commit: floats(
                "bt_consumer_last_commit_timestamp_seconds",
                "When something was last committed, in seconds since the epoch.",
                &[],
            )
            .with_label_values::<&str>(&[]),
            commit_seconds: histogram(
                "bt_consumer_commit_duration_seconds",
                "Time that a transaction of offsets, series and dead letters takes.",
            ),
            state_records: counter(
                "bt_consumer_state_records_total",
                "Records given to transactions for the state topic.",
                &[],
            )
            .with_label_values::<&str>(&[]),
            state_notices: counter(
                "bt_consumer_state_notices_total",
                "What happened to the state of series, by reason: StateLost, StateTopicRecreated, OffsetsChanged, RecordsLost.",
                &["reason"],
            ),
            restoring: single(
                "bt_consumer_restoring_partitions",
                "Assigned partitions whose series are being restored; they are not consumed yet.",
            ),
            restored_records: counter(
                "bt_consumer_restored_records_total",
                "Records of the state topic read to restore series.",
                &[],
            )
            .with_label_values::<&str>(&[]),
            restore_seconds: histogram(
                "bt_consumer_restore_duration_seconds",
                "Time from a partition's assignment to its series being restored.",
            ),
            registry,
        }
    }

    /// Seconds since the epoch.
    pub fn now() -> f64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// All metrics, also those without a value.
    pub fn described(&self) -> Vec<Described> {
        self.registry.described()
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
    restoring: Mutex<Restoring>,
}

/// How far the partitions that were assigned are.
#[derive(Default)]
struct Restoring {
    partitions: usize,
    obstacle: Option<String>,
    since: Option<Instant>,
    /// All that was assigned at first has been restored: the pod has its place in the group.
    settled: bool,
}

/// How long partitions that come later may be restored before that makes the pod unready: as long as it takes in good order,
/// the others are served as before.
const RESTORING: Duration = Duration::from_secs(60);

impl Health {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            beat_millis: AtomicU64::new(0),
            joined: AtomicBool::new(false),
            sink_ready: AtomicBool::new(false),
            stuck: Mutex::new(None),
            joining: Mutex::new(None),
            restoring: Mutex::default(),
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

    /// So many partitions are being restored, and perhaps something stands in the way.
    pub fn restoring(&self, obstacle: Option<String>, partitions: usize) {
        let joined = self.has_joined();
        let mut restoring = self
            .restoring
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        restoring.settled |= joined && partitions == 0;
        restoring.since = match partitions {
            0 => None,
            _ => restoring.since.or(Some(Instant::now())),
        };
        restoring.partitions = partitions;
        restoring.obstacle = obstacle;
    }

    fn restored(&self) -> Result<(), String> {
        let restoring = self
            .restoring
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(since) = restoring.since else {
            return Ok(());
        };
        if restoring.settled && since.elapsed() < RESTORING {
            return Ok(());
        }
        let why = match &restoring.obstacle {
            Some(obstacle) => format!(": {obstacle}"),
            None => String::new(),
        };
        let partitions = restoring.partitions;
        Err(format!(
            "restoring the series of {partitions} partitions since {} s{why}",
            since.elapsed().as_secs()
        ))
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
        self.restored()?;
        if !self.sink_ready.load(Ordering::Relaxed) {
            return Err("waiting for the sink to be set up".into());
        }
        Ok(())
    }
}
