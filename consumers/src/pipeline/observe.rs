use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::context::KafkaConsumer;
use super::core::Core;
use super::stall::Observation;

const LOG_INTERVAL: Duration = Duration::from_secs(30);

impl Core {
    /// Counts an error that polling gave, and logs each kind of it now and then.
    pub fn kafka_error(&mut self, consumer: &KafkaConsumer, error: &KafkaError) {
        let code = error
            .rdkafka_error_code()
            .map_or_else(|| "Unknown".to_owned(), |code| format!("{code:?}"));
        self.stats.kafka_errors.with_label_values(&[&code]).inc();
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
        let waiting = !connected || self.sink.status().waiting || self.dead_letters.pending() > 0;
        let mut seen = Vec::new();
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
        let stuck = self.stall.observe(Instant::now(), &seen);
        if let Some(why) = &stuck {
            tracing::error!("{why}");
        }
        self.health.stuck(stuck);
    }
}
