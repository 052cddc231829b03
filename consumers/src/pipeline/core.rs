use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
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
use super::letter::Letter;
use super::owned::{Owned, Partitions, list};
use super::poll::{Parts, PipelineError, Settings};
use super::pressure::Limits;
use super::record::{Ack, Ended, Origin};
use super::rejects::Rejects;
use super::stall::StallDetector;
use super::topic_watch::TopicWatch;
use crate::config::StartFrom;
use crate::sink::{self, Sink, Taken};
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
    /// Of the consumer group.
    pub session_timeout: Duration,
    pub topics: Vec<String>,
    pub group_id: String,
    pub admin: Admin,
    pub runtime: tokio::runtime::Handle,
    pub stats: Arc<Stats>,
    pub health: Arc<Health>,
    pub sink_state: Arc<SinkState>,
    pub(super) commits: Commits,
    acks: Receiver<Ack>,
    taken: IntCounter,
    pub(super) in_flight: usize,
    limits: Limits,
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
            group_id: settings.group_id.clone(),
            acks: parts.acks,
            in_flight: 0,
            limits: settings.limits,
            start_from: settings.start_from,
            session_timeout: settings.session_timeout,
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
        let value = message.payload();
        let timestamp = message.timestamp().to_millis();
        owned.read_at = timestamp;
        owned.records.inc();
        owned.bytes.inc_by(value.map_or(0, <[u8]>::len) as u64);
        let Owned {
            assignment,
            watermark,
            outbox,
            in_flight,
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
        let mut rejects = Rejects::new(outbox, &self.stats, whole);
        sink::give(
            &mut *self.sink,
            elements,
            &whole,
            |taken, origin| match taken {
                Taken::Done => {
                    self.taken.inc();
                    self.sink_state.taken(1);
                }
                Taken::Later { bytes } => {
                    watermark.add(offset);
                    rejects.bytes += bytes;
                    self.taken.inc();
                }
                Taken::Dropped { reason } => {
                    self.sink_state.dropped();
                    let events = &self.stats.events;
                    events.with_label_values(&["dropped", reason]).inc();
                }
                Taken::Rejected(why) => {
                    self.sink_state.rejected(&why.message);
                    rejects.reject(origin, why.reason, why.message);
                }
                Taken::Malformed(why) => {
                    self.sink_state.malformed(&why.message);
                    rejects.reject(origin, why.reason, why.message);
                }
            },
        );
        rejects.finish();
        *in_flight += rejects.bytes;
        self.in_flight += rejects.bytes;
        // The record's own part: its events are all known now.
        watermark.done(offset);
    }

    /// More is under way than may be.
    pub fn is_over_the_limit(&self) -> bool {
        // Nearly always the first says it all.
        self.in_flight > self.limits.all && !self.full && self.is_over()
    }

    fn is_over(&self) -> bool {
        self.limits.is_over(self.in_flight, self.held_back())
    }

    /// What partitions have under way that are held back.
    fn held_back(&self) -> usize {
        let held_back = self.partitions.iter().filter(|owned| owned.held_back);
        held_back.map(|owned| owned.in_flight).sum()
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
        while self.is_over() {
            if began.elapsed() > RELIEF {
                self.full = true;
                self.next_tick = began;
                return;
            }
            if self.partitions.iter().any(Owned::passes_letters) {
                // Letters that wait for the next commit would wait for ever here.
                self.commit(consumer, When::Soon, |_| true);
            }
            self.wait_for_acks(TICK);
        }
    }

    fn tick(&mut self, consumer: &KafkaConsumer, now: Instant) {
        self.next_tick = now + TICK;
        self.health.beat();
        self.take_acks();
        self.committed_meanwhile(Duration::ZERO);
        self.sink.tick(now);
        self.begin_restored(consumer);
        self.watch_topics(now);
        if !self.health.has_joined() {
            self.joining.look(now, &self.health);
        }
        self.hold_back();
        self.pause_or_resume(consumer);
        if now >= self.next_commit {
            self.next_commit = now + COMMIT_INTERVAL;
            self.commit(consumer, When::Soon, |_| true);
        }
        if now >= self.next_resolve && self.held.iter().any(Held::is_unknown) {
            let began = Instant::now();
            self.begin_held(consumer);
            // Where the answers take long the others shall have most of the time.
            self.next_resolve = Instant::now() + RESOLVE_INTERVAL.max(began.elapsed() * 5);
        }
        self.show_caught_up();
        self.health.sink_ready(self.sink.status().ready);
        self.sink_state.tick(now);
        self.stats.in_flight.set(self.in_flight as i64);
    }

    /// Waits for acknowledgements, of the sink or of a transaction, while not polling; the sink's timed work goes on.
    pub(super) fn wait_for_acks(&mut self, timeout: Duration) {
        if !self.take_acks() {
            if self.commits.is_under_way() {
                self.committed_meanwhile(timeout);
            } else if let Ok(ack) = self.acks.recv_timeout(timeout) {
                self.acknowledge(ack);
                self.take_acks();
            }
        }
        self.sink.tick(Instant::now());
        self.health.beat();
    }

    /// Takes the acknowledgements that are there; `false` where none was.
    fn take_acks(&mut self) -> bool {
        let mut some = false;
        while let Ok(ack) = self.acks.try_recv() {
            self.acknowledge(ack);
            some = true;
        }
        some
    }

    fn acknowledge(&mut self, ack: Ack) {
        let Ack {
            assignment,
            bytes,
            ended,
        } = ack;
        let Some(owned) = self.partitions.current(&assignment) else {
            self.in_flight = self.in_flight.saturating_sub(bytes);
            return;
        };
        match ended {
            // It goes on occupying its bytes until its letter is written.
            Ended::Refused(refused) => {
                let offset = refused.original.offset;
                let letter = Letter::refused(*refused, bytes);
                let more = letter.bytes - bytes;
                self.in_flight += more;
                owned.in_flight += more;
                self.stats.dead_letters_pending.inc();
                owned.outbox.add(Arc::new(letter));
                owned.watermark.done(offset);
            }
            Ended::Done(offsets) => {
                self.in_flight = self.in_flight.saturating_sub(bytes);
                owned.in_flight = owned.in_flight.saturating_sub(bytes);
                for offset in offsets {
                    owned.watermark.done(offset);
                }
            }
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

    /// Finds out which partitions have to wait for the sake of the others, and whether all go on again.
    fn hold_back(&mut self) {
        let (limits, total) = (self.limits, self.in_flight);
        let partitions = self.partitions.iter().count();
        for owned in self.partitions.iter_mut() {
            owned.held_back =
                limits.holds_back(owned.in_flight, total, partitions, owned.held_back);
        }
        if limits.is_relieved(total, self.held_back()) {
            self.full = false;
        }
    }

    fn pause_or_resume(&mut self, consumer: &KafkaConsumer) {
        let mut changes = [Vec::new(), Vec::new()];
        let mut paused = 0;
        for owned in self.partitions.iter_mut() {
            let pause = self.full || owned.held_back || owned.is_full();
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
            self.commits.plain_under_way = self.commits.plain_under_way.saturating_sub(1);
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
