//! The topics, and the events in them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bt_kafka::{Admin, Connection, NewTopic};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::task::JoinSet;

use super::events::Plan;

/// Partitions of every topic, the state's too.
pub const PARTITIONS: i32 = 12;
/// For Kafka to take what is in a producer's buffers.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a preloaded topic has.
#[derive(Debug, Clone, Copy)]
pub struct Preloaded {
    /// Bytes of all values.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// The topics of a run, by a client of their cluster.
pub struct Topics {
    admin: Admin,
    connection: Connection,
}

impl Topics {
    /// A client of the cluster at this address.
    ///
    /// # Errors
    /// When librdkafka refuses the address.
    pub fn new(bootstrap: &str) -> Result<Self> {
        let connection = Connection::plaintext(bootstrap);
        let admin = Admin::new(&connection, "bt-bench")?.with_timeout(Duration::from_secs(60));
        Ok(Self { admin, connection })
    }

    /// Makes a topic of [`PARTITIONS`] partitions with these settings.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn make(&self, name: &str, config: &[(&str, &str)]) -> Result<()> {
        let config = config.iter();
        let topic = NewTopic {
            name: name.into(),
            partitions: Some(PARTITIONS),
            replicas: Some(1),
            config: config.map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        };
        let made = self.admin.create_topics(vec![topic], false).await;
        for (name, outcome) in made.context("Kafka")? {
            outcome.with_context(|| format!("topic {name}"))?;
        }
        Ok(())
    }

    /// Deletes topics, as far as they are there, and groups.
    ///
    /// # Errors
    /// When Kafka refuses one.
    pub async fn delete(&self, topics: &[String], groups: &[String]) -> Result<()> {
        for group in groups {
            // A group that nobody joined is not there; one that is left goes by itself after a week.
            let _ = self.admin.delete_group(group).await;
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let deleted = self.admin.delete_topics(&names).await.context("Kafka")?;
        for (name, outcome) in deleted {
            match outcome {
                Err(error) if !error.is_unknown_topic() => {
                    return Err(error).with_context(|| format!("topic {name}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How many records the group has committed, of a topic whose first offsets are 0.
    ///
    /// # Errors
    /// When the group's coordinator does not answer.
    pub async fn committed(&self, group: &str) -> Result<u64> {
        let offsets: BTreeMap<_, _> = self.admin.committed_offsets(group).await?;
        let known = offsets.values().filter(|offset| **offset > 0);
        Ok(known.sum::<i64>() as u64)
    }

    /// Writes all of the plan's events into a topic, at most so many a second where that is said.
    ///
    /// # Errors
    /// When Kafka does not take one.
    pub async fn write(&self, topic: &str, plan: Plan, rate: Option<f64>) -> Result<Preloaded> {
        let started = Instant::now();
        let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
        let mut parts = JoinSet::new();
        for thread in 0..threads {
            let range = plan.events * thread / threads..plan.events * (thread + 1) / threads;
            let part = Part {
                connection: self.connection.clone(),
                topic: topic.to_owned(),
                plan,
                range,
                rate: rate.map(|rate| rate / threads as f64),
            };
            parts.spawn_blocking(move || part.write());
        }
        let mut bytes = 0;
        while let Some(part) = parts.join_next().await {
            bytes += part?.with_context(|| format!("topic {topic}"))?;
        }
        Ok(Preloaded {
            bytes,
            took: started.elapsed(),
        })
    }
}

/// Counts what Kafka has taken.
struct Deliveries(Arc<AtomicU64>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What one thread writes.
struct Part {
    connection: Connection,
    topic: String,
    plan: Plan,
    /// The events' numbers.
    range: Range<u64>,
    /// At most so many a second.
    rate: Option<f64>,
}

impl Part {
    /// Writes its events; the bytes of their values.
    fn write(self) -> Result<u64> {
        let delivered = Arc::new(AtomicU64::new(0));
        let producer: ThreadedProducer<_> = self
            .connection
            // An event that is sent again must not be there twice: it would be a wrong sum.
            .writer_config("bt-bench")
            .set("compression.type", "snappy")
            .set("linger.ms", "50")
            .set("batch.size", "900000")
            .set("batch.num.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            .create_with_context(Deliveries(delivered.clone()))?;
        let started = Instant::now();
        let (mut key, mut value, mut bytes) = (String::new(), String::new(), 0);
        let first = self.range.start;
        for event in self.range.clone() {
            self.plan.write(event, &mut key, &mut value);
            bytes += value.len() as u64;
            let mut record = BaseRecord::to(&self.topic).key(&key).payload(&value);
            if self.plan.series == 1 {
                // One key would fill one partition only.
                record = record.partition((event % PARTITIONS as u64) as i32);
            }
            while let Err((error, again)) = producer.send(record) {
                match error {
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    error => bail!(error),
                }
                record = again;
            }
            if let Some(rate) = self.rate {
                let due = started + Duration::from_secs_f64((event + 1 - first) as f64 / rate);
                let early = due.saturating_duration_since(Instant::now());
                if early > Duration::from_millis(5) {
                    std::thread::sleep(early);
                }
            }
        }
        producer.flush(PATIENCE)?;
        let (count, delivered) = (self.range.end - first, delivered.load(Ordering::Relaxed));
        ensure!(
            delivered == count,
            "Kafka took {delivered} of {count} events"
        );
        Ok(bytes)
    }
}
