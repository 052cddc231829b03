use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bt_kafka::Offsets;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::context::KafkaConsumer;
use super::core::Core;
use super::owned::list;
use super::record::Assignment;
use crate::config::StartFrom;

const TIMEOUT: Duration = Duration::from_secs(3);

impl Core {
    /// Where partitions begin that the group has never committed an offset for, to be committed before anything is consumed:
    /// so their lag can be measured, and a pod that dies before its first commit does not skip, where the group starts
    /// with the latest, what had arrived meanwhile.
    ///
    /// A partition that Kafka says nothing of is left out: it starts by `auto.offset.reset`, and is committed with the first
    /// record.
    pub(super) fn begin(
        &mut self,
        consumer: &KafkaConsumer,
        assignments: &[Arc<Assignment>],
    ) -> Offsets {
        let starts = match self.starts(consumer, assignments) {
            Ok(starts) => starts,
            Err(error) => {
                tracing::warn!(
                    error,
                    "cannot ask Kafka where to start; new partitions are committed with their first record"
                );
                for assignment in assignments {
                    if let Some(owned) = self.partitions.current(assignment) {
                        owned.start_unknown = true;
                    }
                }
                return Offsets::new();
            }
        };
        for ((topic, partition), offset) in &starts {
            tracing::info!(topic, partition, offset, start_from = ?self.start_from, "never committed before");
            if let Some(owned) = self.partitions.get_mut(topic, *partition) {
                owned.start = Some(*offset);
            }
        }
        starts
    }

    fn starts(
        &self,
        consumer: &KafkaConsumer,
        assignments: &[Arc<Assignment>],
    ) -> Result<Offsets, String> {
        let new = never_committed(consumer, assignments).map_err(|error| error.to_string())?;
        if new.is_empty() {
            return Ok(Offsets::new());
        }
        let offsets = async {
            match self.start_from {
                StartFrom::Earliest => self.admin.log_start_offsets(new).await,
                StartFrom::Latest => self.admin.log_end_offsets(new).await,
            }
        };
        self.runtime
            .block_on(offsets)
            .map_err(|error| error.to_string())
    }
}

/// Those of the partitions that the group has no offset for.
fn never_committed(
    consumer: &KafkaConsumer,
    assignments: &[Arc<Assignment>],
) -> Result<Vec<(String, i32)>, rdkafka::error::KafkaError> {
    if assignments.is_empty() {
        return Ok(Vec::new());
    }
    let asked = list(assignments.iter().map(|a| (&*a.topic, a.partition)));
    let committed = consumer.committed_offsets(asked, TIMEOUT)?;
    Ok(committed
        .elements()
        .iter()
        .filter(|element| element.error().is_ok() && element.offset() == Offset::Invalid)
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect())
}

/// The partitions, each with where it begins if that is known.
pub(super) fn starting_at(partitions: &TopicPartitionList, starts: &Offsets) -> TopicPartitionList {
    let starts: BTreeMap<(&str, i32), i64> = starts
        .iter()
        .map(|((topic, partition), offset)| ((topic.as_str(), *partition), *offset))
        .collect();
    let mut list = TopicPartitionList::new();
    for element in partitions.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        match starts.get(&(topic, partition)) {
            Some(offset) => list
                .add_partition_offset(topic, partition, Offset::Offset(*offset))
                .expect("a log's offset is a valid offset"),
            None => {
                list.add_partition(topic, partition);
            }
        }
    }
    list
}
