use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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
    /// Records below may have been sent to the sink before, by a former owner or by us; 0 where none can have been.
    reread_until: AtomicI64,
}

impl Assignment {
    pub fn new(topic: Arc<str>, topic_id: String, partition: i32, generation: u64) -> Self {
        Self {
            topic,
            topic_id,
            partition,
            generation,
            revoked: AtomicBool::new(false),
            reread_until: AtomicI64::new(0),
        }
    }

    /// The group had got somewhere before this assignment: records below this offset, the partition's end now, may have
    /// been sent to the sink already.
    pub fn reread_until(&self, end: i64) {
        self.reread_until.store(end, Ordering::Relaxed);
    }

    /// Whether the record may have been sent to the sink before this assignment.
    pub fn may_have_been_sent(&self, offset: i64) -> bool {
        offset < self.reread_until.load(Ordering::Relaxed)
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

/// Parts of a partition's records that are finished.
#[derive(Debug)]
pub(crate) struct Ack {
    pub assignment: Arc<Assignment>,
    /// As many as [`crate::sink::Taken::Later`] said, of all of them.
    pub bytes: usize,
    pub ended: Ended,
}

/// How parts of records ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side has them. The offset of each one's record.
    Done(Vec<i64>),
    /// One cannot be taken after all: a dead letter is to be written.
    Refused(Box<Refused>),
}

/// What the sink's other side does not take, ever.
#[derive(Debug)]
pub(crate) struct Refused {
    pub original: Original,
    /// A short constant name for counters and headers.
    pub reason: &'static str,
    /// The other side's words.
    pub error: String,
    /// How often it was sent.
    pub attempts: u32,
}

/// Acknowledges to the poll thread from anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Acks(Sender<Ack>);

impl Acks {
    /// Parts of records are finished, one for each offset.
    pub fn done(&self, assignment: &Arc<Assignment>, offsets: Vec<i64>, bytes: usize) {
        // The receiver is gone only when the process ends, and then nothing is committed any more.
        let _ = self.0.send(Ack {
            assignment: assignment.clone(),
            bytes,
            ended: Ended::Done(offsets),
        });
    }

    /// A part of a record is finished by being refused: it occupies its bytes until its letter is written.
    pub fn refused(&self, refused: Refused, bytes: usize) {
        let _ = self.0.send(Ack {
            assignment: refused.original.assignment.clone(),
            bytes,
            ended: Ended::Refused(Box::new(refused)),
        });
    }
}

/// The channel between those who acknowledge and the poll thread.
pub(crate) fn ack_channel() -> (Acks, Receiver<Ack>) {
    let (sender, receiver) = channel();
    (Acks(sender), receiver)
}
