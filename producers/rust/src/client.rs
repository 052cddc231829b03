//! librdkafka's producer, as the background thread uses it.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::counts::lock;
use crate::report::INTERVAL;
use crate::worker::Shared;

/// A record with what its event takes of the room.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) ticket: Ticket,
}

/// What goes with a record through librdkafka, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) size: usize,
    pub(crate) own: bool,
}

impl Ticket {
    fn pack(self) -> usize {
        self.size << 1 | usize::from(self.own)
    }

    fn unpack(word: usize) -> Self {
        Ticket {
            size: word >> 1,
            own: word & 1 == 1,
        }
    }
}

/// Why a record was not taken.
pub(crate) enum Refused {
    /// Not now: librdkafka's own queue is full, or it needs a new client.
    Later,
    /// Never, by this reason; the event has been counted.
    Lost,
}

pub(crate) struct Client {
    kafka: BaseProducer<Context>,
}

impl Client {
    pub(crate) fn new(config: &ClientConfig, shared: Arc<Shared>) -> Result<Self, KafkaError> {
        let context = Context {
            shared,
            fatal: AtomicBool::new(false),
            rescued: Mutex::default(),
            shown: Mutex::default(),
        };
        let kafka = config.create_with_context(context)?;
        Ok(Client { kafka })
    }

    fn context(&self) -> &Context {
        self.kafka.context()
    }

    /// Hands a record over to librdkafka, which copies it.
    pub(crate) fn send(
        &self,
        topic: &str,
        key: &str,
        value: &[u8],
        ticket: Ticket,
    ) -> Result<(), Refused> {
        let record = BaseRecord::with_opaque_to(topic, ticket.pack());
        let Err((error, _)) = self.kafka.send(record.key(key).payload(value)) else {
            return Ok(());
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Err(Refused::Later),
            Some(RDKafkaErrorCode::Fatal) => {
                self.context().fatal.store(true, Relaxed);
                Err(Refused::Later)
            }
            _ => {
                self.context().lost(ticket, &error, topic);
                Err(Refused::Lost)
            }
        }
    }

    /// Takes delivery reports, errors and log lines for that long.
    pub(crate) fn poll(&self, time: Duration) {
        self.kafka.poll(time);
    }

    /// Whether librdkafka has records that are neither delivered nor given up.
    pub(crate) fn is_busy(&self) -> bool {
        self.kafka.in_flight_count() > 0
    }

    /// Whether this client is of no use any more: the broker lost the state of an idempotent producer.
    pub(crate) fn is_broken(&self) -> bool {
        self.context().fatal.load(Relaxed)
    }

    /// Ends a broken client. Returns the records that it never sent; what may or may not have arrived is given up.
    pub(crate) fn rescue(self) -> Vec<Record> {
        self.purge();
        std::mem::take(&mut lock(&self.context().rescued))
    }

    /// Gives up everything that is not delivered yet.
    pub(crate) fn purge(&self) {
        self.kafka.purge(PurgeConfig::default().queue().inflight());
        let until = Instant::now() + Duration::from_secs(2);
        while self.is_busy() && Instant::now() < until {
            self.poll(Duration::from_millis(10));
        }
    }
}

struct Context {
    shared: Arc<Shared>,
    fatal: AtomicBool,
    /// What the broken client had not sent.
    rescued: Mutex<Vec<Record>>,
    /// When a line of a kind was last shown.
    shown: Mutex<HashMap<String, Instant>>,
}

impl Context {
    fn lost(&self, ticket: Ticket, error: &KafkaError, topic: &str) {
        let reason = error
            .rdkafka_error_code()
            .map_or_else(|| "error".to_owned(), reason);
        self.shared
            .lost(ticket, &reason, &format!("{topic}: {error}"));
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, message: &str) {
        use RDKafkaLogLevel::{Debug, Info, Notice};
        let now = Instant::now();
        {
            // librdkafka repeats itself.
            let mut shown = lock(&self.shown);
            let before = shown.get(kind).copied();
            if before.is_some_and(|before| now.duration_since(before) < INTERVAL) {
                return;
            }
            shown.insert(kind.to_owned(), now);
        }
        match level {
            Debug => tracing::debug!(target: "bt_events::kafka", "{kind}: {message}"),
            Info | Notice => tracing::info!(target: "bt_events::kafka", "{kind}: {message}"),
            _ => tracing::warn!(target: "bt_events::kafka", "{kind}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Relaxed);
        }
        tracing::debug!(target: "bt_events::kafka", "{error}: {reason}");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, word: usize) {
        let ticket = Ticket::unpack(word);
        let (error, message) = match result {
            Ok(_) => return self.shared.delivered(ticket),
            Err((error, message)) => (error, message),
        };
        use RDKafkaErrorCode::{Fatal, PurgeInflight, PurgeQueue};
        let code = error.rdkafka_error_code();
        // Nothing is purged but at the end and, by librdkafka itself, by a fatal error.
        let broken = matches!(code, Some(Fatal | PurgeInflight | PurgeQueue));
        if broken && !self.shared.stop.load(Relaxed) && is_unsent(message) {
            self.fatal.store(true, Relaxed);
            let key = String::from_utf8_lossy(message.key().unwrap_or_default());
            lock(&self.rescued).push(Record {
                topic: message.topic().to_owned(),
                key: key.into_owned(),
                value: message.payload().unwrap_or_default().to_vec(),
                ticket,
            });
            return;
        }
        self.lost(ticket, error, message.topic());
    }
}

/// Whether the broker has certainly not seen a message.
fn is_unsent(message: &BorrowedMessage<'_>) -> bool {
    use rdkafka::bindings::{rd_kafka_message_status, rd_kafka_msg_status_t as Status};
    // SAFETY: the message lives while it is borrowed.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    status == Status::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// A short name for the counts, such as `msg_size_too_large` or `timed_out`: librdkafka's own.
fn reason(code: RDKafkaErrorCode) -> String {
    if code == RDKafkaErrorCode::MessageTimedOut {
        return "timed_out".to_owned();
    }
    let Ok(code) = RDKafkaRespErr::try_from(code as i32) else {
        return "error".to_owned();
    };
    // SAFETY: for any code the function returns a text that lives as long as the program.
    let name = unsafe { CStr::from_ptr(rdkafka::bindings::rd_kafka_err2name(code)) };
    let name = name.to_string_lossy().to_lowercase();
    name.trim_start_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_librdkafkas_names() {
        use RDKafkaErrorCode as Code;
        assert_eq!(reason(Code::MessageSizeTooLarge), "msg_size_too_large");
        assert_eq!(
            reason(Code::UnknownTopicOrPartition),
            "unknown_topic_or_part"
        );
        assert_eq!(reason(Code::MessageTimedOut), "timed_out");
        assert_eq!(reason(Code::PurgeInflight), "purge_inflight");
    }

    #[test]
    fn a_ticket_is_one_word() {
        for own in [false, true] {
            let ticket = Ticket { size: 1234, own };
            assert_eq!(Ticket::unpack(ticket.pack()), ticket);
        }
    }
}
