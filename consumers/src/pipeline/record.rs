use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// One assignment of a partition to this pod. Everything taken from the partition refers to it, so that work left
/// over from an earlier assignment is known as such.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub topic: Arc<str>,
    /// Kafka's id of the topic (KIP-516), which a topic deleted and made again does not share; URL-safe base64.
    pub topic_id: String,
    pub partition: i32,
    /// Grows with each assignment.
    pub generation: u64,
    revoked: AtomicBool,
}

impl Assignment {
    pub fn new(topic: Arc<str>, topic_id: String, partition: i32, generation: u64) -> Self {
        Self {
            topic,
            topic_id,
            partition,
            generation,
            revoked: AtomicBool::new(false),
        }
    }

    /// The partition is not ours any more: what is not done need not be done.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }
}

/// Where an event comes from, borrowed from the record at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'m> {
    pub assignment: &'m Arc<Assignment>,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Option<&'m [u8]>,
    /// The place in the record's array.
    pub place: Option<usize>,
    /// The event, or the whole record where no event could be made out, as it was sent.
    pub bytes: Option<&'m [u8]>,
}

impl Origin<'_> {
    pub fn to_original(self) -> Original {
        Original {
            assignment: self.assignment.clone(),
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.map(Box::from),
            place: self.place,
            bytes: self.bytes.map(Box::from),
        }
    }
}

/// An [`Origin`] to keep: what a dead letter is made of.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    pub assignment: Arc<Assignment>,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Box<[u8]>>,
    pub place: Option<usize>,
    pub bytes: Option<Box<[u8]>>,
}

/// A part of a record that is finished.
#[derive(Debug)]
pub(crate) struct Ack {
    pub assignment: Arc<Assignment>,
    pub offset: i64,
    /// As many as [`crate::sink::Taken::Later`] said.
    pub bytes: usize,
}

/// Acknowledges to the poll thread from anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Acks(Sender<Ack>);

impl Acks {
    pub fn done(&self, assignment: &Arc<Assignment>, offset: i64, bytes: usize) {
        // The receiver is gone only when the process ends, and then nothing is committed any more.
        let _ = self.0.send(Ack {
            assignment: assignment.clone(),
            offset,
            bytes,
        });
    }
}

/// The channel between those who acknowledge and the poll thread.
pub(crate) fn ack_channel() -> (Acks, Receiver<Ack>) {
    let (sender, receiver) = channel();
    (Acks(sender), receiver)
}
