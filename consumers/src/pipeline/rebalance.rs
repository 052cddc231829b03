use std::sync::Arc;
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::committing::When;
use super::context::{KafkaConsumer, Rebalance};
use super::core::Core;
use super::held::Held;
use super::owned::{Owned, list};
use super::poll::PipelineError;
use super::record::Assignment;
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
        self.count_partitions();
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
        // librdkafka takes note that the group has its assignment; each partition follows when it is to be fetched.
        consumer.incremental_assign(&TopicPartitionList::new())?;
        self.held.extend(names.into_iter().map(Held::new));
        self.begin_held(consumer);
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
        self.hide(leaving);
        // What was lost is another's already: finishing it or committing for it would be too late.
        if !lost {
            self.drain(REVOKE_DEADLINE, leaving);
            self.commit(
                consumer,
                When::By(Instant::now() + REVOKE_DEADLINE),
                leaving,
            );
        }
        let fetched = list(
            self.partitions
                .iter()
                .filter(|owned| leaving(owned))
                .map(|owned| (&*owned.assignment.topic, owned.assignment.partition)),
        );
        self.release(&names);
        consumer.incremental_unassign(&fetched)?;
        Ok(())
    }

    /// From now on nothing of these partitions is shown.
    fn hide(&mut self, which: impl Fn(&Owned) -> bool) {
        let leaving = self.partitions.iter().filter(|owned| which(owned));
        let leaving: Vec<_> = leaving.map(|owned| owned.assignment.clone()).collect();
        if let Some(stateful) = self.sink.stateful() {
            stateful.hide(&leaving);
        }
    }

    /// Forgets partitions, whatever is still under way for them.
    fn release(&mut self, names: &[(Arc<str>, i32)]) {
        let mut held = std::mem::take(&mut self.held);
        held.retain(|held| {
            let stays = !names.contains(&(held.topic.clone(), held.partition));
            if !stays {
                held.let_go(self);
            }
            stays
        });
        self.held = held;
        let mut left = Vec::new();
        for (topic, partition) in names {
            if let Some(mut owned) = self.partitions.remove(topic, *partition) {
                owned.assignment.revoke();
                self.drop_letters(&owned.outbox.take());
                left.push(owned.assignment);
            }
            // A pod that does not own a partition knows nothing of its lag.
            let labels = [&**topic, &partition.to_string()];
            let _ = self.stats.lag.remove_label_values(&labels);
            let _ = self.stats.lag_seconds.remove_label_values(&labels);
        }
        self.look_for_trouble();
        self.sink.revoked(&left);
    }

    /// Finishes what is under way, commits it, and lets go of everything.
    pub fn stop(&mut self, consumer: &KafkaConsumer) {
        tracing::info!("stopping: finishing what is under way");
        self.hide(|_| true);
        self.drain(STOP_DEADLINE, |_| true);
        self.commit(consumer, When::By(Instant::now() + REVOKE_DEADLINE), |_| {
            true
        });
        self.abandon();
        tracing::info!("everything that is done is committed; leaving the group");
    }

    /// Lets go of everything as it is. Where a topic was deleted nothing may be committed for it: its offsets mean
    /// something else in a topic made anew.
    pub fn abandon(&mut self) {
        let owned = self.partitions.iter();
        let owned = owned.map(|owned| (owned.assignment.topic.clone(), owned.assignment.partition));
        let held = self
            .held
            .iter()
            .map(|held| (held.topic.clone(), held.partition));
        let names: Vec<_> = owned.chain(held).collect();
        self.release(&names);
        self.count_partitions();
        // Nobody hears of their outcome any more.
        self.commits.plain_under_way = 0;
    }
}

fn names(partitions: &TopicPartitionList) -> Vec<(Arc<str>, i32)> {
    partitions
        .elements()
        .iter()
        .map(|element| (element.topic().into(), element.partition()))
        .collect()
}
