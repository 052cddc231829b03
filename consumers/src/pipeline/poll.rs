use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use thiserror::Error;

use super::commits::Commits;
use super::context::{Context, KafkaConsumer};
use super::core::{Core, TICK};
use super::pressure::Limits;
use super::record::Ack;
use crate::config::StartFrom;
use crate::sink::Sink;
use crate::sink_state::SinkState;
use crate::stats::{Health, Stats};

/// Short enough for the lease of what is shown to be prolonged in time.
const STATISTICS_INTERVAL_MS: &str = "1000";

/// After so many records one after the other the time is looked at.
const LOOK: u32 = 64;

/// What a pipeline consumes, and how.
pub(crate) struct Settings {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    pub topics: Vec<String>,
    pub start_from: StartFrom,
    /// Kafka's `session.timeout.ms`.
    pub session_timeout: Duration,
    pub limits: Limits,
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
    pub commits: Commits,
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
        let consumer = connect(&settings, parts.commits.keeps_state())?;
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
        let mut busy = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            // Without a timeout there is no need to know the time.
            let mut message = self.consumer.poll(Duration::ZERO);
            if message.is_none() {
                message = self.consumer.poll(TICK);
            }
            let idle = message.is_none();
            match message {
                Some(Ok(message)) => self.core.take(&message),
                // Told for statistics to have it, which also say of which topic.
                Some(Err(KafkaError::PartitionEOF(_))) => {}
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
                self.consumer = connect(&self.settings, self.core.commits.keeps_state())?;
                self.consumer.subscribe(&topics)?;
            }
            busy = if idle { 0 } else { busy.wrapping_add(1) };
            if busy.is_multiple_of(LOOK) || self.core.is_over_the_limit() {
                self.core.after_poll(&self.consumer, Instant::now(), idle);
            }
        }
        self.core.stop(&self.consumer);
        Ok(())
    }
}

impl Drop for Pipeline {
    /// However it ends: nothing is shown any more, and nobody waits for rebalances when the consumer, dropped next, leaves
    /// the group.
    fn drop(&mut self) {
        self.core.abandon();
        self.consumer.context().close();
    }
}

fn connect(settings: &Settings, exact: bool) -> Result<KafkaConsumer, KafkaError> {
    let start = match (exact, settings.start_from) {
        // Each partition is given its start. One that Kafka does not have is to be noticed, not jumped over.
        (true, _) => "error",
        (false, StartFrom::Earliest) => "earliest",
        (false, StartFrom::Latest) => "latest",
    };
    let session = settings.session_timeout.as_millis();
    settings
        .kafka
        .reader_config(&settings.client_id, &settings.group_id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.partition.eof", exact.to_string())
        .set("auto.offset.reset", start)
        .set("session.timeout.ms", session.to_string())
        .set("heartbeat.interval.ms", (session / 5).to_string())
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
        .create_with_context(Context::default())
}
