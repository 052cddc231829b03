use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Kafka itself, by clients of the tests' own: nothing here is the code under test.
pub struct Kafka {
    pub(crate) config: ClientConfig,
    pub(crate) admin: AdminClient<DefaultClientContext>,
    pub(crate) reader: BaseConsumer,
    pub(crate) producer: FutureProducer,
}

/// A record as it lies in Kafka.
#[derive(Debug, Clone)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// In milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
    /// Headers; their values as text.
    pub headers: BTreeMap<String, String>,
}

/// A member of a consumer group.
#[derive(Debug, Clone)]
pub struct Member {
    /// The address that it connects from, with a leading slash as Kafka has it.
    pub host: String,
    /// How many partitions it has.
    pub partitions: usize,
}

impl Kafka {
    pub(crate) fn new(bootstrap: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "bt-e2e-reader")
            .set("enable.auto.commit", "false");
        let mut producer = ClientConfig::new();
        // Not compressed, so that a record near the broker's limit is near it.
        producer
            .set("bootstrap.servers", bootstrap)
            .set("message.max.bytes", "2000000")
            .set("compression.type", "none");
        Ok(Self {
            admin: config.create()?,
            reader: config.create()?,
            producer: producer.create()?,
            config,
        })
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<usize> {
        let metadata = self.reader.fetch_metadata(Some(topic), TIMEOUT)?;
        let found = metadata
            .topics()
            .first()
            .context("no answer about the topic")?;
        if let Some(error) = found.error() {
            bail!(
                "topic {topic}: {}",
                rdkafka::error::RDKafkaErrorCode::from(error)
            );
        }
        Ok(found.partitions().len())
    }

    /// Whether a topic exists.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn exists(&self, topic: &str) -> Result<bool> {
        Ok(self.all_topics()?.contains_key(topic))
    }

    /// All topics with the number of their partitions.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn all_topics(&self) -> Result<BTreeMap<String, usize>> {
        // Of all topics: asking for one by name would be answered from the client's memory for a while.
        let metadata = self.reader.fetch_metadata(None, TIMEOUT)?;
        let topics = metadata.topics().iter();
        Ok(topics
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .collect())
    }

    /// A topic's setting in force.
    ///
    /// # Errors
    /// When there is no such topic or setting.
    pub async fn setting(&self, topic: &str, key: &str) -> Result<String> {
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let resources = [ResourceSpecifier::Topic(topic)];
        let mut answers = self.admin.describe_configs(&resources, &options).await?;
        let answer = answers.pop().context("no answer")?;
        let config = answer.map_err(|code| anyhow!("topic {topic}: {code}"))?;
        let entry = config.get(key).and_then(|entry| entry.value.clone());
        entry.with_context(|| format!("topic {topic} has no {key}"))
    }

    /// Writes a record as it is; its partition and offset.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub async fn produce(
        &self,
        topic: &str,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<(i32, i64)> {
        let mut record =
            FutureRecord::<str, [u8]>::to(topic)
                .key(key)
                .headers(OwnedHeaders::new().insert(Header {
                    key: "e2e",
                    value: Some("yes"),
                }));
        if let Some(value) = value {
            record = record.payload(value);
        }
        let delivery = self.producer.send(record, TIMEOUT).await;
        let delivery = delivery.map_err(|(error, _)| error)?;
        Ok((delivery.partition, delivery.offset))
    }

    /// All records that are in a topic now, without those of transactions that were aborted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn records(&self, topic: &str) -> Result<Vec<Record>> {
        let consumer: BaseConsumer = self
            .config
            .clone()
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        let mut left = BTreeSet::new();
        for partition in 0..self.partitions(topic)? as i32 {
            let (start, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
            if start < end {
                assignment.add_partition_offset(topic, partition, Offset::Offset(start))?;
                left.insert(partition);
            }
        }
        consumer.assign(&assignment)?;
        let mut records = Vec::new();
        while !left.is_empty() {
            // The last offset may be a transaction's mark, which is never handed out.
            let message = match consumer.poll(TIMEOUT) {
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                    continue;
                }
                polled => polled.context("Kafka has records and gives none")??,
            };
            records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map(texts).unwrap_or_default(),
            });
        }
        Ok(records)
    }

    /// The members of a consumer group.
    ///
    /// # Errors
    /// When Kafka does not answer, or the group is not settled.
    pub fn members(&self, group: &str) -> Result<Vec<Member>> {
        let list = self.reader.fetch_group_list(Some(group), TIMEOUT)?;
        let found = list
            .groups()
            .first()
            .with_context(|| format!("no group {group}"))?;
        ensure!(
            found.state() == "Stable",
            "group {group} is {}",
            found.state()
        );
        let member = |member: &rdkafka::groups::GroupMemberInfo| {
            Ok(Member {
                host: member.client_host().to_owned(),
                partitions: partitions_of(member.assignment().unwrap_or_default())?,
            })
        };
        found.members().iter().map(member).collect()
    }
}

fn texts<H: Headers>(headers: &H) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            (header.key.to_owned(), value.into_owned())
        })
        .collect()
}

/// The number of partitions in a member's assignment (Kafka's ConsumerProtocolAssignment).
fn partitions_of(assignment: &[u8]) -> Result<usize> {
    if assignment.is_empty() {
        return Ok(0);
    }
    let number = |at: usize| -> Result<usize> {
        let bytes = assignment
            .get(at..at + 4)
            .context("an assignment that is cut short")?;
        Ok(u32::from_be_bytes(bytes.try_into()?) as usize)
    };
    // version i16, then an array of topics: name (i16 length), array of partitions (i32 each)
    let (topics, mut at, mut total) = (number(2)?, 6, 0);
    for _ in 0..topics {
        let length = assignment
            .get(at..at + 2)
            .context("an assignment that is cut short")?;
        at += 2 + usize::from(u16::from_be_bytes(length.try_into()?));
        let partitions = number(at)?;
        total += partitions;
        at += 4 + 4 * partitions;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::partitions_of;

    #[test]
    fn counts_the_partitions_of_an_assignment() {
        let one = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x02bc\0\0\0\x01\0\0\0\x07\xff\xff\xff\xff";
        assert_eq!(partitions_of(one).expect("valid"), 3);
        assert_eq!(partitions_of(b"").expect("valid"), 0);
        assert!(partitions_of(b"\0\x01\0\0\0\x02\0\x01a").is_err());
    }
}
