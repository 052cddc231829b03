use std::sync::Arc;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;

use super::record::Original;

/// The longest error text that goes into a header, in bytes.
const MAX_ERROR: usize = 1024;

/// What cannot be taken, on its way to the dead-letter topic.
pub(super) struct Letter {
    pub original: Original,
    pub reason: &'static str,
    pub error: String,
    /// What the event occupies of the bytes in flight.
    pub bytes: usize,
}

impl Letter {
    pub fn new(original: Original, reason: &'static str, mut error: String, bytes: usize) -> Self {
        let mut cut = error.len().min(MAX_ERROR);
        while !error.is_char_boundary(cut) {
            cut -= 1;
        }
        error.truncate(cut);
        Self {
            original,
            reason,
            error,
            bytes,
        }
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
    /// Makes the letter of a record that is empty so far.
    pub(super) fn fill<'l, O: IntoOpaque>(
        &self,
        record: &mut BaseRecord<'l, [u8], [u8], O>,
        letter: &'l Letter,
    ) {
        record.key = letter.original.key.as_deref();
        record.payload = letter.original.bytes.as_deref();
        record.headers = Some(headers(letter, &self.consumer));
    }
}

/// What a dead letter says about where it comes from and why it is one.
fn headers(letter: &Letter, consumer: &str) -> OwnedHeaders {
    let original = &letter.original;
    let assignment = &original.assignment;
    let optional = |number: Option<i64>| number.map(|n| n.to_string());
    let place = optional(original.place.map(|p| p as i64));
    [
        ("bt-topic", Some(assignment.topic.to_string())),
        ("bt-partition", Some(assignment.partition.to_string())),
        ("bt-offset", Some(original.offset.to_string())),
        ("bt-timestamp", optional(original.timestamp)),
        ("bt-reason", Some(letter.reason.to_owned())),
        ("bt-error", Some(letter.error.clone())),
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
