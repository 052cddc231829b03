//! What a sink is to the pipeline.

pub(crate) mod elasticsearch;
pub(crate) mod prometheus;

use std::sync::Arc;
use std::time::Instant;

use bt_events::Event;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;

use crate::pipeline::{Assignment, KafkaConsumer, Origin, commit_async};

/// Where events are carried to. All methods are called on the poll thread and must not block on the outside.
pub(crate) trait Sink: Send {
    /// Partitions arrive, none of them held already.
    fn assigned(&mut self, assignments: &[Arc<Assignment>]);

    /// Takes an event, or says why not.
    fn event(&mut self, event: &Event<'_>, origin: &Origin<'_>) -> Taken;

    /// Timed work; called many times a second.
    fn tick(&mut self, now: Instant);

    /// Delivers what was taken without waiting for more: the pipeline is about to wait for it.
    fn flush(&mut self);

    /// Partitions leave: whatever is acknowledged has been committed, the rest is not ours any more.
    fn revoked(&mut self, assignments: &[Arc<Assignment>]);

    /// Commits the offsets below which everything is done. A sink that keeps state may commit them together with it
    /// (KIP-447); left alone, they are committed by the consumer.
    fn commit(
        &mut self,
        consumer: &KafkaConsumer,
        offsets: &TopicPartitionList,
        mode: CommitMode,
    ) -> KafkaResult<()> {
        match mode {
            CommitMode::Async => commit_async(consumer, offsets),
            CommitMode::Sync => consumer.commit(offsets, mode),
        }
    }

    /// How the sink is.
    fn status(&self) -> SinkStatus;
}

/// What became of an event.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The sink has it.
    Done,
    /// The sink will acknowledge it; until then it occupies so many bytes.
    Later { bytes: usize },
    /// Left out by a limit, which is not the event's fault: counted, not dead-lettered.
    Dropped { reason: &'static str },
    /// The event cannot be taken and goes to the dead-letter topic.
    Rejected(Rejection),
}

/// Why an event cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// A short constant name for counters and headers.
    pub reason: &'static str,
    /// The details for people.
    pub message: String,
}

impl Rejection {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// How a sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SinkStatus {
    /// Set up, able to take events.
    pub ready: bool,
    /// Waiting for something outside this process, so that a lack of progress is not the process' fault.
    pub waiting: bool,
}
