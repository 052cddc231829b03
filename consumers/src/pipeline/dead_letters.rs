use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_kafka::Connection;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::record::{Acks, Original};
use crate::sink_state::SinkState;
use crate::stats::Stats;

/// Between two attempts to write what the dead-letter topic did not take.
const RETRY: Duration = Duration::from_secs(2);
/// The longest error text that goes into a header, in bytes.
const MAX_ERROR: usize = 1024;

/// Writes what no sink can take to the dead-letter topic, for as long as it takes: the record is acknowledged only
/// when its dead letter is.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    producer: Arc<ThreadedProducer<Delivery>>,
    topic: Arc<str>,
    consumer: Arc<str>,
}

struct Letter {
    original: Original,
    reason: &'static str,
    error: String,
    /// What the event occupies of the bytes in flight.
    bytes: usize,
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
        topic: &str,
        consumer: &str,
        acks: Acks,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> KafkaResult<Self> {
        let topic: Arc<str> = topic.into();
        let delivery = Delivery {
            acks,
            stats,
            state,
            topic: topic.clone(),
            failed: Mutex::default(),
        };
        let producer = kafka
            .client_config(client_id)
            .set("enable.idempotence", "true")
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
            topic,
            consumer: consumer.into(),
        })
    }

    /// Sends a letter; it is acknowledged when the topic has it.
    pub fn send(&self, original: Original, reason: &'static str, error: String, bytes: usize) {
        let delivery = self.delivery();
        delivery.stats.dead_letters_pending.inc();
        let letter = Letter {
            original,
            reason,
            error,
            bytes,
        };
        self.produce(Arc::new(letter));
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
        let headers = headers(&letter, &self.consumer);
        let original = &letter.original;
        let mut record = BaseRecord::with_opaque_to(&self.topic, letter.clone()).headers(headers);
        record.key = original.key.as_deref();
        record.payload = original.bytes.as_deref();
        if let Err((error, _)) = self.producer.send(record) {
            self.delivery().keep(&error, letter);
        }
    }
}

/// What a dead letter says about where it comes from and why it is one.
fn headers(letter: &Letter, consumer: &str) -> OwnedHeaders {
    let original = &letter.original;
    let assignment = &original.assignment;
    let mut cut = letter.error.len().min(MAX_ERROR);
    while !letter.error.is_char_boundary(cut) {
        cut -= 1;
    }
    let optional = |number: Option<i64>| number.map(|n| n.to_string());
    let place = optional(original.place.map(|p| p as i64));
    [
        ("bt-topic", Some(assignment.topic.to_string())),
        ("bt-partition", Some(assignment.partition.to_string())),
        ("bt-offset", Some(original.offset.to_string())),
        ("bt-timestamp", optional(original.timestamp)),
        ("bt-reason", Some(letter.reason.to_owned())),
        ("bt-error", Some(letter.error[..cut].to_owned())),
        ("bt-place", place),
        ("bt-consumer", Some(consumer.to_owned())),
    ]
    .iter()
    .filter_map(|(key, value)| value.as_ref().map(|value| (key, value)))
    .fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value.as_str()),
        })
    })
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
        let hint = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                "raise max.message.bytes of the dead-letter topic above that of the topics consumed"
            }
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                "create the dead-letter topic"
            }
            _ => "check the dead-letter topic and the connection to Kafka",
        };
        failed.troubled = true;
        self.state.dead_letters(Some(format!(
            "rejected events cannot be written to the dead-letter topic {}, their partitions wait: {error}; {hint}",
            self.topic
        )));
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
