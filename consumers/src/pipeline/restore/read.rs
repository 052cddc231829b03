use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_kafka::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::pipeline::Assignment;
use crate::sink::prometheus::{Meta, PartitionSeries, Room, StateError};
use crate::stats::Stats;

/// After so long without a record Kafka is taken for gone.
const SILENCE: Duration = Duration::from_secs(20);

/// Reads partitions of the state topic from beginning to end.
pub(super) struct Read {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    pub topic: String,
    pub partitions: Vec<i32>,
    pub stats: Arc<Stats>,
}

/// Series by the generation of their assignment.
type Series = HashMap<u64, (Arc<Assignment>, PartitionSeries)>;

/// What a partition's records came to.
pub(super) struct Loaded {
    /// Empty where the outcome is an error.
    pub series: PartitionSeries,
    pub outcome: Result<Option<Meta>, StateError>,
}

impl Read {
    /// Loads what is there into the series of the partitions that it belongs to.
    ///
    /// # Errors
    /// When Kafka does not give it.
    pub fn run(self, mut series: Series) -> KafkaResult<Vec<(Arc<Assignment>, Loaded)>> {
        let consumer = self.consumer()?;
        let mut failed: HashMap<u64, StateError> = HashMap::new();
        let mut unread: HashSet<i32> = self.partitions.iter().copied().collect();
        let mut last = Instant::now();
        while !unread.is_empty()
            && series
                .values()
                .any(|(assignment, _)| !assignment.is_revoked())
        {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    last = Instant::now();
                    self.stats.restored_records.inc();
                    let Some(key) = message.key() else { continue };
                    let of_partition = series
                        .iter_mut()
                        .filter(|(_, (assignment, _))| assignment.partition == message.partition());
                    for (generation, (_, series)) in of_partition {
                        if failed.contains_key(generation) {
                            continue;
                        }
                        if let Err(error) = series.load(key, message.payload()) {
                            failed.insert(*generation, error);
                        }
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    last = Instant::now();
                    unread.remove(&partition);
                }
                Some(Err(error)) if is_final(&error) => return Err(error),
                // librdkafka goes on trying.
                Some(Err(_)) | None => {}
            }
            if last.elapsed() > SILENCE {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
        }
        let finish =
            |(generation, (assignment, mut series)): (u64, (Arc<Assignment>, PartitionSeries))| {
                // Room is taken when the series are taken over.
                let mut room = Room::default();
                let outcome = match failed.remove(&generation) {
                    Some(error) => Err(error),
                    None => series.loaded(&mut room).map(|loaded| loaded.meta),
                };
                if outcome.is_err() {
                    series.discard(&mut room);
                }
                (assignment, Loaded { series, outcome })
            };
        Ok(series.into_iter().map(finish).collect())
    }

    fn consumer(&self) -> KafkaResult<BaseConsumer> {
        let consumer: BaseConsumer = self
            .kafka
            // librdkafka wants a group; it is not joined.
            .reader_config(&self.client_id, &self.group_id)
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            list.add_partition_offset(&self.topic, *partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    }
}

/// Whether reading a topic will not come right by itself.
pub(crate) fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        GroupAuthorizationFailed, TopicAuthorizationFailed, UnknownTopic, UnknownTopicOrPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            GroupAuthorizationFailed
                | TopicAuthorizationFailed
                | UnknownTopic
                | UnknownTopicOrPartition
        )
    )
}
