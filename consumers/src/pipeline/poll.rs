use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use thiserror::Error;

use super::DeadLetters;
use super::context::{Context, KafkaConsumer};
use super::core::{Core, TICK};
use super::record::Ack;
use crate::config::StartFrom;
use crate::sink::Sink;
use crate::sink_state::SinkState;
use crate::stats::{Health, Stats};

const STATISTICS_INTERVAL_MS: &str = "5000";

/// What a pipeline consumes, and how.
pub(crate) struct Settings {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    pub topics: Vec<String>,
    pub start_from: StartFrom,
    /// The most bytes that the sink and the dead letters may have unacknowledged.
    pub max_in_flight: usize,
}

/// Why a pipeline cannot run on.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// A client cannot be made, or Kafka's answer is final.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The Admin client cannot be made.
    #[error("Kafka: {0}")]
    Admin(#[from] bt_kafka::Error),
}

/// The poll loop: the consumer, and all that is done with what it hands out.
pub(crate) struct Pipeline {
    consumer: KafkaConsumer,
    core: Core,
    settings: Settings,
}

/// What a pipeline works with.
pub(crate) struct Parts {
    pub runtime: tokio::runtime::Handle,
    pub sink: Box<dyn Sink>,
    pub dead_letters: DeadLetters,
    pub acks: Receiver<Ack>,
    pub stats: Arc<Stats>,
    pub health: Arc<Health>,
    pub sink_state: Arc<SinkState>,
}

impl Pipeline {
    /// A pipeline that is about to join its group.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, PipelineError> {
        let consumer = connect(&settings)?;
        let admin = Admin::new(&settings.kafka, &format!("{}-admin", settings.client_id))?
            .with_timeout(Duration::from_secs(3));
        Ok(Self {
            consumer,
            core: Core::new(parts, admin, &settings),
            settings,
        })
    }

    /// Polls until `stop` is set, then drains, commits and leaves the group.
    ///
    /// # Errors
    /// When Kafka's answer is final, for example fencing or a refused assignment. What is not committed then is
    /// consumed again by the next pod.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), PipelineError> {
        let topics: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics)?;
        tracing::info!(?topics, "joining the consumer group");
        while !stop.load(Ordering::Relaxed) {
            let message = self.consumer.poll(TICK);
            let idle = message.is_none();
            match message {
                Some(Ok(message)) => self.core.take(&self.consumer, &message),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(error.into());
                }
                Some(Err(error)) => self.core.kafka_error(&self.consumer, &error),
                None => {}
            }
            if self.consumer.context().has_news() {
                self.core.news(&self.consumer)?;
            }
            if self.core.must_rejoin() {
                tracing::warn!("connecting and joining the consumer group anew");
                self.core.abandon();
                self.consumer.context().close();
                self.consumer = connect(&self.settings)?;
                self.consumer.subscribe(&topics)?;
            }
            self.core.after_poll(&self.consumer, Instant::now(), idle);
        }
        self.core.stop(&self.consumer);
        // Dropping the consumer leaves the group.
        self.consumer.context().close();
        Ok(())
    }
}

fn connect(settings: &Settings) -> Result<KafkaConsumer, KafkaError> {
    let start = match settings.start_from {
        StartFrom::Earliest => "earliest",
        StartFrom::Latest => "latest",
    };
    settings
        .kafka
        .client_config(&settings.client_id)
        .set("group.id", &settings.group_id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", start)
        .set("isolation.level", "read_committed")
        // A killed pod's partitions should not wait for the default of 45 s.
        .set("session.timeout.ms", "15000")
        .set("heartbeat.interval.ms", "3000")
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.wait.max.ms", "100")
        .create_with_context(Context::default())
}
