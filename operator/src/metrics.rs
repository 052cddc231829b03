//! The operator's own metrics, `bt_operator_…`.

mod resources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_consumers::{Described, OwnMetrics};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use crate::api::{KafkaTopic, TelemetryConsumer};
use resources::{Snapshot, of_consumers, of_topics};

/// The operator's own metrics. Only `bt_operator_consumer_…` and `bt_operator_topic_…` have series for each resource.
#[derive(Clone)]
pub struct Metrics {
    registry: OwnMetrics,
    reconciles: IntCounterVec,
    durations: HistogramVec,
    leader: IntGauge,
    queue: IntGauge,
    batches: Histogram,
    calls: HistogramVec,
    clients: IntGauge,
    topics: IntGaugeVec,
    lag_rounds: Histogram,
    lag_unknown: IntCounterVec,
    each_consumer: Snapshot,
    each_topic: Snapshot,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = OwnMetrics::default();
        Self {
            reconciles: registry.register(IntCounterVec::new(
                    Opts::new(
                        "bt_operator_reconciles_total",
                        "Reconciles by kind and outcome",
                    ),
                    &["kind", "outcome"],
                ),
            ),
            durations: registry.register(HistogramVec::new(
                    HistogramOpts::new(
                        "bt_operator_reconcile_duration_seconds",
                        "Duration of reconciles by kind; of a batch of topics for each topic in it",
                    ),
                    &["kind"],
                ),
            ),
            leader: registry.register(IntGauge::new("bt_operator_leader", "1 while this replica holds the Lease"),
            ),
            queue: registry.register(IntGauge::new(
                    "bt_operator_topic_queue_depth",
                    "KafkaTopics that wait for their turn",
                ),
            ),
            batches: registry.register(Histogram::with_opts(
                    HistogramOpts::new(
                        "bt_operator_topic_batch_size",
                        "KafkaTopics reconciled together",
                    )
                    .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
                ),
            ),
            calls: registry.register(HistogramVec::new(
                    HistogramOpts::new(
                        "bt_operator_kafka_admin_call_duration_seconds",
                        "Duration of Kafka Admin API calls by call and outcome",
                    ),
                    &["call", "outcome"],
                ),
            ),
            clients: registry.register(IntGauge::new(
                    "bt_operator_kafka_clients",
                    "Open Kafka clients: one a distinct connection",
                ),
            ),
            topics: registry.register(IntGaugeVec::new(
                    Opts::new(
                        "bt_operator_topics",
                        "KafkaTopics by their condition Ready and its reason",
                    ),
                    &["ready", "reason"],
                ),
            ),
            lag_rounds: registry.register(Histogram::with_opts(HistogramOpts::new(
                    "bt_operator_lag_round_duration_seconds",
                    "Duration of reading the lag of all consumers of one Kafka cluster",
                )),
            ),
            lag_unknown: registry.register(IntCounterVec::new(
                    Opts::new(
                        "bt_operator_lag_failures_total",
                        "Readings of lag that failed: of a whole Kafka cluster, or of one consumer's group",
                    ),
                    &["of"],
                ),
            ),
            each_consumer: registry.register(Ok(Snapshot::of(of_consumers(&[])))),
            each_topic: registry.register(Ok(Snapshot::of(of_topics([].into_iter())))),
            registry,
        }
    }
}

impl Metrics {
    /// Starts the clock of one reconcile.
    pub fn reconcile(&self, kind: &'static str) -> Reconcile<'_> {
        Reconcile {
            metrics: self,
            kind,
            started: Instant::now(),
        }
    }

    /// Says whether this replica is the leader.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(leader.into());
    }

    /// Says how many topics wait.
    pub fn set_queue_depth(&self, waiting: usize) {
        self.queue.set(number(waiting));
    }

    /// Counts a batch of topics.
    pub fn batch(&self, topics: usize) {
        self.batches.observe(topics as f64);
    }

    /// Counts one call of Kafka's Admin API.
    pub fn admin_call(&self, call: &str, succeeded: bool, duration: Duration) {
        let outcome = if succeeded { "ok" } else { "error" };
        self.calls
            .with_label_values(&[call, outcome])
            .observe(duration.as_secs_f64());
    }

    /// Says how many Kafka clients are open.
    pub fn set_kafka_clients(&self, open: usize) {
        self.clients.set(number(open));
    }

    /// Says how many topics there are by `Ready`'s status and reason.
    pub fn set_topics(&self, counts: &BTreeMap<(String, String), usize>) {
        self.topics.reset();
        for ((ready, reason), count) in counts {
            self.topics
                .with_label_values(&[ready, reason])
                .set(number(*count));
        }
    }

    /// Says what is the case for each topic.
    pub fn set_each_topic<'a>(&self, topics: impl Iterator<Item = &'a KafkaTopic>) {
        self.each_topic.set(of_topics(topics));
    }

    /// Says what is the case for each consumer.
    pub fn set_consumers(&self, consumers: &[Arc<TelemetryConsumer>]) {
        self.each_consumer.set(of_consumers(consumers));
    }

    /// Counts a round of lag that one cluster answered.
    pub fn lag_round(&self, duration: Duration) {
        self.lag_rounds.observe(duration.as_secs_f64());
    }

    /// Counts what could not be read: `of` is `cluster` or `group`.
    pub fn lag_unknown(&self, of: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.lag_unknown.with_label_values(&[of]).inc_by(count);
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// All metrics, also those without a value.
    pub fn described(&self) -> Vec<Described> {
        self.registry.described()
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One reconcile being measured.
#[derive(Clone, Copy)]
pub struct Reconcile<'a> {
    metrics: &'a Metrics,
    kind: &'static str,
    started: Instant,
}

impl Reconcile<'_> {
    /// Counts the reconcile under what it came to.
    pub fn outcome(self, outcome: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics
            .durations
            .with_label_values(&[self.kind])
            .observe(seconds);
        self.metrics
            .reconciles
            .with_label_values(&[self.kind, outcome])
            .inc();
    }
}
