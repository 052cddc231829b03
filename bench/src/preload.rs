//! Topics, and the records that are preloaded into them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bt_kafka::{Admin, Connection, GroupState, NewTopic};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// For Kafka to take what is in a producer's buffers.
const PATIENCE: Duration = Duration::from_secs(120);
/// For a group to be empty: Kafka takes the longest session time-out to notice that a member was killed.
const UNTIL_EMPTY: Duration = Duration::from_secs(90);
/// Between two attempts to delete a group.
const AGAIN: Duration = Duration::from_millis(500);

/// What a preloaded topic has.
#[derive(Debug, Clone, Copy)]
pub struct Preloaded {
    /// Bytes of all values.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Records, all of which follow from their numbers, so that any thread can make them.
pub trait Records: Copy + Send + 'static {
    /// How many there are.
    fn count(&self) -> u64;

    /// Writes one: its key and its value.
    fn write(&self, number: u64, key: &mut String, value: &mut String);

    /// Where one goes, if not by its key.
    fn partition(&self, number: u64) -> Option<i32>;
}

/// A number that looks random and is the same every time (SplitMix64).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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

    /// Makes a topic with these settings.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn make(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Result<()> {
        let config = config.iter();
        let topic = NewTopic {
            name: name.into(),
            partitions: Some(partitions),
            replicas: Some(1),
            config: config.map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        };
        let made = self.admin.create_topics(vec![topic], false).await;
        for (name, outcome) in made.context("Kafka")? {
            outcome.with_context(|| format!("topic {name}"))?;
        }
        Ok(())
    }

    /// Deletes topics and groups, as far as they are there; a group when its last member is gone.
    ///
    /// # Errors
    /// When Kafka refuses one, or a group keeps members; the others are deleted.
    pub async fn delete(&self, topics: &[String], groups: &[String]) -> Result<()> {
        let topics = self.delete_topics(topics).await;
        let until = Instant::now() + UNTIL_EMPTY;
        let mut kept = Vec::new();
        for group in groups {
            if let Err(error) = self.delete_group(group, until).await {
                kept.push(format!("group {group}: {error}"));
            }
        }
        ensure!(kept.is_empty(), "Kafka keeps {}", kept.join("; "));
        topics
    }

    async fn delete_group(&self, group: &str, until: Instant) -> Result<(), bt_kafka::Error> {
        loop {
            match self.admin.delete_group(group).await {
                Err(error) if error.is_group_not_empty() && Instant::now() < until => {
                    sleep(AGAIN).await;
                }
                deleted => return deleted,
            }
        }
    }

    async fn delete_topics(&self, topics: &[String]) -> Result<()> {
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

    /// How many members the group has; nothing while its partitions are on the move.
    ///
    /// # Errors
    /// When the group's coordinator does not answer.
    pub async fn members(&self, group: &str) -> Result<Option<usize>> {
        let mut groups = self.admin.describe_groups(&[group]).await?;
        let found = groups.remove(group).context("not described")??;
        Ok((found.state == GroupState::Stable).then_some(found.members))
    }

    /// Writes all records into a topic, at most so many a second where that is said.
    ///
    /// # Errors
    /// When Kafka does not take one.
    pub async fn write(
        &self,
        topic: &str,
        records: impl Records,
        rate: Option<f64>,
    ) -> Result<Preloaded> {
        let started = Instant::now();
        let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
        let mut parts = JoinSet::new();
        for thread in 0..threads {
            let range =
                records.count() * thread / threads..records.count() * (thread + 1) / threads;
            let part = Part {
                connection: self.connection.clone(),
                topic: topic.to_owned(),
                records,
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
struct Part<R> {
    connection: Connection,
    topic: String,
    records: R,
    /// Their numbers.
    range: Range<u64>,
    /// At most so many a second.
    rate: Option<f64>,
}

impl<R: Records> Part<R> {
    /// Writes its records; the bytes of their values.
    fn write(self) -> Result<u64> {
        let delivered = Arc::new(AtomicU64::new(0));
        let producer: ThreadedProducer<_> = self
            .connection
            // What is sent again must not be there twice: it would be a wrong sum.
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
        for number in self.range.clone() {
            self.records.write(number, &mut key, &mut value);
            bytes += value.len() as u64;
            let mut record = BaseRecord::to(&self.topic).key(&key).payload(&value);
            if let Some(partition) = self.records.partition(number) {
                record = record.partition(partition);
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
                let due = started + Duration::from_secs_f64((number + 1 - first) as f64 / rate);
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
            "Kafka took {delivered} of {count} records"
        );
        Ok(bytes)
    }
}
