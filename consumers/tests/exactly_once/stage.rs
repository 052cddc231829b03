//! The topics of one test, and what stands in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bt_kafka::{Admin, Connection, NewTopic, Offsets};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::traffic::Traffic;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Partitions of the source topic.
pub const PARTITIONS: i32 = 6;

/// One test's source topic, its traffic, and a place for logs.
pub struct Stage {
    pub admin: Admin,
    /// The source topic, and the beginning of all other names.
    pub name: String,
    pub traffic: Arc<Traffic>,
    /// Where the members' logs are; deleted when the test succeeds.
    pub logs: PathBuf,
    seed: u64,
}

/// A record of a topic that is read as a whole.
pub struct Record {
    pub partition: i32,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Where Kafka is.
pub fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP says where Kafka is")
}

fn connection() -> Connection {
    Connection::plaintext(servers())
}

impl Stage {
    /// A source topic of a test's own.
    pub async fn new(what: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = now.expect("after 1970").as_millis() as u64;
        let variable = std::env::var("BT_CHAOS_SEED").ok();
        let seed = variable.map_or(millis, |seed| {
            seed.parse().expect("BT_CHAOS_SEED is a number")
        });
        println!("{what}: BT_CHAOS_SEED={seed}");
        let name = format!("bt-exactly-once.{what}.{millis:x}");
        let logs = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let stage = Self {
            admin: Admin::new(&connection(), "exactly-once").expect("a client can be made"),
            traffic: Arc::new(Traffic::new(&connection(), &name, PARTITIONS, seed)),
            name,
            logs,
            seed,
        };
        stage.create(&stage.name, PARTITIONS, &[]).await;
        stage
    }

    /// Random numbers by the test's seed, and this number.
    pub fn random(&self, number: u32) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_add(u64::from(number)))
    }

    /// A partition of the source topic as series name it.
    pub fn source(&self, partition: i32) -> String {
        format!("{}/{partition}", self.name)
    }

    /// Makes the compacted topic for a group's state.
    pub async fn create_state(&self, name: &str, partitions: i32) {
        // Compacted within the time of a test, too.
        let config = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "10000"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ];
        self.create(name, partitions, &config).await;
    }

    /// Makes a topic.
    pub async fn create(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let config = config
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replicas: Some(1),
            config: config.collect(),
        };
        let made = self.admin.create_topics(vec![topic], false).await;
        one(made, name).expect("the topic can be made");
    }

    /// Grows a topic to this number of partitions.
    pub async fn grow(&self, name: &str, partitions: usize) {
        let totals = BTreeMap::from([(name.to_owned(), partitions)]);
        one(self.admin.create_partitions(totals, false).await, name).expect("the topic can grow");
    }

    /// Deletes a topic.
    pub async fn delete(&self, name: &str) {
        one(self.admin.delete_topics(&[name]).await, name).expect("the topic can be deleted");
    }

    /// The offsets at which the source topic ends; partitions without a record are left out.
    pub async fn ends(&self) -> Offsets {
        let described = self.admin.describe_topics(&[&self.name]).await;
        let topic = one(described, &self.name).expect("the source topic is there");
        let all = (0..topic.partitions).map(|partition| (self.name.clone(), partition));
        let ends = self.admin.log_end_offsets(all.collect()).await;
        let mut ends = ends.expect("Kafka tells the ends");
        ends.retain(|_, end| *end > 0);
        ends
    }

    /// Whether a group has committed all that is in the source topic.
    pub async fn all_committed(&self, group: &str) -> Result<(), String> {
        let ends = self.ends().await;
        let committed = self
            .admin
            .committed_offsets(group)
            .await
            .map_err(|error| error.to_string())?;
        match ends
            .iter()
            .all(|(partition, end)| committed.get(partition) == Some(end))
        {
            true => Ok(()),
            false => Err(format!("committed are {committed:?} of {ends:?}")),
        }
    }

    /// Commits an offset of the source topic for a group without members, as `kafka-consumer-groups --reset-offsets` does.
    pub fn reset(&self, group: &str, partition: i32, offset: i64) {
        let consumer = reader(group);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .expect("a valid offset");
        consumer
            .commit(&list, CommitMode::Sync)
            .expect("an empty group takes offsets");
    }

    /// Writes a record that is no part of any transaction.
    pub fn write(&self, topic: &str, partition: i32, key: &[u8], value: &[u8]) {
        let producer: ThreadedProducer<_> = connection()
            .client_config("exactly-once")
            .create()
            .expect("a producer");
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key(key)
            .payload(value);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("queued");
        producer.flush(TIMEOUT).expect("written");
    }

    /// All committed records of a topic.
    pub async fn records(&self, topic: &str) -> Vec<Record> {
        let described = self.admin.describe_topics(&[topic]).await;
        let partitions = one(described, topic)
            .expect("the topic is there")
            .partitions;
        let consumer = reader("exactly-once-reader");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("a valid offset");
        }
        consumer.assign(&list).expect("the partitions can be read");
        let (mut open, mut records) = (partitions, Vec::new());
        while open > 0 {
            match consumer.poll(TIMEOUT).expect("Kafka answers") {
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{topic}: {error}"),
                Ok(message) => records.push(Record {
                    partition: message.partition(),
                    key: message.key().unwrap_or_default().to_vec(),
                    value: message.payload().unwrap_or_default().to_vec(),
                }),
            }
        }
        records
    }

    /// The end of a test that succeeded: its logs and the source topic are deleted.
    pub async fn strike(&self) {
        self.delete(&self.name).await;
        let _ = std::fs::remove_dir_all(&self.logs);
    }
}

fn reader(group: &str) -> BaseConsumer {
    let mut config = connection().client_config("exactly-once");
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed");
    config.create().expect("a consumer can be made")
}

/// The outcome for the one topic that was asked for.
fn one<T>(
    answer: Result<BTreeMap<String, Result<T, bt_kafka::Error>>, bt_kafka::Error>,
    topic: &str,
) -> Result<T, bt_kafka::Error> {
    answer
        .expect("Kafka answers")
        .remove(topic)
        .expect("an outcome")
}
