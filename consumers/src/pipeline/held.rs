use std::sync::Arc;

use bt_kafka::Offsets;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::context::KafkaConsumer;
use super::core::Core;
use super::owned::Owned;
use super::record::Assignment;
use super::restore::Restored;
use super::start::starting_at;
use super::start::{Begin, name};
use super::topic_watch::url_safe;
use crate::sink::Stateful;

/// A partition that the group has assigned to us, and that librdkafka is not told to fetch before we know what we do.
pub(super) struct Held {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Known with the topic's id; then the partition is being restored, or it is found out where it begins.
    assignment: Option<Arc<Assignment>>,
}

impl Held {
    pub fn new((topic, partition): (Arc<str>, i32)) -> Self {
        Self {
            topic,
            partition,
            assignment: None,
        }
    }

    /// The topic's id, or where to begin, is not known yet.
    pub fn is_unknown(&self) -> bool {
        self.assignment.is_none()
    }

    /// This is its assignment.
    fn is(&self, assignment: &Assignment) -> bool {
        let own = self.assignment.as_ref();
        own.is_some_and(|own| own.generation == assignment.generation)
    }

    /// It is not ours any more.
    pub fn let_go(&self, core: &Core) {
        if let Some(assignment) = &self.assignment {
            assignment.revoke();
            core.commits.forget(assignment);
        }
    }
}

impl Core {
    /// Asks for the ids of the topics of held partitions, and begins with those whose topic is known: to restore them, or
    /// where nothing is to be restored to consume them.
    pub fn begin_held(&mut self, consumer: &KafkaConsumer) {
        let known = self.resolve();
        if let Some(restorer) = self.commits.restorer() {
            restorer.begin(known);
            return;
        }
        let Begin { all, new } = self.begin(consumer, &known);
        let begun = |assignment: &Assignment| all.contains_key(&name(assignment));
        let known: Vec<_> = known.into_iter().filter(|a| begun(a)).collect();
        for assignment in &known {
            self.sink.assigned(assignment);
            let mut owned = Owned::new(assignment.clone(), &self.stats);
            owned.start = new.get(&name(assignment)).copied();
            owned.committed = owned.start;
            self.partitions.insert(owned);
        }
        let begun = |held: &Held| known.iter().any(|a| held.is(a));
        self.held.retain(|held| !begun(held));
        for held in &mut self.held {
            // It is tried again.
            held.assignment = None;
        }
        self.fetch(consumer, &known, &all);
    }

    /// Begins to consume what is restored.
    pub(super) fn begin_restored(&mut self, consumer: &KafkaConsumer) {
        let Some(restorer) = self.commits.restorer() else {
            return;
        };
        let mut ready = Vec::new();
        while let Some(restored) = restorer.take() {
            ready.push(restored);
        }
        self.health.restoring(restorer.obstacle(), self.held.len());
        let mut starts = Offsets::new();
        let mut assignments = Vec::new();
        for restored in ready {
            let Restored {
                assignment,
                series,
                start,
                end,
                state_topic_id,
            } = restored;
            tracing::info!(
                topic = &*assignment.topic,
                partition = assignment.partition,
                start,
                end,
                "restored"
            );
            self.state_topic_is(state_topic_id);
            self.held.retain(|held| !held.is(&assignment));
            if let Some(stateful) = self.sink.stateful() {
                stateful.restored(&assignment, series);
            }
            let mut owned = Owned::new(assignment.clone(), &self.stats);
            owned.start = Some(start);
            owned.hidden_until = Some(end);
            self.partitions.insert(owned);
            starts.insert((assignment.topic.to_string(), assignment.partition), start);
            assignments.push(assignment);
        }
        if !assignments.is_empty() {
            self.fetch(consumer, &assignments, &starts);
        }
    }

    /// Has librdkafka fetch partitions from where they start, which must be ours.
    fn fetch(
        &mut self,
        consumer: &KafkaConsumer,
        assignments: &[Arc<Assignment>],
        starts: &Offsets,
    ) {
        let mut partitions = TopicPartitionList::new();
        for assignment in assignments {
            partitions.add_partition(&assignment.topic, assignment.partition);
        }
        if let Err(error) = consumer.incremental_assign(&starting_at(&partitions, starts)) {
            tracing::warn!(%error, "the assignment has changed meanwhile");
            self.rejoin = true;
        }
        // One that was paused when it was last ours is still paused.
        if let Err(error) = consumer.resume(&partitions) {
            tracing::warn!(%error, "cannot resume partitions");
        }
        self.count_partitions();
    }

    /// Asks for the ids of the topics of held partitions; those whose topic is known get their assignment.
    fn resolve(&mut self) -> Vec<Arc<Assignment>> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let described = match self.runtime.block_on(self.admin.describe_topics(&topics)) {
            Ok(described) => described,
            Err(error) => {
                tracing::warn!(%error, ?topics, "cannot ask Kafka for topic ids; new partitions wait for it");
                return Vec::new();
            }
        };
        let all: i32 = described
            .values()
            .flatten()
            .map(|topic| topic.partitions)
            .sum();
        self.all_partitions = all.try_into().unwrap_or(0);
        let mut assignments = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.is_unknown()) {
            let Held {
                topic, partition, ..
            } = held;
            match described.get(&**topic) {
                Some(Ok(known)) => {
                    self.generation += 1;
                    let id = url_safe(&known.id);
                    let assignment =
                        Assignment::new(topic.clone(), id, *partition, self.generation);
                    let assignment = Arc::new(assignment);
                    held.assignment = Some(assignment.clone());
                    assignments.push(assignment);
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, %topic, "cannot ask Kafka for the topic's id; its partitions wait for it");
                }
                None => {}
            }
        }
        assignments
    }

    /// What a former owner can have shown of these partitions is consumed: they may be shown.
    pub(super) fn show_caught_up(&mut self) {
        let Some(stateful) = self.sink.stateful() else {
            return;
        };
        for owned in self.partitions.iter_mut() {
            if owned
                .hidden_until
                .is_some_and(|end| owned.position() >= Some(end))
            {
                show(owned, Some(&mut *stateful));
            }
        }
    }

    /// librdkafka has handed out all of these partitions: what lies between the last record and the end are marks of
    /// transactions.
    pub(super) fn show_ended(&mut self, ended: &[Arc<Assignment>]) {
        for assignment in ended {
            if let Some(owned) = self.partitions.current(assignment) {
                show(owned, self.sink.stateful());
            }
        }
    }

    /// How many partitions are ours, for the metrics, and for the sink's share of limits.
    pub(super) fn count_partitions(&mut self) {
        let consumed = self.partitions.iter().count();
        let own = consumed + self.held.len();
        self.stats.assigned.set(own as i64);
        self.stats.restoring.set(match self.commits.restorer() {
            Some(_) => self.held.len() as i64,
            None => 0,
        });
        self.sink.share(own, self.all_partitions.max(own));
    }
}

fn show(owned: &mut Owned, stateful: Option<&mut dyn Stateful>) {
    if owned.hidden_until.take().is_some()
        && let Some(stateful) = stateful
    {
        stateful.caught_up(&owned.assignment);
    }
}
