use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bt_events::EventError;
use bt_kafka::Admin;
use prometheus::IntCounter;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};

use super::commits::Commits;
use super::committing::When;
use super::context::KafkaConsumer;
use super::held::Held;
use super::joining::Joining;
use super::owned::{Owned, Partitions, list};
use super::poll::{Parts, PipelineError, Settings};
use super::record::{Ack, Origin};
use super::rejects::Rejects;
use super::stall::StallDetector;
use super::topic_watch::TopicWatch;
use crate::config::StartFrom;
use crate::sink::{Sink, Taken};
use crate::sink_state::SinkState;
use crate::stats::{Health, Stats};

/// Between two rounds of timed work, and the longest that polling waits.
pub(super) const TICK: Duration = Duration::from_millis(20);
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
const RESOLVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long the poll thread, over its limit of bytes, waits for room before it pauses the partitions, which makes
/// librdkafka throw away what it has fetched ahead.
const RELIEF: Duration = Duration::from_millis(500);

/// The pipeline's state; all of it belongs to the poll thread.
pub(super) struct Core {
    pub sink: Box<dyn Sink>,
    pub partitions: Partitions,
    /// Assigned to us, and not consumed yet.
    pub held: Vec<Held>,
    /// Of all topics consumed, whoever has them.
    pub all_partitions: usize,
    pub generation: u64,
    pub start_from: StartFrom,
    pub topics: Vec<String>,
    pub admin: Admin,
    pub runtime: tokio::runtime::Handle,
    pub stats: Arc<Stats>,
    pub health: Arc<Health>,
    pub sink_state: Arc<SinkState>,
    pub(super) commits: Commits,
    acks: Receiver<Ack>,
    taken: IntCounter,
    pub(super) in_flight: usize,
    max_in_flight: usize,
    /// Over the limit, until half of it is free again.
    full: bool,
    pub(super) stall: StallDetector,
    next_tick: Instant,
    next_commit: Instant,
    next_resolve: Instant,
    pub(super) topic_watch: TopicWatch,
    joining: Joining,
    pub(super) rejoin: bool,
    /// When an error of this code was last logged.
    pub(super) logged: HashMap<String, Instant>,
}

impl Core {
    pub fn new(parts: Parts, admin: Admin, settings: &Settings) -> Self {
        let now = Instant::now();
        Self {
            topic_watch: TopicWatch::new(
                admin.clone(),
                parts.runtime.clone(),
                parts.commits.state_topic(),
            ),
            joining: Joining::new(admin.clone(), parts.runtime.clone(), &settings.topics),
            sink: parts.sink,
            partitions: Partitions::default(),
            held: Vec::new(),
            all_partitions: 0,
            generation: 0,
            admin,
            runtime: parts.runtime,
            taken: parts.stats.events.with_label_values(&["taken", ""]),
            stats: parts.stats,
            health: parts.health,
            sink_state: parts.sink_state,
            commits: parts.commits,
            topics: settings.topics.clone(),
            acks: parts.acks,
            in_flight: 0,
            max_in_flight: settings.max_in_flight,
            start_from: settings.start_from,
            full: false,
            stall: StallDetector::default(),
            next_tick: now,
            next_commit: now + COMMIT_INTERVAL,
            next_resolve: now,
            rejoin: false,
            logged: HashMap::new(),
        }
    }

    /// Takes a record apart and gives its events to the sink, or to the dead letters.
    pub fn take(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let Some(owned) = self.partitions.get_mut(topic, partition) else {
            // Handed out before the partition was revoked or held; its next owner, or we, get it again.
            return;
        };
        if !owned.watermark.begin(offset) {
            tracing::warn!(
                topic,
                partition,
                offset,
                "the partition's offsets went back: made anew, or cut off"
            );
            self.rejoin = true;
            return;
        }
        if owned.start_unknown {
            owned.start.get_or_insert(offset);
        }
        let value = message.payload();
        let timestamp = message.timestamp().to_millis();
        owned.read_at = timestamp;
        owned.records.inc();
        owned.bytes.inc_by(value.map_or(0, <[u8]>::len) as u64);
        let Owned {
            assignment,
            watermark,
            ..
        } = owned;
        let whole = Origin {
            assignment,
            offset,
            timestamp,
            key: message.key(),
            place: None,
            bytes: value,
        };
        let elements = value
            .ok_or(EventError::NullValue)
            .and_then(bt_events::parse);
        let mut rejects = Rejects {
            commits: &mut self.commits,
            stats: &self.stats,
            watermark,
            whole,
            letters: 0,
            bytes: 0,
        };
        match elements {
            Err(error) => {
                self.sink_state.malformed(&error.to_string());
                rejects.reject(&whole, error.reason(), error.to_string());
            }
            Ok(elements) => {
                for element in elements {
                    let bytes = match element.place() {
                        Some(_) => Some(element.json().as_bytes()),
                        None => value,
                    };
                    let origin = Origin {
                        place: element.place(),
                        bytes,
                        ..whole
                    };
                    let taken = match element.event() {
                        Ok(event) => self.sink.event(&event, &origin),
                        Err(error) => {
                            self.sink_state.malformed(&error.to_string());
                            rejects.reject(&origin, error.reason(), error.to_string());
                            continue;
                        }
                    };
                    match taken {
                        Taken::Done => {
                            self.taken.inc();
                            self.sink_state.taken(1);
                        }
                        Taken::Later { bytes } => {
                            rejects.watermark.add(offset);
                            rejects.bytes += bytes;
                            self.taken.inc();
                        }
                        Taken::Dropped { reason } => {
                            self.sink_state.dropped();
                            self.stats
                                .events
                                .with_label_values(&["dropped", reason])
                                .inc();
                        }
                        Taken::Rejected(why) => {
                            self.sink_state.rejected(&why.message);
                            rejects.reject(&origin, why.reason, why.message);
                        }
                    }
                }
            }
        }
        self.in_flight += rejects.bytes;
        // The record's own part: its events are all known now.
        watermark.done(offset);
    }

    /// More is under way than may be.
    pub fn is_over_the_limit(&self) -> bool {
        self.in_flight > self.max_in_flight && !self.full
    }

    /// What is done after polling: back-pressure, and timed work when its time has come.
    pub fn after_poll(&mut self, consumer: &KafkaConsumer, now: Instant, idle: bool) {
        if self.is_over_the_limit() {
            self.relieve(consumer, now);
        }
        if idle || now >= self.next_tick {
            self.tick(consumer, now);
        }
    }

    fn relieve(&mut self, consumer: &KafkaConsumer, began: Instant) {
        while self.in_flight > self.max_in_flight {
            if began.elapsed() > RELIEF {
                self.full = true;
                self.next_tick = began;
                return;
            }
            if self.commits.is_exact() {
                // What waits for the next commit would wait for ever here.
                self.commit(consumer, When::Soon, |_| true);
            }
            self.wait_for_acks(TICK);
        }
    }

    fn tick(&mut self, consumer: &KafkaConsumer, now: Instant) {
        self.next_tick = now + TICK;
        self.health.beat();
        while let Ok(ack) = self.acks.try_recv() {
            self.acknowledge(&ack);
        }
        self.committed_meanwhile(Duration::ZERO);
        self.work(now);
        self.begin_restored(consumer);
        self.watch_topics(now);
        if !self.health.has_joined() {
            self.joining.look(now, &self.health);
        }
        if self.in_flight <= self.max_in_flight / 2 {
            self.full = false;
        }
        self.pause_or_resume(consumer);
        if now >= self.next_commit {
            self.next_commit = now + COMMIT_INTERVAL;
            self.commit(consumer, When::Soon, |_| true);
        }
        if now >= self.next_resolve && self.held.iter().any(Held::is_unknown) {
            self.begin_held(consumer);
            self.next_resolve = Instant::now() + RESOLVE_INTERVAL;
        }
        self.show_caught_up();
        self.health.sink_ready(self.sink.status().ready);
        self.sink_state.tick(now);
        self.stats.in_flight.set(self.in_flight as i64);
    }

    fn work(&mut self, now: Instant) {
        self.sink.tick(now);
        self.commits.tick(now);
    }

    /// Waits for acknowledgements while not polling; the sink's and the dead letters' timed work goes on.
    pub(super) fn wait_for_acks(&mut self, timeout: Duration) {
        if self.commits.is_under_way() {
            self.committed_meanwhile(timeout);
            self.work(Instant::now());
            self.health.beat();
            return;
        }
        match self.acks.recv_timeout(timeout) {
            Ok(ack) => {
                self.acknowledge(&ack);
                while let Ok(ack) = self.acks.try_recv() {
                    self.acknowledge(&ack);
                }
            }
            // The sink holds the other end as long as we hold the sink.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        self.work(Instant::now());
        self.health.beat();
    }

    fn acknowledge(&mut self, ack: &Ack) {
        self.in_flight = self.in_flight.saturating_sub(ack.bytes);
        if let Some(owned) = self.partitions.current(&ack.assignment) {
            owned.watermark.done(ack.offset);
        }
    }

    /// Waits until everything of the partitions that `which` picks is done, at most until the deadline.
    pub fn drain(&mut self, deadline: Duration, which: impl Fn(&Owned) -> bool) {
        let began = Instant::now();
        self.sink.flush();
        loop {
            let open: usize = self
                .partitions
                .iter()
                .filter(|owned| which(owned))
                .map(|owned| owned.watermark.open())
                .sum();
            if open == 0 {
                return;
            }
            if began.elapsed() > deadline {
                tracing::warn!(
                    records = open,
                    "not everything was done in time; the next owner consumes it again"
                );
                return;
            }
            self.wait_for_acks(TICK);
        }
    }

    fn pause_or_resume(&mut self, consumer: &KafkaConsumer) {
        let mut changes = [Vec::new(), Vec::new()];
        let mut paused = 0;
        for owned in self.partitions.iter_mut() {
            let pause = self.full || owned.is_full();
            paused += i64::from(pause);
            if pause != owned.paused {
                owned.paused = pause;
                changes[usize::from(pause)].push(owned.assignment.clone());
            }
        }
        self.stats.paused.set(paused);
        for (pause, changed) in [false, true].into_iter().zip(changes) {
            if changed.is_empty() {
                continue;
            }
            let partitions = list(changed.iter().map(|a| (&*a.topic, a.partition)));
            tracing::debug!(pause, partitions = changed.len(), "back-pressure");
            let result = match pause {
                true => consumer.pause(&partitions),
                false => consumer.resume(&partitions),
            };
            if let Err(error) = result {
                tracing::warn!(%error, pause, "cannot pause or resume partitions");
            }
        }
    }

    /// Deals with what librdkafka has called back.
    pub fn news(&mut self, consumer: &KafkaConsumer) -> Result<(), PipelineError> {
        while let Some(rebalance) = consumer.context().take_rebalance() {
            self.rebalance(consumer, rebalance)?;
        }
        for result in consumer.context().take_commits() {
            self.offsets_committed(result);
        }
        if let Some(statistics) = consumer.context().take_statistics() {
            self.commits.heard(&statistics);
            self.observe(&statistics);
        }
        Ok(())
    }

    /// Whether a topic was made anew, so that the group must be joined anew too.
    pub fn must_rejoin(&mut self) -> bool {
        std::mem::take(&mut self.rejoin)
    }

    fn watch_topics(&mut self, now: Instant) {
        let assignments = self.partitions.iter().map(|owned| &owned.assignment);
        let Some(seen) = self.topic_watch.look(now, assignments) else {
            return;
        };
        for old in seen.changed {
            // Meanwhile the partition may have been assigned again.
            if self.partitions.current(&old).is_some() {
                tracing::warn!(
                    topic = &*old.topic,
                    old_id = old.topic_id,
                    "the topic was deleted and made anew"
                );
                self.rejoin = true;
            }
        }
        if let Some(id) = seen.state_topic_id {
            self.state_topic_is(id);
        }
    }
}
