//! What a sink is to the pipeline.

pub(crate) mod elasticsearch;
pub(crate) mod prometheus;

use std::sync::Arc;
use std::time::Instant;

use crate::pipeline::{Assignment, Origin};
use bt_events::{Element, Event, EventError};
use prometheus::PartitionSeries;
pub(crate) use prometheus::StateRecord;

/// Where events are carried to. All methods are called on the poll thread and must not block on the outside.
pub(crate) trait Sink: Send {
    /// A partition arrives, which is not held already.
    fn assigned(&mut self, assignment: &Arc<Assignment>);

    /// Takes an event, or says why not.
    fn event(&mut self, event: &Event<'_>, origin: &Origin<'_>) -> Taken;

    /// Takes a record, or an element of one, that is no event, or says why not.
    fn malformed(&mut self, error: &EventError, origin: &Origin<'_>) -> Taken {
        let _ = origin;
        Taken::Malformed(Rejection::new(error.reason(), error.to_string()))
    }

    /// Timed work; called many times a second.
    fn tick(&mut self, now: Instant);

    /// Delivers what was taken without waiting for more: the pipeline is about to wait for it.
    fn flush(&mut self);

    /// Partitions leave: whatever is acknowledged has been committed, the rest is not ours any more.
    fn revoked(&mut self, assignments: &[Arc<Assignment>]);

    /// This pod has so many of all partitions that the consumer's topics have.
    fn share(&mut self, own: usize, all: usize) {
        let _ = (own, all);
    }

    /// What of the sink is kept in Kafka, if anything is.
    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        None
    }

    /// How the sink is.
    fn status(&self) -> SinkStatus;
}

/// Gives a sink what is in a record, and tells what became of each part of it. An element of an array has its own bytes, and its own
/// place, counted from that of the whole where this has one.
#[inline]
pub(crate) fn give<'m, S: Sink + ?Sized>(
    sink: &mut S,
    elements: Result<impl IntoIterator<Item = Element<'m>>, EventError>,
    whole: &Origin<'m>,
    mut settle: impl FnMut(Taken, &Origin<'m>),
) {
    let elements = match elements {
        Ok(elements) => elements,
        Err(error) => return settle(sink.malformed(&error, whole), whole),
    };
    for element in elements {
        let own = element.place().map(|_| element.json().as_bytes());
        let origin = Origin {
            place: match (whole.place, element.place()) {
                (Some(first), Some(own)) => Some(first + own),
                (first, own) => first.or(own),
            },
            bytes: own.or(whole.bytes),
            ..*whole
        };
        let taken = match element.event() {
            Ok(event) => sink.event(&event, &origin),
            Err(error) => sink.malformed(&error, &origin),
        };
        settle(taken, &origin);
    }
}

/// A sink that has the state of each partition in the state topic, committed together with the offset that it stands for.
pub(crate) trait Stateful {
    /// A partition arrives with what it was when its former owner committed last. It is not shown before
    /// [`Stateful::caught_up`].
    fn restored(&mut self, assignment: &Arc<Assignment>, series: PartitionSeries);

    /// All is consumed that a former owner can have shown.
    fn caught_up(&mut self, assignment: &Assignment);

    /// Partitions are about to leave: from now on they are not shown.
    fn hide(&mut self, assignments: &[Arc<Assignment>]);

    /// Whether something is to be written besides the offset.
    fn is_dirty(&self, assignment: &Assignment) -> bool;

    /// Begins a commit of a partition: what has changed since the last one, as of this offset. One is under way at a time.
    fn write(&mut self, assignment: &Assignment, offset: i64, out: &mut Vec<StateRecord>);

    /// The commit under way has ended: it is in Kafka, or that is not known.
    fn written(&mut self, committed: bool);

    /// Nothing of what was written is there any more.
    fn rewrite(&mut self);
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
    /// It is no event, and goes to the dead-letter topic.
    Malformed(Rejection),
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
