use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::context::{KafkaConsumer, Rebalance};
use super::core::Core;
use super::owned::{Owned, list};
use super::poll::PipelineError;
use super::record::Assignment;
use super::start::starting_at;
use super::topic_watch::url_safe;
use super::{REVOKE_DEADLINE, STOP_DEADLINE};

impl Core {
    /// Carries out a change of the assignment. librdkafka waits for it, and keeps up the heartbeat meanwhile.
    pub fn rebalance(
        &mut self,
        consumer: &KafkaConsumer,
        rebalance: Rebalance,
    ) -> Result<(), PipelineError> {
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(consumer, &partitions)?,
            Rebalance::Revoke(partitions) => self.revoke(consumer, &partitions)?,
        }
        self.stats
            .assigned
            .set(self.partitions.iter().count() as i64);
        Ok(())
    }

    fn assign(
        &mut self,
        consumer: &KafkaConsumer,
        partitions: &TopicPartitionList,
    ) -> Result<(), PipelineError> {
        let names = names(partitions);
        tracing::info!(partitions = ?names, "assigned");
        self.stats.rebalances.with_label_values(&["assign"]).inc();
        self.hold(names);
        let known = self.resolve();
        let starts = self.begin(consumer, &known);
        consumer.incremental_assign(&starting_at(partitions, &starts))?;
        // What is still held must not be consumed; nothing has been handed out yet.
        self.pause_held(consumer);
        self.health.joined();
        Ok(())
    }

    fn revoke(
        &mut self,
        consumer: &KafkaConsumer,
        partitions: &TopicPartitionList,
    ) -> Result<(), PipelineError> {
        let names = names(partitions);
        let lost = consumer.assignment_lost();
        tracing::info!(partitions = ?names, lost, "revoked");
        let kind = if lost { "lost" } else { "revoke" };
        self.stats.rebalances.with_label_values(&[kind]).inc();
        let leaving = |owned: &Owned| {
            let Assignment {
                topic, partition, ..
            } = &*owned.assignment;
            names.iter().any(|(t, p)| t == topic && p == partition)
        };
        // What was lost is another's already: finishing it or committing for it would be too late.
        if !lost {
            self.drain(REVOKE_DEADLINE, leaving);
            self.commit(consumer, CommitMode::Sync, leaving);
        }
        self.release(&names);
        consumer.incremental_unassign(partitions)?;
        Ok(())
    }

    /// Forgets partitions, whatever is still under way for them.
    fn release(&mut self, names: &[(Arc<str>, i32)]) {
        self.unresolved.retain(|held| !names.contains(held));
        let mut left = Vec::new();
        for (topic, partition) in names {
            if let Some(owned) = self.partitions.remove(topic, *partition) {
                owned.assignment.revoke();
                left.push(owned.assignment);
            }
            // A pod that does not own a partition knows nothing of its lag.
            let _ = self
                .stats
                .lag
                .remove_label_values(&[&**topic, &partition.to_string()]);
        }
        self.sink.revoked(&left);
    }

    /// Finishes what is under way, commits it, and lets go of everything.
    pub fn stop(&mut self, consumer: &KafkaConsumer) {
        tracing::info!("stopping: finishing what is under way");
        self.drain(STOP_DEADLINE, |_| true);
        self.commit(consumer, CommitMode::Sync, |_| true);
        self.abandon();
        tracing::info!("everything that is done is committed; leaving the group");
    }

    /// Lets go of everything as it is. Where a topic was deleted nothing may be committed for it: its offsets mean
    /// something else in a topic made anew.
    pub fn abandon(&mut self) {
        let names: Vec<_> = self
            .partitions
            .iter()
            .map(|owned| (owned.assignment.topic.clone(), owned.assignment.partition))
            .collect();
        self.release(&names);
        self.unresolved.clear();
    }

    fn hold(&mut self, names: Vec<(Arc<str>, i32)>) {
        for held in names {
            if !self.unresolved.contains(&held) {
                self.unresolved.push(held);
            }
        }
    }

    fn pause_held(&self, consumer: &KafkaConsumer) {
        if self.unresolved.is_empty() {
            return;
        }
        let held = list(
            self.unresolved
                .iter()
                .map(|(topic, partition)| (&**topic, *partition)),
        );
        if let Err(error) = consumer.pause(&held) {
            tracing::warn!(%error, "cannot pause new partitions");
        }
    }

    /// Asks again for the ids of the topics of held partitions, and begins to consume those whose topic is known.
    pub fn resolve_held(&mut self, consumer: &KafkaConsumer) {
        let known = self.resolve();
        // They were assigned without: what comes between librdkafka's start and this one is consumed, and committed, all the same.
        self.begin(consumer, &known);
        let known = list(known.iter().map(|a| (&*a.topic, a.partition)));
        if known.count() > 0
            && let Err(error) = consumer.resume(&known)
        {
            tracing::error!(%error, "cannot resume partitions");
        }
        self.stats
            .assigned
            .set(self.partitions.iter().count() as i64);
    }

    /// Asks for the ids of the topics of held partitions; those whose topic is known are held no longer.
    fn resolve(&mut self) -> Vec<Arc<Assignment>> {
        let mut topics: Vec<&str> = self.unresolved.iter().map(|(topic, _)| &**topic).collect();
        topics.sort_unstable();
        topics.dedup();
        let described = match self.runtime.block_on(self.admin.describe_topics(&topics)) {
            Ok(described) => described,
            Err(error) => {
                tracing::warn!(%error, ?topics, "cannot ask Kafka for topic ids; new partitions wait for it");
                return Vec::new();
            }
        };
        let mut assignments = Vec::new();
        self.unresolved.retain(|(topic, partition)| match described.get(&**topic) {
            Some(Ok(known)) => {
                self.generation += 1;
                let id = url_safe(&known.id);
                let assignment = Assignment::new(topic.clone(), id, *partition, self.generation);
                assignments.push(Arc::new(assignment));
                false
            }
            Some(Err(error)) => {
                tracing::warn!(%error, %topic, "cannot ask Kafka for the topic's id; its partitions wait for it");
                true
            }
            None => true,
        });
        self.sink.assigned(&assignments);
        for assignment in &assignments {
            self.partitions
                .insert(Owned::new(assignment.clone(), &self.stats));
        }
        assignments
    }

    /// An offset below one that was there before: the topic was made anew, or Kafka lost its end. The partition
    /// begins again as if it were newly assigned.
    pub fn went_back(
        &mut self,
        consumer: &KafkaConsumer,
        topic: &str,
        partition: i32,
        offset: i64,
    ) {
        tracing::warn!(
            topic,
            partition,
            offset,
            "the partition's offsets went back: made anew, or cut off"
        );
        let names = [(Arc::from(topic), partition)];
        self.release(&names);
        self.hold(names.into());
        self.pause_held(consumer);
        // The record at hand is not taken before the topic's id is known again.
        let timeout = std::time::Duration::from_secs(5);
        if let Err(error) = consumer.seek(topic, partition, Offset::Offset(offset), timeout) {
            tracing::error!(%error, topic, partition, offset, "cannot seek");
        }
    }
}

fn names(partitions: &TopicPartitionList) -> Vec<(Arc<str>, i32)> {
    partitions
        .elements()
        .iter()
        .map(|element| (element.topic().into(), element.partition()))
        .collect()
}
