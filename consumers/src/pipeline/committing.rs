//! Commits by the poll thread: what is done goes to Kafka, and its outcome comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;

use super::commit::{commit_async, member_of};
use super::commits::{Commits, UnderWay};
use super::context::KafkaConsumer;
use super::core::{Core, TICK};
use super::dead_letters::trouble;
use super::letter::Letter;
use super::owned::Owned;
use super::transactions::{Batch, Failure, Outcome};
use crate::sink_state::SinkCondition;
use crate::stats::Stats;

/// How long partitions with letters wait where these may be what cannot be written; the others go on.
const LETTERS_WAIT: Duration = Duration::from_secs(5);
/// Between two log lines of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// So many commits that were not ours to make, one after the other, are no rebalance any more.
const FENCED: u32 = 10;

/// When a commit has to be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// Whenever it gets done; its outcome comes later.
    Soon,
    /// It is waited for, at most until then.
    By(Instant),
}

impl Core {
    /// Commits what is done of the partitions that `which` picks.
    pub(super) fn commit(
        &mut self,
        consumer: &KafkaConsumer,
        when: When,
        which: impl Fn(&Owned) -> bool,
    ) {
        if matches!(self.commits, Commits::Offsets(_)) {
            self.commit_offsets(consumer, when, which);
            return;
        }
        match when {
            When::Soon => {
                self.committed_meanwhile(Duration::ZERO);
                if !self.commits.is_under_way() {
                    self.begin_commit(consumer, which);
                }
            }
            When::By(deadline) => self.commit_by(consumer, deadline, which),
        }
    }

    fn commit_offsets(
        &mut self,
        consumer: &KafkaConsumer,
        when: When,
        which: impl Fn(&Owned) -> bool,
    ) {
        let offsets = self.partitions.commit_list(which);
        if offsets.count() == 0 {
            return;
        }
        match when {
            // Its outcome comes by a callback.
            When::Soon => {
                if let Err(error) = commit_async(consumer, &offsets) {
                    self.offsets_committed(Err(error));
                }
            }
            When::By(_) => {
                let result = consumer.commit(&offsets, CommitMode::Sync);
                self.offsets_committed(result);
            }
        }
    }

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
            let late = matches!(&self.commits, Commits::Exact(exact) if exact.fenced > 0);
            if late || Instant::now() > deadline || !self.begin_commit(consumer, &which) {
                return;
            }
        }
    }

    /// Gives what has changed to be committed; `false` where nothing has.
    fn begin_commit(&mut self, consumer: &KafkaConsumer, which: impl Fn(&Owned) -> bool) -> bool {
        let (Commits::Exact(exact), Some(stateful)) = (&mut self.commits, self.sink.stateful())
        else {
            return false;
        };
        let is_of = |letter: &Letter, owned: &Owned| {
            letter.original.assignment.generation == owned.assignment.generation
        };
        let mut offsets = TopicPartitionList::new();
        let mut records = Vec::new();
        let mut letters = Vec::new();
        let mut buffer = Vec::new();
        let letters_wait = exact
            .letters_wait
            .is_some_and(|until| Instant::now() < until);
        for owned in self.partitions.iter_mut().filter(|owned| which(owned)) {
            let Some(offset) = owned.position() else {
                continue;
            };
            if letters_wait && exact.letters.iter().any(|letter| is_of(letter, owned)) {
                continue;
            }
            let assignment = owned.assignment.clone();
            if Some(offset) == owned.committed && !stateful.is_dirty(&assignment) {
                continue;
            }
            let partition = assignment.partition;
            offsets
                .add_partition_offset(
                    &assignment.topic,
                    partition,
                    rdkafka::Offset::Offset(offset),
                )
                .expect("an offset of a record is a valid offset");
            owned.committed = Some(offset);
            stateful.write(&assignment, offset, &mut buffer);
            records.extend(buffer.drain(..).map(|record| (partition, record)));
            letters.extend(exact.letters.extract_if(.., |letter| is_of(letter, owned)));
        }
        if offsets.count() == 0 {
            return false;
        }
        let Some(group) = member_of(consumer) else {
            stateful.written(false);
            self.partitions.forget_commits();
            exact.letters.append(&mut letters);
            return false;
        };
        exact.under_way = Some(UnderWay {
            letters: letters.clone(),
            began: Instant::now(),
        });
        self.stats.state_records.inc_by(records.len() as u64);
        exact.transactions.commit(Batch {
            records,
            letters,
            offsets,
            group,
        });
        true
    }

    /// Takes notice of the outcome of the commit that is under way, waiting for it at most so long.
    pub(super) fn committed_meanwhile(&mut self, wait: Duration) {
        let Commits::Exact(exact) = &mut self.commits else {
            return;
        };
        if exact.under_way.is_none() {
            return;
        }
        let Some(outcome) = exact.transactions.outcome(wait) else {
            return;
        };
        let UnderWay { letters, began } = exact.under_way.take().expect("it was just there");
        self.commit_ended(&outcome, letters, began);
    }

    fn commit_ended(&mut self, outcome: &Outcome, mut letters: Vec<Arc<Letter>>, began: Instant) {
        self.count_commit(outcome.is_ok());
        self.stats
            .commit_seconds
            .observe(began.elapsed().as_secs_f64());
        let (Commits::Exact(exact), Some(stateful)) = (&mut self.commits, self.sink.stateful())
        else {
            return;
        };
        stateful.written(outcome.is_ok());
        let Failure {
            error,
            fenced,
            no_topic,
            topic,
        } = match outcome {
            Ok(()) => {
                (exact.failing, exact.fenced) = (false, 0);
                if !letters.is_empty() {
                    exact.letters_wait = None;
                    self.sink_state.dead_letters(None);
                }
                for letter in letters {
                    self.in_flight = self.in_flight.saturating_sub(letter.bytes);
                    self.stats.dead_letters_pending.dec();
                    let written = &self.stats.dead_letters;
                    written.with_label_values(&[letter.reason]).inc();
                }
                self.sink_state.answered();
                return;
            }
            Err(failure) => failure,
        };
        self.partitions.forget_commits();
        let had_letters = !letters.is_empty();
        letters.append(&mut exact.letters);
        exact.letters = letters;
        // A rebalance is on, or others have our partitions: news of that is on its way.
        exact.fenced = if *fenced { exact.fenced + 1 } else { 0 };
        exact.failing = !fenced || exact.fenced > FENCED;
        let of_letters = topic.as_deref() == Some(&*exact.letters_topic);
        if had_letters && !fenced {
            // They may be what is in the way: the others go on without.
            exact.letters_wait = Some(Instant::now() + LETTERS_WAIT);
        }
        if *no_topic && !of_letters {
            // The next state topic of its name has nothing of what was written before.
            stateful.rewrite();
        }
        if *fenced && !exact.failing {
            tracing::info!(%error, "a commit came too late for the group's generation");
        } else {
            let why = match of_letters {
                true => trouble(&exact.letters_topic, error),
                false => format!(
                    "the series are not written to the state topic {}, new ones are not shown: {error}",
                    exact.state_topic
                ),
            };
            if exact.logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                exact.logged = Some(Instant::now());
                tracing::warn!("{why}");
            }
            match of_letters {
                true => self.sink_state.dead_letters(Some(why)),
                false => self.sink_state.failed(SinkCondition::Unavailable, &why),
            }
            self.topic_watch.hurry();
        }
        let freed = self.commits.drop_letters(&self.stats);
        self.in_flight = self.in_flight.saturating_sub(freed);
    }

    fn count_commit(&self, done: bool) {
        let label = if done { "ok" } else { "error" };
        self.stats.commits.with_label_values(&[label]).inc();
        if done {
            self.stats.last_commit.set(Stats::now());
        }
    }

    /// Kafka's id of the state topic. Another than before: it was made anew, and everything is written anew.
    pub(super) fn state_topic_is(&mut self, id: String) {
        let Commits::Exact(exact) = &mut self.commits else {
            return;
        };
        let before = exact.state_topic_id.replace(id.clone());
        if before.as_ref().is_none_or(|before| *before == id) {
            return;
        }
        let topic = &exact.state_topic;
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
