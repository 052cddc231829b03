//! `bt-consumers send`: a test event, followed from Kafka through the consumer into its sink, for `kubectl bt send`.

mod event;
mod journey;
mod local;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bt_kafka::Connection;
use clap::{Args, ValueEnum};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Ports;
use crate::config::{Config, ConfigError, HumanDuration};
use crate::sink::elasticsearch::{Finder, StartError};
use event::TestEvent;
use journey::{Journey, Sink};

/// For Kafka to acknowledge the record.
const SEND: Duration = Duration::from_secs(10);

/// What to send.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The consumer's configuration file; in its pods /etc/bt-consumers/config.yaml.
    #[arg(long)]
    pub config: PathBuf,
    /// The kind of event. Default: metric for a prometheus sink, else log, or business where no topic is one of logs.
    #[arg(long, value_enum)]
    pub kind: Option<SendKind>,
    /// One of the consumer's topics. Default: the one that is named after the kind, else the first.
    #[arg(long)]
    pub topic: Option<String>,
    /// A log's message.
    #[arg(long, default_value = "a test event of kubectl bt send")]
    pub message: String,
    /// How long it is followed.
    #[arg(long, default_value_t = HumanDuration::from_secs(60))]
    pub timeout: HumanDuration,
    /// The port of the consumer's own /metrics.
    #[arg(long, env = "BT_HTTP_PORT", default_value_t = Ports::default().http)]
    pub http_port: u16,
    /// The port of the prometheus sink's /metrics.
    #[arg(long, env = "BT_METRICS_PORT", default_value_t = Ports::default().metrics)]
    pub metrics_port: u16,
}

/// A kind of test event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SendKind {
    /// The gauge `bt_test_event_timestamp_seconds`.
    Metric,
    /// A log of level info.
    Log,
    /// The service `kubectl-bt` is up.
    Health,
    /// A business event whose type begins with `test.`
    Business,
}

/// How far the event has come: a line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "hop", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Hop {
    /// It is on its way.
    Sent {
        /// Its kind.
        kind: SendKind,
        /// The topic.
        topic: String,
        /// Its id, and what it is known by at the other end.
        id: String,
        /// The event.
        event: serde_json::Value,
        /// What finds it in Prometheus (PromQL), where the sink is one for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
    /// Kafka has it.
    Acknowledged {
        /// Since it was sent, in milliseconds.
        ms: u64,
        /// Where it is.
        partition: i32,
        /// Where it is.
        offset: i64,
    },
    /// The consumer has read it and committed what lies behind it: the sink has it.
    Committed {
        /// Since it was sent, in milliseconds.
        ms: u64,
        /// The consumer group.
        group: String,
        /// What it has committed.
        offset: i64,
    },
    /// Whoever looks into the sink sees it.
    Visible {
        /// Since it was sent, in milliseconds.
        ms: u64,
        /// Where.
        place: String,
    },
    /// It did not come so far in time.
    TimedOut {
        /// Since it was sent, in milliseconds.
        ms: u64,
        /// What was waited for.
        waited_for: String,
        /// What was seen instead.
        seen: String,
    },
}

/// Why nothing can be sent or followed.
#[derive(Debug, Error)]
pub enum SendError {
    /// The consumer does not read this topic.
    #[error("{consumer} does not read the topic {topic}; it reads {topics}")]
    Topic {
        /// The consumer.
        consumer: String,
        /// What was asked for.
        topic: String,
        /// What it reads.
        topics: String,
    },
    /// The sink does not show such events.
    #[error(
        "{0} has a prometheus sink, which shows no logs: choose --kind metric, health or business, or a consumer with an elasticsearch sink"
    )]
    NotShown(String),
    /// Another pod has all the partitions.
    #[error(
        "this pod has no partition of {0}, so that it would never show the event; another pod of the consumer has them"
    )]
    NoPartition(String),
    /// The consumer's own page.
    #[error("the consumer in this pod does not answer: {0}")]
    Consumer(String),
    /// The credentials of Kafka.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sink's client.
    #[error(transparent)]
    Sink(#[from] StartError),
    /// The HTTP client.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// Kafka does not take it, or not answer.
    #[error("Kafka: {0}")]
    Kafka(String),
    /// Nobody reads what is told.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

impl From<bt_kafka::Error> for SendError {
    fn from(error: bt_kafka::Error) -> Self {
        Self::Kafka(error.to_string())
    }
}

impl From<KafkaError> for SendError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error.to_string())
    }
}

/// Sends a test event and tells each hop; whether it has become visible.
///
/// # Errors
/// When it cannot be sent, or not be followed.
pub fn send(
    config: &Config,
    options: &Options,
    tell: &mut dyn FnMut(&Hop) -> std::io::Result<()>,
) -> Result<bool, SendError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let result = runtime.block_on(follow(config, options, tell));
    runtime.shutdown_background();
    result
}

async fn follow(
    config: &Config,
    options: &Options,
    tell: &mut dyn FnMut(&Hop) -> std::io::Result<()>,
) -> Result<bool, SendError> {
    let is_prometheus = config.sink.prometheus.is_some();
    let kind = kind(config, options);
    if is_prometheus && kind == SendKind::Log {
        return Err(SendError::NotShown(config.consumer.clone()));
    }
    let topic = topic(config, options, kind)?;
    let sink = match &config.sink.elasticsearch {
        Some(sink) => Sink::Search(Box::new(Finder::new(sink)?)),
        None => Sink::Pages(local::Pages::new(options.http_port, options.metrics_port)?),
    };
    let partition = match &sink {
        // The page of this pod is the one that can be read: the event goes where this pod reads.
        Sink::Pages(pages) => Some(pages.partition(&topic).await?),
        Sink::Search(_) => None,
    };
    let kafka = config.kafka.connection()?;
    let producer = connected(&kafka, &topic)?;
    let event = TestEvent::new(kind, &options.message);
    let mut journey = Journey {
        began: Instant::now(),
        timeout: options.timeout.0,
        tell,
    };
    (journey.tell)(&Hop::Sent {
        kind,
        topic: topic.clone(),
        id: event.id.clone(),
        event: serde_json::from_str(&event.json).unwrap_or_default(),
        query: is_prometheus.then(|| event.query()),
    })?;
    let (partition, offset) = produce(&producer, &topic, partition, &event).await?;
    let ms = journey.ms();
    (journey.tell)(&Hop::Acknowledged {
        ms,
        partition,
        offset,
    })?;
    let place = (topic, partition);
    if !journey.committed(config, &kafka, &place, offset).await? {
        return Ok(false);
    }
    journey.visible(&sink, &event).await
}

fn kind(config: &Config, options: &Options) -> SendKind {
    let has_logs = config.topics.iter().any(|topic| topic.contains("log"));
    match options.kind {
        Some(kind) => kind,
        None if config.sink.prometheus.is_some() => SendKind::Metric,
        None if has_logs => SendKind::Log,
        None => SendKind::Business,
    }
}

fn topic(config: &Config, options: &Options, kind: SendKind) -> Result<String, SendError> {
    let topics = &config.topics;
    if let Some(topic) = &options.topic {
        return match topics.contains(topic) {
            true => Ok(topic.clone()),
            false => Err(SendError::Topic {
                consumer: config.consumer.clone(),
                topic: topic.clone(),
                topics: topics.join(", "),
            }),
        };
    }
    let of_kind = |topic: &&String| match kind {
        SendKind::Metric => topic.contains("metric"),
        SendKind::Log => topic.contains("log"),
        SendKind::Health => topic.contains("health"),
        SendKind::Business => !["metric", "log", "health"]
            .iter()
            .any(|k| topic.contains(k)),
    };
    let named = topics.iter().find(of_kind).or(topics.first());
    Ok(named.cloned().unwrap_or_default())
}

/// A producer that has found the topic's brokers: that is no part of the event's time.
fn connected(kafka: &Connection, topic: &str) -> Result<FutureProducer, SendError> {
    let timeout = SEND.as_millis().to_string();
    let producer: FutureProducer = kafka
        .client_config("bt-send")
        .set("compression.type", "snappy")
        .set("message.timeout.ms", timeout)
        .set("queue.buffering.max.kbytes", "1024")
        .create()?;
    tokio::task::block_in_place(|| producer.client().fetch_metadata(Some(topic), SEND))?;
    Ok(producer)
}

async fn produce(
    producer: &FutureProducer,
    topic: &str,
    partition: Option<i32>,
    event: &TestEvent,
) -> Result<(i32, i64), SendError> {
    let mut record = FutureRecord::to(topic).key(&event.key).payload(&event.json);
    record.partition = partition;
    let sent = producer.send(record, SEND).await;
    let delivery = sent.map_err(|(error, _)| error)?;
    Ok((delivery.partition, delivery.offset))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn config(sink: &str, topics: &str) -> Config {
        Config::parse(&format!(
            "consumer: shop/one\nkafka: {{bootstrapServers: 'localhost:1'}}\ngroupId: g\ntopics: [{topics}]\n\
             deadLetterTopic: dead-letters\nstateTopic: state\nsink: {sink}\n"
        ))
        .expect("a configuration")
    }

    #[test]
    fn kind_and_topic_are_what_the_consumer_is_for() {
        use SendKind::{Business, Health, Log, Metric};
        let search = "{elasticsearch: {urls: ['http://localhost:1']}}";
        let prometheus = "{prometheus: {}}";
        for (sink, topics, arguments, expected) in [
            (
                prometheus,
                "metrics.events, health.events",
                &[][..],
                (Metric, "metrics.events"),
            ),
            (
                prometheus,
                "metrics.events, health.events",
                &["--kind", "health"],
                (Health, "health.events"),
            ),
            (prometheus, "all", &["--kind", "health"], (Health, "all")),
            (search, "logs.events", &[], (Log, "logs.events")),
            (
                search,
                "order.events, user.events",
                &[],
                (Business, "order.events"),
            ),
            (
                search,
                "order.events, user.events",
                &["--topic", "user.events"],
                (Business, "user.events"),
            ),
        ] {
            let all = ["send", "--config", "c"].iter().chain(arguments);
            let options = Cli::try_parse_from(all).expect("arguments").options;
            let config = config(sink, topics);
            let kind = kind(&config, &options);
            let topic = topic(&config, &options, kind).expect("a topic");
            assert_eq!((kind, topic.as_str()), expected, "{topics} {arguments:?}");
        }
        let options = Cli::try_parse_from(["send", "--config", "c", "--topic", "x"]);
        let options = options.expect("arguments").options;
        let why = topic(&config(search, "a, b"), &options, Log).expect_err("no such topic");
        assert!(why.to_string().contains("it reads a, b"), "{why}");
    }

    #[test]
    fn hops_are_lines_of_json_that_can_be_read_again() {
        let hop = Hop::TimedOut {
            ms: 7,
            waited_for: "this".into(),
            seen: "that".into(),
        };
        let json = serde_json::to_string(&hop).expect("JSON");
        assert_eq!(
            json,
            r#"{"hop":"timedOut","ms":7,"waitedFor":"this","seen":"that"}"#
        );
        assert_eq!(serde_json::from_str::<Hop>(&json).expect("a hop"), hop);
    }
}
