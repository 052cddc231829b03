//! What stands in Kafka.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub key: String,
    pub value: Value,
}

impl Record {
    /// A field of the event, as text where it is a string.
    pub fn text(&self, pointer: &str) -> &str {
        let value = self.value.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no text {pointer} in {}", self.value))
    }
}

/// Reads `count` records of topics from their beginning, and whatever comes within a moment after them; without what the
/// SDK says about itself.
pub fn read(bootstrap: &str, topics: &[&str], partitions: i32, count: usize) -> Vec<Record> {
    let own = |record: &Record| {
        let name = record.value["name"].as_str();
        name.is_some_and(|name| name.starts_with("bt_sdk_"))
    };
    let mut others = 0;
    let mut records = read_until(bootstrap, topics, partitions, |record| {
        others += usize::from(!own(record));
        others >= count
    });
    records.retain(|record| !own(record));
    let first = &records[..records.len().min(20)];
    assert_eq!(records.len(), count, "{topics:?}: {first:?} …");
    records
}

/// Reads topics from their beginning until a record is enough, and whatever comes within a moment after that.
pub fn read_until(
    bootstrap: &str,
    topics: &[&str],
    partitions: i32,
    mut enough: impl FnMut(&Record) -> bool,
) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..partitions {
            let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
            added.expect("an offset");
        }
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut until = Instant::now() + Duration::from_secs(30);
    let mut records = Vec::new();
    let mut done = false;
    while Instant::now() < until {
        let Some(message) = consumer.poll(Duration::from_millis(50)) else {
            continue;
        };
        let message = message.expect("a record");
        let key = message.key().unwrap_or_default();
        let record = Record {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            key: String::from_utf8_lossy(key).into_owned(),
            value: serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON"),
        };
        if !done && enough(&record) {
            done = true;
            until = Instant::now() + Duration::from_millis(300);
        }
        records.push(record);
    }
    assert!(done, "{topics:?}: {} records are not enough", records.len());
    records
}
