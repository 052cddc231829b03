use std::sync::Arc;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;

use super::record::{Origin, Original, Refused};

/// The names of a letter's headers.
pub(crate) mod header {
    pub const TOPIC: &str = "bt-topic";
    pub const TOPIC_ID: &str = "bt-topic-id";
    pub const PARTITION: &str = "bt-partition";
    pub const OFFSET: &str = "bt-offset";
    pub const TIMESTAMP: &str = "bt-timestamp";
    pub const REASON: &str = "bt-reason";
    pub const ERROR: &str = "bt-error";
    pub const ATTEMPTS: &str = "bt-attempts";
    pub const PLACE: &str = "bt-place";
    pub const CONSUMER: &str = "bt-consumer";
}

/// The longest error text that goes into a header, in bytes.
const MAX_ERROR: usize = 1024;
/// Beside the bytes themselves a letter takes headers, its error and bookkeeping.
const OVERHEAD: usize = 1024;

/// What cannot be taken, on its way to the dead-letter topic.
pub(super) struct Letter {
    pub original: Original,
    pub reason: &'static str,
    pub error: String,
    /// How often the event was sent to the sink's other side.
    pub attempts: u32,
    /// What the event occupies of the bytes in flight.
    pub bytes: usize,
}

impl Letter {
    pub fn new(
        original: Original,
        reason: &'static str,
        mut error: String,
        attempts: u32,
        bytes: usize,
    ) -> Self {
        let mut cut = error.len().min(MAX_ERROR);
        while !error.is_char_boundary(cut) {
            cut -= 1;
        }
        error.truncate(cut);
        Self {
            original,
            reason,
            error,
            attempts,
            bytes,
        }
    }

    /// Of an event that was found wrong when it was read: it was never sent.
    pub fn at_once(origin: &Origin<'_>, reason: &'static str, error: String) -> Self {
        let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let bytes = of(origin.bytes) + of(origin.key) + OVERHEAD;
        Self::new(origin.to_original(), reason, error, 0, bytes)
    }

    /// Of an event that occupied so many bytes, and that the sink's other side does not take: it occupies more from now on.
    pub fn refused(refused: Refused, bytes: usize) -> Self {
        let Refused {
            original,
            reason,
            error,
            attempts,
        } = refused;
        Self::new(original, reason, error, attempts, bytes + OVERHEAD)
    }
}

/// How a consumer writes its dead letters.
#[derive(Debug, Clone)]
pub(crate) struct Letters {
    pub topic: Arc<str>,
    /// The consumer's name, `namespace/name`.
    pub consumer: Arc<str>,
}

impl Letters {
    /// The record that a letter is.
    pub(super) fn record<'l>(&'l self, letter: &'l Letter) -> BaseRecord<'l, [u8], [u8]> {
        let mut record = BaseRecord::to(&self.topic);
        record.key = letter.original.key.as_deref();
        record.payload = letter.original.bytes.as_deref();
        record.headers = Some(headers(letter, &self.consumer));
        record
    }
}

/// What a dead letter says about where it comes from and why it is one.
fn headers(letter: &Letter, consumer: &str) -> OwnedHeaders {
    let original = &letter.original;
    let assignment = &original.assignment;
    let optional = |number: Option<i64>| number.map(|n| n.to_string());
    let place = optional(original.place.map(|p| p as i64));
    [
        (header::TOPIC, Some(assignment.topic.to_string())),
        (header::TOPIC_ID, Some(assignment.topic_id.clone())),
        (header::PARTITION, Some(assignment.partition.to_string())),
        (header::OFFSET, Some(original.offset.to_string())),
        (header::TIMESTAMP, optional(original.timestamp)),
        (header::REASON, Some(letter.reason.to_owned())),
        (header::ERROR, Some(letter.error.clone())),
        (header::ATTEMPTS, Some(letter.attempts.to_string())),
        (header::PLACE, place),
        (header::CONSUMER, Some(consumer.to_owned())),
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

/// Why letters are not written, and what to do.
pub(super) fn trouble(topic: &str, transactional_id: &str, error: &KafkaError) -> String {
    format!(
        "rejected events cannot be written to the dead-letter topic {topic}, their partitions wait: {error}; {}",
        hint(transactional_id, error)
    )
}

fn hint(transactional_id: &str, error: &KafkaError) -> String {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    };
    match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            "raise max.message.bytes of the dead-letter topic above that of the topics consumed"
                .into()
        }
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            "create the dead-letter topic".into()
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            "give this user Write and Describe on the dead-letter topic".into()
        }
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            format!("give this user Write and Describe on the transactional id {transactional_id}")
        }
        _ => "check the dead-letter topic and the connection to Kafka".into(),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::super::record::Assignment;
    use super::*;

    #[test]
    fn a_letter_says_where_it_comes_from_why_and_how_often_it_was_tried() {
        let assignment = Arc::new(Assignment::new("t".into(), "an-id_".into(), 3, 1));
        let origin = Origin {
            assignment: &assignment,
            offset: 42,
            timestamp: Some(1000),
            key: Some(b"k"),
            place: None,
            bytes: Some(b"value"),
        };
        let refused = Refused {
            original: origin.to_original(),
            reason: "rejected_by_sink",
            error: "400 no".into(),
            attempts: 4,
        };
        let letters = Letters {
            topic: "dead".into(),
            consumer: "ns/c".into(),
        };
        let letter = Letter::refused(refused, 777);
        let record = letters.record(&letter);
        assert_eq!(
            (record.topic, record.key, record.payload, letter.bytes),
            ("dead", Some(&b"k"[..]), Some(&b"value"[..]), 777 + OVERHEAD)
        );
        let written = record.headers.as_ref().expect("headers");
        let written: Vec<_> = written
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()))
            .collect();
        let want: [(&str, &[u8]); 9] = [
            ("bt-topic", b"t"),
            ("bt-topic-id", b"an-id_"),
            ("bt-partition", b"3"),
            ("bt-offset", b"42"),
            ("bt-timestamp", b"1000"),
            ("bt-reason", b"rejected_by_sink"),
            ("bt-error", b"400 no"),
            ("bt-attempts", b"4"),
            ("bt-consumer", b"ns/c"),
        ];
        assert_eq!(written, want);
        let at_once = Letter::at_once(&origin, "r", "e".repeat(5000));
        assert_eq!(
            (at_once.attempts, at_once.error.len(), at_once.bytes),
            (0, MAX_ERROR, 5 + 1 + OVERHEAD)
        );
    }
}
