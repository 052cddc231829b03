//! Kafka at KAFKA_BOOTSTRAP: topics of a test's own, and what stands in them. Included by path where it is needed.
#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bt_kafka::{Admin, Connection, NewTopic, Offsets};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where Kafka is.
pub fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP says where Kafka is")
}

/// A connection to it.
pub fn connection() -> Connection {
    Connection::plaintext(servers())
}

/// Milliseconds since the epoch: for names that nobody else has.
pub fn millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_millis() as u64
}

/// The seed of a test's random choices, which is printed: BT_CHAOS_SEED repeats them.
pub fn seed(what: &str, default: u64) -> u64 {
    let variable = std::env::var("BT_CHAOS_SEED").ok();
    let seed = variable.map_or(default, |seed| {
        seed.parse().expect("BT_CHAOS_SEED is a number")
    });
    println!("{what}: BT_CHAOS_SEED={seed}");
    seed
}

/// A record of a topic that is read as a whole.
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

/// Makes, reads and deletes topics.
pub struct Topics {
    pub admin: Admin,
    client_id: &'static str,
}

impl Topics {
    /// As a client of this name.
    pub fn new(client_id: &'static str) -> Self {
        Self {
            admin: Admin::new(&connection(), client_id).expect("a client can be made"),
            client_id,
        }
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

    /// Kafka's id of a topic.
    pub async fn id(&self, name: &str) -> String {
        let described = self.admin.describe_topics(&[name]).await;
        one(described, name).expect("the topic is there").id
    }

    /// The offsets at which a topic ends; partitions without a record are left out.
    pub async fn ends_of(&self, name: &str) -> Offsets {
        let described = self.admin.describe_topics(&[name]).await;
        let topic = one(described, name).expect("the topic is there");
        let all = (0..topic.partitions).map(|partition| (name.to_owned(), partition));
        let ends = self.admin.log_end_offsets(all.collect()).await;
        let mut ends = ends.expect("Kafka tells the ends");
        ends.retain(|_, end| *end > 0);
        ends
    }

    /// Whether a group has committed all that is in a topic.
    pub async fn all_committed_of(&self, name: &str, group: &str) -> Result<(), String> {
        let ends = self.ends_of(name).await;
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

    /// Commits an offset of a topic for a group without members, as `kafka-consumer-groups --reset-offsets` does.
    pub fn reset_of(&self, name: &str, group: &str, partition: i32, offset: i64) {
        let consumer = self.reader(group);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset))
            .expect("a valid offset");
        consumer
            .commit(&list, CommitMode::Sync)
            .expect("an empty group takes offsets");
    }

    /// Writes a record that is no part of any transaction.
    pub fn write(&self, topic: &str, partition: i32, key: &[u8], value: &[u8]) {
        let producer: ThreadedProducer<_> = connection()
            .client_config(self.client_id)
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
        let consumer = self.reader(&format!("{}-reader", self.client_id));
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
                    offset: message.offset(),
                    timestamp: message.timestamp().to_millis(),
                    key: message.key().unwrap_or_default().to_vec(),
                    value: message.payload().unwrap_or_default().to_vec(),
                    headers: headers(&message),
                }),
            }
        }
        records
    }

    fn reader(&self, group: &str) -> BaseConsumer {
        let mut config = connection().client_config(self.client_id);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        config.create().expect("a consumer can be made")
    }
}

fn headers(message: &impl Message) -> BTreeMap<String, String> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    headers
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            (header.key.to_owned(), value.into_owned())
        })
        .collect()
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
