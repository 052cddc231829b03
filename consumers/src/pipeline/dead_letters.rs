use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_kafka::Connection;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::letter::{Letter, Letters};
use super::record::{Acks, Original};
use crate::sink_state::SinkState;
use crate::stats::Stats;

/// Between two attempts to write what the dead-letter topic did not take.
const RETRY: Duration = Duration::from_secs(2);

/// Writes what no sink can take to the dead-letter topic, for as long as it takes: the record is acknowledged only
/// when its dead letter is.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    producer: Arc<ThreadedProducer<Delivery>>,
    letters: Letters,
}

/// What becomes of the letters, told by the producer's thread.
struct Delivery {
    acks: Acks,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
    topic: Arc<str>,
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    letters: VecDeque<Arc<Letter>>,
    retry_at: Option<Instant>,
    logged_at: Option<Instant>,
    /// The sink's state says that letters cannot be written.
    troubled: bool,
}

impl DeadLetters {
    /// Connects when the first letter is sent.
    ///
    /// # Errors
    /// When librdkafka refuses the connection's settings.
    pub fn new(
        kafka: &Connection,
        client_id: &str,
        letters: Letters,
        acks: Acks,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> KafkaResult<Self> {
        let delivery = Delivery {
            acks,
            stats,
            state,
            topic: letters.topic.clone(),
            failed: Mutex::default(),
        };
        let producer = kafka
            .writer_config(client_id)
            // Never give up on what may be written already: sending it anew would double it.
            .set("message.timeout.ms", "0")
            .set("linger.ms", "20")
            // A record close to the limit of its topic must still fit here with headers; the broker compares the
            // compressed size with the dead-letter topic's max.message.bytes.
            .set("message.max.bytes", "100000000")
            .set("compression.type", "zstd")
            .set("queue.buffering.max.kbytes", "65536")
            .create_with_context(delivery)?;
        Ok(Self {
            producer: Arc::new(producer),
            letters,
        })
    }

    /// Sends a letter; it is acknowledged when the topic has it.
    pub fn send(&self, original: Original, reason: &'static str, error: String, bytes: usize) {
        let delivery = self.delivery();
        delivery.stats.dead_letters_pending.inc();
        self.produce(Arc::new(Letter::new(original, reason, error, bytes)));
    }

    /// Sends again what failed, when it is time; called many times a second.
    pub fn tick(&self, now: Instant) {
        let delivery = self.delivery();
        let letters = {
            let mut failed = delivery.lock();
            if failed.retry_at.is_none_or(|at| now < at) {
                return;
            }
            failed.retry_at = None;
            std::mem::take(&mut failed.letters)
        };
        for letter in letters {
            if letter.original.assignment.is_revoked() {
                delivery.finish(&letter);
            } else {
                self.produce(letter);
            }
        }
    }

    /// Letters that are not written yet.
    pub fn pending(&self) -> i64 {
        self.delivery().stats.dead_letters_pending.get()
    }

    fn delivery(&self) -> &Delivery {
        rdkafka::producer::Producer::context(&*self.producer)
    }

    fn produce(&self, letter: Arc<Letter>) {
        let Letters { topic, .. } = &self.letters;
        let mut record = BaseRecord::with_opaque_to(topic, letter.clone());
        self.letters.fill(&mut record, &letter);
        if let Err((error, _)) = self.producer.send(record) {
            self.delivery().keep(&error, letter);
        }
    }
}

/// Why letters are not written, and what to do.
pub(super) fn trouble(topic: &str, error: &KafkaError) -> String {
    format!(
        "rejected events cannot be written to the dead-letter topic {topic}, their partitions wait: {error}; {}",
        hint(error)
    )
}

fn hint(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            "raise max.message.bytes of the dead-letter topic above that of the topics consumed"
        }
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            "create the dead-letter topic"
        }
        _ => "check the dead-letter topic and the connection to Kafka",
    }
}

impl Delivery {
    fn lock(&self) -> std::sync::MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, letter: &Letter) {
        let original = &letter.original;
        self.stats.dead_letters_pending.dec();
        // Written, or its partition has gone and it is the next owner's: either way the others show whether it is over.
        if std::mem::take(&mut self.lock().troubled) {
            self.state.dead_letters(None);
        }
        self.acks
            .done(&original.assignment, original.offset, letter.bytes);
    }

    fn keep(&self, error: &KafkaError, letter: Arc<Letter>) {
        let mut failed = self.lock();
        let now = Instant::now();
        failed.retry_at.get_or_insert(now + RETRY);
        let hint = hint(error);
        failed.troubled = true;
        self.state.dead_letters(Some(trouble(&self.topic, error)));
        if failed
            .logged_at
            .is_none_or(|at| now - at > Duration::from_secs(15))
        {
            failed.logged_at = Some(now);
            let original = &letter.original;
            tracing::error!(
                topic = &*self.topic,
                waiting = failed.letters.len() + 1,
                from = format!("{}/{}", original.assignment.topic, original.assignment.partition),
                offset = original.offset,
                %error,
                hint,
                "cannot write a dead letter; its partition waits, nothing is dropped"
            );
        }
        failed.letters.push_back(letter);
    }
}

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = Arc<Letter>;

    fn delivery(&self, result: &DeliveryResult<'_>, letter: Arc<Letter>) {
        match result {
            Ok(_) => {
                self.stats
                    .dead_letters
                    .with_label_values(&[letter.reason])
                    .inc();
                self.finish(&letter);
            }
            Err((error, _)) => self.keep(error, letter),
        }
    }
}
