//! `bt-consumers tail`: shows the events of one topic as they come, for `kubectl bt tail`.
//!
//! No group is joined and nothing is committed.

mod matching;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection};
use clap::{Args, ValueEnum};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::pipeline::is_final;
use crate::replay::{Moment, offsets_of};
use matching::Matching;

/// The longest wait for a record before it is seen whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// After so long without a word at the start Kafka is taken for gone.
const SILENCE: Duration = Duration::from_secs(30);
/// So much of what is no event is shown, in characters.
const MAX_RAW: usize = 4096;

/// Which events are shown.
#[derive(Debug, Clone, Args)]
// Whoever takes these in has such a name, too.
#[group(skip)]
pub struct Options {
    /// The topic.
    pub topic: String,
    /// Only events of this service; may be given several times.
    #[arg(long = "service", value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Only logs of this level, whatever its case; may be given several times.
    #[arg(long = "level", value_name = "LEVEL")]
    pub levels: Vec<String>,
    /// Only events of this kind; may be given several times.
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    pub kinds: Vec<TailKind>,
    /// Only business events of this type (order.created), or all that begin so (order.*); may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only records whose text has this in it, whatever its case.
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// Begin with what was written then: a time (RFC 3339) or a duration before now (5m, 2h).
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from_beginning", "last"])]
    pub since: Option<Moment>,
    /// Begin with the oldest record that Kafka has.
    #[arg(long, conflicts_with = "last")]
    pub from_beginning: bool,
    /// Begin with the last N records of each partition.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub last: Option<i64>,
    /// End after N events.
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End with what is there now instead of waiting for more.
    #[arg(long)]
    pub once: bool,
}

/// A kind of what is in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TailKind {
    /// Metrics.
    Metric,
    /// Logs.
    Log,
    /// Health checks.
    Health,
    /// Business events.
    Business,
    /// What is no event.
    Malformed,
}

/// One event of a record, or what is none: a line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TailLine {
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// The record's time, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The record's key, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In the record's array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// The event as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// What is no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Why it is none, as a dead letter's `bt-reason` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is none, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a topic cannot be shown.
#[derive(Debug, Error)]
pub enum TailError {
    /// Kafka does not answer, or not what was asked.
    #[error("Kafka: {0}")]
    Kafka(String),
    /// There is no such topic.
    #[error("there is no topic {0} in this Kafka; `kubectl get kafkatopics -A` has the names")]
    NoTopic(String),
    /// Nobody reads what is shown any more.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// The system gives no threads.
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
}

impl From<bt_kafka::Error> for TailError {
    fn from(error: bt_kafka::Error) -> Self {
        Self::Kafka(error.to_string())
    }
}

impl From<KafkaError> for TailError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error.to_string())
    }
}

/// Shows what the options pick until `stop`; how many events those were. `group` is a name that the user may read by; it is not joined.
///
/// # Errors
/// When Kafka does not give the records, or `show` fails.
pub fn tail(
    kafka: &Connection,
    group: &str,
    options: &Options,
    stop: &AtomicBool,
    show: &mut dyn FnMut(&TailLine) -> std::io::Result<()>,
) -> Result<u64, TailError> {
    let matching = Matching::new(options);
    let (consumer, mut ends) = open(kafka, group, options)?;
    let (mut shown, mut heard, began) = (0, false, Instant::now());
    loop {
        let at_the_end = options.once && ends.is_empty();
        if at_the_end || stop.load(Ordering::Relaxed) {
            break;
        }
        let message = match consumer.poll(TICK) {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = true;
                ends.remove(&partition);
                continue;
            }
            Some(Err(error)) if is_final(&error) => return Err(error.into()),
            // librdkafka goes on trying.
            Some(Err(_)) | None if heard || began.elapsed() < SILENCE => continue,
            Some(Err(error)) => return Err(error.into()),
            None => {
                return Err(TailError::Kafka(format!(
                    "{} gives no record, and no end of it, for {} s",
                    options.topic,
                    SILENCE.as_secs()
                )));
            }
        };
        heard = true;
        let (partition, offset) = (message.partition(), message.offset());
        let is_past = ends.get(&partition).is_none_or(|end| offset >= *end);
        if options.once && is_past {
            continue;
        }
        if ends.get(&partition).is_some_and(|end| offset + 1 >= *end) {
            ends.remove(&partition);
        }
        for line in lines(&message) {
            if matching.picks(&line) {
                show(&line)?;
                shown += 1;
                if options.count.is_some_and(|count| shown >= count) {
                    return Ok(shown);
                }
            }
        }
    }
    Ok(shown)
}

/// A consumer that stands where the options want it, and where the partitions end that have something to read until then.
fn open(
    kafka: &Connection,
    group: &str,
    options: &Options,
) -> Result<(BaseConsumer, HashMap<i32, i64>), TailError> {
    let topic = &options.topic;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TailError::Start)?;
    let client_id = "bt-tail";
    let admin = Admin::new(kafka, client_id)?;
    let described = runtime.block_on(admin.describe_topics(&[topic]))?;
    let partitions = match described.get(topic) {
        Some(Ok(described)) => described.partitions,
        Some(Err(error)) if !error.is_unknown_topic() => return Err(error.clone().into()),
        Some(Err(_)) | None => return Err(TailError::NoTopic(topic.clone())),
    };
    let all: Vec<_> = (0..partitions).map(|p| (topic.clone(), p)).collect();
    let begins = runtime.block_on(admin.log_start_offsets(all.clone()))?;
    let stable = runtime.block_on(admin.last_stable_offsets(all))?;
    let consumer: BaseConsumer = kafka
        .reader_config(client_id, group)
        // It shares the memory of the pod that it runs in.
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.max.bytes", "1048576")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()?;
    let since = match options.since {
        Some(since) => offsets_of(&consumer, topic, partitions, since)?,
        None => Default::default(),
    };
    let mut list = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for partition in 0..partitions {
        let of = |offsets: &bt_kafka::Offsets| offsets.get(&(topic.clone(), partition)).copied();
        let (Some(begin), Some(end)) = (of(&begins), of(&stable)) else {
            return Err(TailError::Kafka(format!(
                "{topic}/{partition}: where it begins and ends is not known; it may have no leader now"
            )));
        };
        let from = match (since.get(&partition), options.last) {
            (Some(Some(offset)), _) => begin.max(*offset),
            _ if options.from_beginning => begin,
            (None, Some(last)) => begin.max(end.saturating_sub(last)),
            _ => end,
        };
        if from < end {
            ends.insert(partition, end);
        }
        list.add_partition_offset(topic, partition, Offset::Offset(from))?;
    }
    consumer.assign(&list)?;
    Ok((consumer, ends))
}

/// The events of a record, or what it is instead.
fn lines(message: &impl Message) -> Vec<TailLine> {
    let line = TailLine {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message
            .key()
            .map(|key| String::from_utf8_lossy(key).into_owned()),
        place: None,
        event: None,
        raw: None,
        reason: None,
        error: None,
    };
    let malformed = |place, text: &[u8], error: &bt_events::EventError| TailLine {
        place,
        raw: Some(
            String::from_utf8_lossy(text)
                .chars()
                .take(MAX_RAW)
                .collect(),
        ),
        reason: Some(error.reason().to_owned()),
        error: Some(error.to_string()),
        ..line.clone()
    };
    let value = message.payload().unwrap_or_default();
    let elements = match bt_events::parse(value) {
        Ok(elements) => elements,
        Err(error) => return vec![malformed(None, value, &error)],
    };
    elements
        .map(|element| {
            let json = RawValue::from_string(element.json().to_owned());
            match (element.event(), json) {
                (Ok(_), Ok(json)) => TailLine {
                    place: element.place(),
                    event: Some(json),
                    ..line.clone()
                },
                (Err(error), _) => malformed(element.place(), element.json().as_bytes(), &error),
                (Ok(_), Err(error)) => {
                    let error = bt_events::EventError::NotJson(error.to_string());
                    malformed(element.place(), element.json().as_bytes(), &error)
                }
            }
        })
        .collect()
}
