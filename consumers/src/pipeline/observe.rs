use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::context::KafkaConsumer;
use super::core::Core;
use super::stall::Observation;
use crate::stats::Stats;

const LOG_INTERVAL: Duration = Duration::from_secs(30);

impl Core {
    /// Counts an error that polling gave, and logs each kind of it now and then.
    pub fn kafka_error(&mut self, consumer: &KafkaConsumer, error: &KafkaError) {
        let code = error
            .rdkafka_error_code()
            .map_or_else(|| "Unknown".to_owned(), |code| format!("{code:?}"));
        self.stats.kafka_errors.with_label_values(&[&code]).inc();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            // The offset to go on from is not there: cut off, or deleted. Where to go on is decided anew.
            tracing::warn!(%error, "a partition does not have the offset that is next");
            self.rejoin = true;
        }
        let now = Instant::now();
        let recently = self
            .logged
            .get(&code)
            .is_some_and(|at| now - *at < LOG_INTERVAL);
        if !recently {
            self.logged.insert(code, now);
            let why = consumer.context().take_reason();
            tracing::warn!(%error, why, "Kafka reports an error; librdkafka goes on trying");
        }
    }

    /// Lag for the metrics, and whether anything is stuck.
    pub fn observe(&mut self, statistics: &Statistics) {
        let connected = statistics
            .brokers
            .values()
            .any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        let waiting = !connected || self.sink.status().waiting || self.commits.is_waiting();
        let mut seen = Vec::new();
        let mut ended = Vec::new();
        for owned in self.partitions.iter() {
            let assignment = &owned.assignment;
            let Some(partition) = statistics
                .topics
                .get(&*assignment.topic)
                .and_then(|topic| topic.partitions.get(&assignment.partition))
            else {
                continue;
            };
            // librdkafka's own consumer_lag starts from the committed offset where that is known.
            let lag = match partition.app_offset {
                offset if offset >= 0 && partition.ls_offset >= 0 => {
                    (partition.ls_offset - offset).max(0)
                }
                _ => partition.consumer_lag.max(0),
            };
            self.stats
                .lag
                .with_label_values(&[&*assignment.topic, &assignment.partition.to_string()])
                .set(lag);
            let behind = match (owned.read_at, lag) {
                (Some(millis), 1..) => Stats::now() - millis as f64 / 1000.0,
                _ => 0.0,
            };
            self.stats
                .lag_seconds
                .with_label_values(&[&*assignment.topic, &assignment.partition.to_string()])
                .set(behind.max(0.0));
            let all_read = owned
                .hidden_until
                .is_some_and(|end| partition.eof_offset >= end)
                && partition.fetchq_cnt == 0;
            if all_read {
                ended.push(assignment.clone());
            }
            let open = owned.watermark.open() as i64;
            seen.push(Observation {
                topic: assignment.topic.clone(),
                partition: assignment.partition,
                position: match owned.watermark.committable() {
                    Some(offset) if open > 0 => offset,
                    _ => partition.app_offset,
                },
                lag: lag + open,
                waiting,
            });
        }
        self.show_ended(&ended);
        let stuck = self.stall.observe(Instant::now(), &seen);
        let stuck = stuck.or_else(|| self.commits.stuck());
        if let Some(why) = &stuck {
            tracing::error!("{why}");
        }
        self.health.stuck(stuck);
    }
}
