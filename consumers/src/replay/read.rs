use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection, Offsets};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::{Moment, ReplayError};
use crate::config::Config;
use crate::pipeline::is_final;

/// For the one answer that says where to begin.
const TIMEOUT: Duration = Duration::from_secs(30);
/// After so long without a word Kafka is taken for gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Reads the dead-letter topic from its beginning, or a point in time, to what is its end when it is opened. Of what is
/// written in transactions only that which was committed by then counts.
pub(crate) struct Reader {
    consumer: BaseConsumer,
    topic: String,
    /// Where partitions end that are not read to their end yet.
    open: HashMap<i32, i64>,
    total: u64,
    /// How long polling has given nothing.
    silent: Duration,
}

/// What reading gives.
pub(crate) enum Next<'r> {
    Letter(BorrowedMessage<'r>),
    /// Not yet.
    Nothing,
    End,
}

impl Reader {
    /// `only` is the partition and the offset of the one letter that is wanted.
    pub fn open(
        config: &Config,
        kafka: &Connection,
        client_id: &str,
        since: Option<Moment>,
        only: Option<(i32, i64)>,
        admin: &Admin,
        runtime: &Handle,
    ) -> Result<Self, ReplayError> {
        let topic = config.dead_letter_topic.clone();
        let described = runtime.block_on(admin.describe_topics(&[&topic]))?;
        let partitions = match described.get(&topic) {
            Some(Ok(described)) => described.partitions,
            Some(Err(error)) if !error.is_unknown_topic() => return Err(error.clone().into()),
            Some(Err(_)) | None => return Err(ReplayError::NoTopic(topic)),
        };
        let all: Vec<_> = (0..partitions).map(|p| (topic.clone(), p)).collect();
        let begins = runtime.block_on(admin.log_start_offsets(all.clone()))?;
        let ends = runtime.block_on(admin.last_stable_offsets(all))?;
        let consumer: BaseConsumer = kafka
            // librdkafka wants a group; it is not joined. The consumer's own is one that its user may name.
            .reader_config(client_id, &config.group_id)
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .create()?;
        let since = match since {
            Some(since) => offsets_of(&consumer, &topic, partitions, since)?,
            None => BTreeMap::new(),
        };
        let mut list = TopicPartitionList::new();
        let (mut open, mut total) = (HashMap::new(), 0);
        for partition in 0..partitions {
            let (begin, end) = (
                of(&begins, &topic, partition)?,
                of(&ends, &topic, partition)?,
            );
            let begin = match since.get(&partition) {
                _ if only.is_some_and(|(other, _)| other != partition) => end,
                Some(Some(offset)) => begin.max(*offset),
                // None is so young.
                Some(None) => end,
                None => begin,
            };
            let (begin, end) = match only {
                Some((_, offset)) => (begin.max(offset), end.min(offset.saturating_add(1))),
                None => (begin, end),
            };
            if begin < end {
                list.add_partition_offset(&topic, partition, Offset::Offset(begin))?;
                open.insert(partition, end);
                total += (end - begin).unsigned_abs();
            }
        }
        consumer.assign(&list)?;
        Ok(Self {
            consumer,
            topic,
            open,
            total,
            silent: Duration::ZERO,
        })
    }

    /// How many records there are to read, at most: where there are transactions, the marks of their ends are counted too.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The next letter, for which Kafka has so long.
    pub fn next(&mut self, timeout: Duration) -> Result<Next<'_>, ReplayError> {
        if self.open.is_empty() {
            return Ok(Next::End);
        }
        let began = Instant::now();
        match self.consumer.poll(timeout) {
            Some(Ok(message)) => {
                self.silent = Duration::ZERO;
                let (partition, offset) = (message.partition(), message.offset());
                let Some(end) = self.open.get(&partition).copied() else {
                    return Ok(Next::Nothing);
                };
                if offset + 1 >= end {
                    close(&self.consumer, &self.topic, &mut self.open, partition);
                }
                match offset < end {
                    true => Ok(Next::Letter(message)),
                    false => Ok(Next::Nothing),
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.silent = Duration::ZERO;
                self.open.remove(&partition);
                Ok(Next::Nothing)
            }
            Some(Err(error)) if is_final(&error) => Err(error.into()),
            // librdkafka goes on trying.
            Some(Err(_)) | None => {
                self.silent += began.elapsed();
                match self.silent > SILENCE {
                    true => Err(ReplayError::Kafka(format!(
                        "{} gives no record, and no end of it, for {} s",
                        self.topic,
                        SILENCE.as_secs()
                    ))),
                    false => Ok(Next::Nothing),
                }
            }
        }
    }
}

/// A partition is read to its end: what is written to it meanwhile is not fetched any more.
fn close(consumer: &BaseConsumer, topic: &str, open: &mut HashMap<i32, i64>, partition: i32) {
    open.remove(&partition);
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    if let Err(error) = consumer.pause(&list) {
        tracing::debug!(%error, partition, "cannot pause a partition that is read to its end");
    }
}

/// The first offset of each partition that is as young as this; `None` where there is none.
pub(crate) fn offsets_of(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: i32,
    since: Moment,
) -> Result<BTreeMap<i32, Option<i64>>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions {
        asked.add_partition_offset(topic, partition, Offset::Offset(since.0.max(0)))?;
    }
    let answered = consumer.offsets_for_times(asked, TIMEOUT)?;
    let of = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        element.error()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok((element.partition(), offset))
    };
    answered.elements().into_iter().map(of).collect()
}

fn of(offsets: &Offsets, topic: &str, partition: i32) -> Result<i64, ReplayError> {
    let offset = offsets.get(&(topic.to_owned(), partition)).copied();
    offset.ok_or_else(|| {
        ReplayError::Kafka(format!(
            "{topic}/{partition}: where it begins and ends is not known; it may have no leader now"
        ))
    })
}
