use std::collections::BTreeMap;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use crate::kafka::{Kafka, TIMEOUT};

/// Records that are on their way at a time.
const IN_FLIGHT: usize = 2000;

impl Kafka {
    /// A consumer group's state: `Stable`, `Empty`, … None where Kafka knows of no such group.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn group_state(&self, group: &str) -> Result<Option<String>> {
        let list = self.reader.fetch_group_list(Some(group), TIMEOUT)?;
        let state = list.groups().first().map(|group| group.state().to_owned());
        // What Kafka says of any name that it does not know.
        Ok(state.filter(|state| state != "Dead"))
    }

    /// What a group has committed, by partition; None where it never has.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, Option<i64>>> {
        let mut config = self.config.clone();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create()?;
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions(topic)? as i32 {
            asked.add_partition(topic, partition);
        }
        let answered = consumer.committed_offsets(asked, TIMEOUT)?;
        let elements = answered.elements();
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(elements
            .iter()
            .map(|element| (element.partition(), offset(element.offset())))
            .collect())
    }

    /// Writes records (key, value) as fast as Kafka takes them.
    ///
    /// # Errors
    /// When Kafka does not take one.
    pub async fn produce_all(&self, topic: &str, records: &[(String, Vec<u8>)]) -> Result<()> {
        for some in records.chunks(IN_FLIGHT) {
            let sends = some
                .iter()
                .map(|(key, value)| self.produce(topic, key, Some(value)));
            let sent = try_join_all(sends).await;
            sent.with_context(|| format!("a record for {topic}"))?;
        }
        Ok(())
    }
}
