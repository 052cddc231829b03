use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bt_events::EventError;
use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};
use tokio::runtime::Handle;

use super::ReplayError;
use super::headers::Source;
use crate::config;
use crate::pipeline::{Ack, Assignment, Ended, Origin, ack_channel};
use crate::sink::elasticsearch::ElasticsearchSink;
use crate::sink::{self, Sink, Taken};
use crate::sink_state::{SinkCondition, SinkState};
use crate::stats::Stats;

/// The most bytes under way. A replay mostly shares a container's memory with the consumer.
const MAX_IN_FLIGHT: usize = 16 * 1024 * 1024;
/// The longest that the sink takes to count what it has acknowledged.
const COUNTED: Duration = Duration::from_secs(2);
/// So many of the events that are refused again are told one by one.
const TOLD: usize = 20;
/// The longest quotation of why, in characters.
const MAX_WHY: usize = 400;

/// Gives events to the elasticsearch sink as the pipeline would, with the place in Kafka that they had.
pub(super) struct Resender {
    sink: ElasticsearchSink,
    acks: Receiver<Ack>,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
    assignments: HashMap<(Box<str>, String, i32), Arc<Assignment>>,
    tally: Tally,
}

/// What became of the events so far.
#[derive(Default)]
struct Tally {
    /// Events that the sink has not acknowledged yet, and what they occupy.
    under_way: u64,
    in_flight: usize,
    done: u64,
    refused: u64,
    first_refused: Vec<String>,
}

/// What became of the events that were sent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub created: u64,
    /// By the engine, into its store of failures.
    pub failure_store: u64,
    pub there_already: u64,
    pub refused: u64,
    pub first_refused: Vec<String>,
}

impl Resender {
    pub fn new(
        config: &config::ElasticsearchSink,
        consumer: &str,
        dead_letter_topic: &str,
        runtime: &Handle,
    ) -> Result<Self, ReplayError> {
        let _guard = runtime.enter();
        let (sender, acks) = ack_channel();
        let stats = Arc::new(Stats::new());
        let state = Arc::new(SinkState::new(dead_letter_topic, false));
        let sink = ElasticsearchSink::new(
            config,
            consumer,
            runtime,
            sender,
            stats.clone(),
            state.clone(),
        )?;
        Ok(Self {
            sink,
            acks,
            stats,
            state,
            assignments: HashMap::new(),
            tally: Tally::default(),
        })
    }

    /// Sends a letter's events again.
    pub fn send(
        &mut self,
        source: &Source<'_>,
        topic_id: String,
        key: Option<&[u8]>,
        bytes: Option<&[u8]>,
    ) {
        let assignment = self.assignment(source, topic_id);
        let whole = Origin {
            assignment: &assignment,
            offset: source.offset,
            timestamp: source.timestamp,
            key,
            place: source.place,
            bytes,
        };
        // An element of an array is read as one again: what would be an array by itself is no event there.
        let element = bytes
            .filter(|_| source.place.is_some() && !source.several)
            .map(|bytes| [b"[", bytes, b"]"].concat());
        let value = element.as_deref().or(bytes);
        let elements = value
            .ok_or(EventError::NullValue)
            .and_then(bt_events::parse)
            .map(Iterator::collect::<Vec<_>>)
            .and_then(|elements| match element.is_some() && elements.len() != 1 {
                true => Err(EventError::NotJson("not one element of an array".into())),
                false => Ok(elements),
            });
        let tally = &mut self.tally;
        sink::give(&mut self.sink, elements, &whole, |taken, origin| {
            tally.taken(taken, origin);
        });
    }

    /// What the letters of one partition come from.
    fn assignment(&mut self, source: &Source<'_>, topic_id: String) -> Arc<Assignment> {
        let generation = self.assignments.len() as u64 + 1;
        let key = (source.topic.into(), topic_id.clone(), source.partition);
        let sink = &mut self.sink;
        let assignment = self.assignments.entry(key).or_insert_with(|| {
            let topic = source.topic.into();
            let assignment = Assignment::new(topic, topic_id, source.partition, generation);
            // By an earlier replay.
            assignment.reread_until(i64::MAX);
            let assignment = Arc::new(assignment);
            sink.assigned(&assignment);
            assignment
        });
        assignment.clone()
    }

    /// Deals with what the sink has acknowledged, waiting for it so long; and lets the sink do its timed work.
    pub fn settle(&mut self, wait: Duration) {
        // The sink holds the other end as long as we hold the sink.
        let first = self.acks.recv_timeout(wait).ok();
        if let Some(ack) = first {
            self.tally.acknowledged(ack);
        }
        while let Ok(ack) = self.acks.try_recv() {
            self.tally.acknowledged(ack);
        }
        let now = Instant::now();
        self.sink.tick(now);
        self.state.tick(now);
    }

    /// Delivers what was taken without waiting for more.
    pub fn flush(&mut self) {
        self.sink.flush();
    }

    pub fn is_full(&self) -> bool {
        self.tally.in_flight > MAX_IN_FLIGHT
    }

    /// Events that the sink has not acknowledged yet.
    pub fn under_way(&self) -> u64 {
        self.tally.under_way
    }

    pub fn done(&self) -> u64 {
        self.tally.done
    }

    pub fn refused(&self) -> u64 {
        self.tally.refused
    }

    /// Why nothing moves, if the sink is the reason.
    pub fn obstacle(&self) -> Option<String> {
        let report = self.state.report(Instant::now());
        let failing = !matches!(
            report.state,
            SinkCondition::Ready | SinkCondition::Rejecting
        );
        failing.then(|| format!("{}: {}", report.state.as_str(), report.message))
    }

    /// What became of all that was sent.
    pub fn outcome(self) -> Outcome {
        let began = Instant::now();
        let (created, failure_store) = loop {
            let [created, there, failure_store] =
                ["created", "duplicate", "failure_store"].map(|outcome| self.counted(outcome));
            // The sink counts a request's documents right after it has acknowledged them.
            if created + there + failure_store >= self.tally.done || began.elapsed() > COUNTED {
                let created = created.min(self.tally.done);
                break (created, failure_store.min(self.tally.done - created));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Outcome {
            created,
            failure_store,
            there_already: self.tally.done - created - failure_store,
            refused: self.tally.refused,
            first_refused: self.tally.first_refused,
        }
    }

    /// Documents by the engine's answer.
    fn counted(&self, outcome: &str) -> u64 {
        let families = self.stats.bulk_items.collect();
        let is_it = |metric: &&Metric| {
            let mut labels = metric.get_label().iter();
            labels.any(|label| label.name() == "outcome" && label.value() == outcome)
        };
        let metrics = families.iter().flat_map(MetricFamily::get_metric);
        let counters = metrics.filter(is_it).map(Metric::get_counter);
        counters.map(|counter| counter.get_value() as u64).sum()
    }
}

impl Tally {
    fn taken(&mut self, taken: Taken, origin: &Origin<'_>) {
        match taken {
            Taken::Done => self.done += 1,
            Taken::Later { bytes } => {
                self.under_way += 1;
                self.in_flight += bytes;
            }
            Taken::Dropped { reason } => {
                self.refuse(
                    origin.assignment,
                    origin.offset,
                    origin.place,
                    reason,
                    "left out by a limit",
                );
            }
            Taken::Rejected(why) | Taken::Malformed(why) => {
                self.refuse(
                    origin.assignment,
                    origin.offset,
                    origin.place,
                    why.reason,
                    &why.message,
                );
            }
        }
    }

    fn acknowledged(&mut self, ack: Ack) {
        self.in_flight = self.in_flight.saturating_sub(ack.bytes);
        match ack.ended {
            Ended::Done(offsets) => {
                let done = offsets.len() as u64;
                self.under_way = self.under_way.saturating_sub(done);
                self.done += done;
            }
            Ended::Refused(refused) => {
                self.under_way = self.under_way.saturating_sub(1);
                let original = &refused.original;
                let (assignment, offset) = (&original.assignment, original.offset);
                self.refuse(
                    assignment,
                    offset,
                    original.place,
                    refused.reason,
                    &refused.error,
                );
            }
        }
    }

    fn refuse(
        &mut self,
        assignment: &Assignment,
        offset: i64,
        place: Option<usize>,
        reason: &str,
        why: &str,
    ) {
        self.refused += 1;
        if self.first_refused.len() < TOLD {
            let place = place.map_or_else(String::new, |place| format!(" place {place}"));
            let why: String = why.chars().take(MAX_WHY).collect();
            self.first_refused.push(format!(
                "{}/{} offset {offset}{place}: {reason}: {why}",
                assignment.topic, assignment.partition
            ));
        }
    }
}

/// Whether these are events that all have an id of their own, so that their place in Kafka is not needed for one.
pub(super) fn have_ids(bytes: Option<&[u8]>) -> bool {
    let elements = bytes.and_then(|bytes| bt_events::parse(bytes).ok());
    elements.is_some_and(|mut elements| {
        elements.all(|element| element.event().is_ok_and(|event| event.id.is_some()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_that_all_have_ids_do_without_their_place() {
        let log =
            |id: &str| format!(r#"{{"ts":1,"service":"s",{id}"level":"info","message":"m"}}"#);
        let (with, without) = (log(r#""id":"a","#), log(""));
        for (value, expected) in [
            (with.clone(), true),
            (without.clone(), false),
            (format!("[{with},{with}]"), true),
            (format!("[{with},{without}]"), false),
            ("no event".to_owned(), false),
        ] {
            assert_eq!(have_ids(Some(value.as_bytes())), expected, "{value}");
        }
        assert!(!have_ids(None));
    }
}
