//! Commits by the poll thread: what is done goes to Kafka, and its outcome comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::commit::{commit_async, commit_by, member_of};
use super::commits::{Part, UnderWay};
use super::context::KafkaConsumer;
use super::core::{Core, TICK};
use super::letter::Letter;
use super::owned::Owned;
use super::transactions::{Batch, Failure, Outcome};
use crate::sink_state::SinkCondition;
use crate::stats::Stats;

/// How long partitions wait whose letters may be what cannot be written; the others go on.
const SUSPECTS_WAIT: Duration = Duration::from_secs(5);
/// Between two log lines of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// So many commits that were not ours to make, one after the other, are no rebalance any more.
const FENCED: u32 = 10;
/// A transaction with so many bytes of letters is written well before it times out.
const LETTERS: usize = 16 * 1024 * 1024;

/// When a commit has to be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// Whenever it gets done; its outcome comes later.
    Soon,
    /// It is waited for, at most until then.
    By(Instant),
}

impl Core {
    /// Commits what is done of the partitions that `which` picks. Offsets go alone as far as they pass no letter, unless the sink
    /// has state to be committed with them.
    pub(super) fn commit(
        &mut self,
        consumer: &KafkaConsumer,
        when: When,
        which: impl Fn(&Owned) -> bool,
    ) {
        match when {
            When::Soon => self.commit_soon(consumer, which),
            When::By(deadline) => self.commit_by(consumer, deadline, which),
        }
    }

    /// Begins what can be begun.
    fn commit_soon(&mut self, consumer: &KafkaConsumer, which: impl Fn(&Owned) -> bool) {
        self.committed_meanwhile(Duration::ZERO);
        // Of the offsets that Kafka gets of a partition the last one counts. Those of transactions come from another client, so
        // that only the outcome of one tells that the next is the last.
        if self.commits.plain_under_way > 0 {
            return;
        }
        if !self.commits.is_under_way() {
            self.begin_transaction(consumer, &which);
        }
        if self.commits.keeps_state() {
            return;
        }
        let offsets = self.partitions.commit_list(which);
        if offsets.count() == 0 {
            return;
        }
        match commit_async(consumer, &offsets) {
            // Its outcome comes by a callback.
            Ok(()) => self.commits.plain_under_way += 1,
            Err(error) => self.offsets_committed(Err(error)),
        }
    }

    /// The outcome of a commit of offsets alone.
    pub(super) fn offsets_committed(&mut self, result: Result<(), KafkaError>) {
        self.count_commit(result.is_ok());
        if let Err(error) = result {
            self.partitions.forget_commits();
            tracing::warn!(%error, "offsets were not committed; they will be with the next commit, or consumed again");
        }
    }

    /// Commits again and again until all is in Kafka, or it is too late.
    fn commit_by(
        &mut self,
        consumer: &KafkaConsumer,
        deadline: Instant,
        which: impl Fn(&Owned) -> bool,
    ) {
        let mut offsets_alone = !self.commits.keeps_state();
        loop {
            while self.commits.is_under_way() {
                if Instant::now() > deadline {
                    tracing::warn!(
                        "the last commit is not known to have been done in time; the next owner goes by what Kafka has"
                    );
                    return;
                }
                self.wait_for_acks(TICK);
            }
            if std::mem::take(&mut offsets_alone)
                && !self.commit_offsets(consumer, deadline, &which)
            {
                return;
            }
            let late = self.commits.fenced > 0;
            if late || Instant::now() > deadline || !self.begin_transaction(consumer, &which) {
                return;
            }
        }
    }

    /// Commits offsets alone and waits for it, at most until the deadline. After that no such commit is under way any more; `false`
    /// where that is not known.
    fn commit_offsets(
        &mut self,
        consumer: &KafkaConsumer,
        deadline: Instant,
        which: impl Fn(&Owned) -> bool,
    ) -> bool {
        let others = self.commits.plain_under_way > 0;
        if others {
            // Kafka answers one after the other: having the answer to this one is having those before.
            self.partitions.forget_commits();
        }
        let offsets = self.partitions.commit_list(which);
        if offsets.count() == 0 {
            return true;
        }
        let result = commit_by(consumer, &offsets, deadline, || self.health.beat());
        let late = Some(RDKafkaErrorCode::OperationTimedOut);
        let known = match &result {
            Ok(()) => true,
            Err(error) => !others && error.rdkafka_error_code() != late,
        };
        self.offsets_committed(result);
        known
    }

    /// Gives to be committed in a transaction what has to be; `false` where nothing has.
    fn begin_transaction(
        &mut self,
        consumer: &KafkaConsumer,
        which: impl Fn(&Owned) -> bool,
    ) -> bool {
        let keeps_state = self.commits.keeps_state();
        let nothing = !keeps_state && !self.partitions.iter().any(Owned::passes_letters);
        // Kafka would take offsets of nobody in particular as from anyone.
        let Some(group) = member_of(consumer).filter(|_| !nothing) else {
            return false;
        };
        let alone = self.suspect(&which);
        let mut stateful = self.sink.stateful();
        let mut offsets = TopicPartitionList::new();
        let mut records = Vec::new();
        let mut buffer = Vec::new();
        let mut parts = Vec::new();
        let mut room = LETTERS;
        for owned in self.partitions.iter_mut().filter(|owned| which(owned)) {
            let Some(position) = owned.position() else {
                continue;
            };
            let with_letters = owned.passes_letters();
            let together = match alone {
                Some(generation) => owned.assignment.generation == generation,
                None => owned.outbox.suspect.is_none(),
            };
            if with_letters && !together {
                continue;
            }
            let offset = match &stateful {
                Some(stateful) => {
                    let same = Some(position) == owned.committed;
                    if same && !with_letters && !stateful.is_dirty(&owned.assignment) {
                        continue;
                    }
                    position
                }
                None if with_letters && room > 0 => owned.outbox.reach(position, room),
                None => continue,
            };
            let letters = owned.outbox.take_below(offset);
            let bytes: usize = letters.iter().map(|letter| letter.bytes).sum();
            room = room.saturating_sub(bytes);
            let assignment = owned.assignment.clone();
            let partition = assignment.partition;
            offsets
                .add_partition_offset(&assignment.topic, partition, Offset::Offset(offset))
                .expect("an offset of a record is a valid offset");
            owned.committed = Some(offset);
            owned.outbox.under_way = true;
            if let Some(stateful) = &mut stateful {
                stateful.write(&assignment, offset, &mut buffer);
                records.extend(buffer.drain(..).map(|record| (partition, record)));
            }
            parts.push(Part {
                assignment,
                letters,
            });
        }
        if parts.is_empty() {
            return false;
        }
        self.stats.state_records.inc_by(records.len() as u64);
        let letters = parts.iter().flat_map(|part| &part.letters);
        self.commits.transactions.commit(Batch {
            records,
            letters: letters.cloned().collect(),
            offsets,
            group,
        });
        self.commits.under_way = Some(UnderWay {
            parts,
            began: Instant::now(),
        });
        true
    }

    /// The partition whose letters are to be tried alone, if it is time for one: that which has waited for the longest.
    fn suspect(&self, which: impl Fn(&Owned) -> bool) -> Option<u64> {
        let wait = self.commits.suspects_wait;
        if wait.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let all = self.partitions.iter();
        all.filter(|owned| which(owned) && owned.passes_letters())
            .filter_map(|owned| Some((owned.outbox.suspect?, owned.assignment.generation)))
            .min()
            .map(|(_, generation)| generation)
    }

    /// Takes notice of the outcome of the transaction that is under way, waiting for it at most so long.
    pub(super) fn committed_meanwhile(&mut self, wait: Duration) {
        if self.commits.under_way.is_none() {
            return;
        }
        let Some(outcome) = self.commits.transactions.outcome(wait) else {
            return;
        };
        let ended = self
            .commits
            .under_way
            .take()
            .expect("it was just found there");
        self.count_commit(outcome.is_ok());
        self.stats
            .commit_seconds
            .observe(ended.began.elapsed().as_secs_f64());
        self.transaction_ended(&outcome, ended.parts);
    }

    fn transaction_ended(&mut self, outcome: &Outcome, parts: Vec<Part>) {
        if let Some(stateful) = self.sink.stateful() {
            stateful.written(outcome.is_ok());
        }
        let had_letters = parts.iter().any(|part| !part.letters.is_empty());
        match outcome {
            Ok(()) => {
                (self.commits.failing, self.commits.fenced) = (false, 0);
                for part in parts {
                    self.written(part);
                }
                if had_letters {
                    self.commits.suspects_wait = None;
                }
                if self.commits.keeps_state() {
                    self.sink_state.answered();
                }
            }
            Err(failure) => {
                for part in parts {
                    self.not_written(part, failure.fenced);
                }
                self.transaction_failed(failure, had_letters);
            }
        }
        self.look_for_trouble();
    }

    fn written(&mut self, part: Part) {
        let bytes = part.letters.iter().map(|letter| letter.bytes).sum();
        self.in_flight = self.in_flight.saturating_sub(bytes);
        for letter in &part.letters {
            self.stats.dead_letters_pending.dec();
            let written = &self.stats.dead_letters;
            written.with_label_values(&[letter.reason]).inc();
        }
        if let Some(owned) = self.partitions.current(&part.assignment) {
            owned.in_flight = owned.in_flight.saturating_sub(bytes);
            owned.outbox.under_way = false;
            if !part.letters.is_empty() {
                owned.outbox.suspect = None;
            }
        }
    }

    fn not_written(&mut self, part: Part, fenced: bool) {
        let Some(owned) = self.partitions.current(&part.assignment) else {
            self.drop_letters(&part.letters);
            return;
        };
        owned.committed = None;
        owned.outbox.under_way = false;
        if !part.letters.is_empty() && !fenced {
            owned.outbox.suspect = Some(Instant::now());
        }
        for letter in part.letters {
            owned.outbox.add(letter);
        }
    }

    /// Forgets letters of a partition that has left: its next owner makes them again.
    pub(super) fn drop_letters(&mut self, letters: &[Arc<Letter>]) {
        for letter in letters {
            self.in_flight = self.in_flight.saturating_sub(letter.bytes);
            self.stats.dead_letters_pending.dec();
        }
    }

    fn transaction_failed(&mut self, failure: &Failure, had_letters: bool) {
        let commits = &mut self.commits;
        let Failure {
            error,
            fenced,
            no_topic,
            ..
        } = failure;
        // A rebalance is on, or others have our partitions: news of that is on its way.
        commits.fenced = if *fenced { commits.fenced + 1 } else { 0 };
        commits.failing = !fenced || commits.fenced > FENCED;
        if had_letters && !fenced {
            // They may be what is in the way: the others go on without.
            commits.suspects_wait = Some(Instant::now() + SUSPECTS_WAIT);
        }
        if *no_topic
            && !commits.is_of_letters(failure)
            && let Some(stateful) = self.sink.stateful()
        {
            // The next state topic of its name has nothing of what was written before.
            stateful.rewrite();
        }
        if *fenced && !commits.failing {
            tracing::info!(%error, "a commit came too late for the group's generation");
            return;
        }
        let why = commits.why(failure);
        if commits.logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            commits.logged = Some(Instant::now());
            tracing::warn!("{why}");
        }
        match commits.is_of_letters(failure) {
            true => {
                commits.troubled = true;
                self.sink_state.dead_letters(Some(why));
            }
            false => self.sink_state.failed(SinkCondition::Unavailable, &why),
        }
        self.topic_watch.hurry();
    }

    /// Whether letters that could not be written are still there: they are written, or their partition has gone and they are its
    /// next owner's.
    pub(super) fn look_for_trouble(&mut self) {
        let outboxes = || self.partitions.iter().map(|owned| &owned.outbox);
        let suspects = outboxes().any(|outbox| outbox.suspect.is_some());
        let to_write = outboxes().any(|outbox| outbox.under_way || outbox.first().is_some());
        if !self.commits.keeps_state() && !to_write {
            // There will be no next transaction to tell.
            (self.commits.failing, self.commits.fenced) = (false, 0);
        }
        if self.commits.troubled && !suspects && !self.commits.failing {
            self.commits.troubled = false;
            self.sink_state.dead_letters(None);
        }
    }

    pub(super) fn count_commit(&self, done: bool) {
        let label = if done { "ok" } else { "error" };
        self.stats.commits.with_label_values(&[label]).inc();
        if done {
            self.stats.last_commit.set(Stats::now());
        }
    }

    /// Kafka's id of the state topic. Another than before: it was made anew, and everything is written anew.
    pub(super) fn state_topic_is(&mut self, id: String) {
        let Some(kept) = &mut self.commits.kept else {
            return;
        };
        let before = kept.topic_id.replace(id.clone());
        if before.as_ref().is_none_or(|before| *before == id) {
            return;
        }
        let topic = &kept.topic;
        let message = format!(
            "the state topic {topic} was made anew while it was in use: what this pod holds is written to it again"
        );
        tracing::warn!("{message}");
        self.stats
            .state_notices
            .with_label_values(&["StateTopicRecreated"])
            .inc();
        self.sink_state.notice("StateTopicRecreated", message);
        self.partitions.forget_commits();
        if let Some(stateful) = self.sink.stateful() {
            stateful.rewrite();
        }
    }
}
