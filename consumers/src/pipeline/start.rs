use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Offsets};
use rdkafka::{Offset, TopicPartitionList};

use super::commit::commit_by;
use super::context::KafkaConsumer;
use super::core::Core;
use super::record::Assignment;
use crate::config::StartFrom;

const TIMEOUT: Duration = Duration::from_secs(3);
/// How much later than its session times out a former owner can notice that, if it is slow.
const MARGIN: Duration = Duration::from_secs(10);

/// Where partitions begin; those that are to wait are left out.
#[derive(Default)]
pub(super) struct Begin {
    pub all: Offsets,
    /// Of these those that the group had never committed an offset for.
    pub new: Offsets,
}

impl Core {
    /// Where partitions begin: where the group has got to, as far as that cannot change any more. As long as a former owner's
    /// transaction is open it may yet move the group on; what was begun with meanwhile would be consumed twice, and its letters written
    /// twice. librdkafka is not left to ask by itself: as of 2.12 it takes a partition for one without an offset when that is why it has
    /// no answer and the assignment has changed before it asks again (`rd_kafka_assignment_apply_offsets`).
    ///
    /// Where the group has never committed an offset, one is committed before anything is consumed: so their lag can be measured;
    /// a pod that dies before its first commit does not skip, where the group starts with the latest, what had arrived
    /// meanwhile; and the next owner knows that records may have been sent before.
    ///
    /// A partition that Kafka does not say this of, or where it cannot be committed, waits.
    pub(super) fn begin(&self, consumer: &KafkaConsumer, assignments: &[Arc<Assignment>]) -> Begin {
        if assignments.is_empty() {
            return Begin::default();
        }
        let names: Vec<_> = assignments.iter().map(|a| name(a)).collect();
        let committed = self
            .admin
            .stable_committed_offsets(&self.group_id, names.clone());
        let mut all = match self.runtime.block_on(committed) {
            Ok(committed) => committed,
            Err(error) => {
                tracing::warn!(%error, "Kafka does not say where partitions begin; they wait for it");
                return Begin::default();
            }
        };
        let begun = assignments.iter().filter(|a| all.contains_key(&name(a)));
        self.reread(begun.cloned().collect());
        let is_new = |name: &(String, i32)| !all.contains_key(name);
        let starts = self.starts(names.iter().filter(|name| is_new(name)).cloned().collect());
        let starts = starts
            .map_err(|error| error.to_string())
            .and_then(|starts| {
                self.commit_starts(consumer, &starts)?;
                Ok(starts)
            });
        let new = starts.unwrap_or_else(|error| {
            tracing::warn!(error, "cannot commit where new partitions begin");
            Offsets::new()
        });
        for ((topic, partition), offset) in &new {
            tracing::info!(topic, partition, offset, start_from = ?self.start_from, "never committed before");
        }
        all.extend(new.clone());
        let waiting: Vec<_> = names
            .iter()
            .filter(|name| !all.contains_key(*name))
            .collect();
        if !waiting.is_empty() {
            tracing::warn!(partitions = ?waiting, "wait until Kafka knows where they begin");
        }
        Begin { all, new }
    }

    fn starts(&self, new: Vec<(String, i32)>) -> Result<Offsets, bt_kafka::Error> {
        if new.is_empty() {
            return Ok(Offsets::new());
        }
        let offsets = async {
            match self.start_from {
                StartFrom::Earliest => self.admin.log_start_offsets(new).await,
                StartFrom::Latest => self.admin.log_end_offsets(new).await,
            }
        };
        self.runtime.block_on(offsets)
    }

    /// Finds out up to where a former owner can have sent records of these partitions to the sink. It may not know for a session's
    /// time that they are not its own any more, and goes on sending what arrives meanwhile: until then any record may have been sent.
    fn reread(&self, begun: Vec<Arc<Assignment>>) {
        if begun.is_empty() {
            return;
        }
        for assignment in &begun {
            assignment.reread_until(i64::MAX);
        }
        let (admin, window) = (self.admin.clone(), self.session_timeout + MARGIN);
        self.runtime.spawn(async move {
            tokio::time::sleep(window).await;
            end_of_reread(&admin, begun).await;
        });
    }

    fn commit_starts(&self, consumer: &KafkaConsumer, starts: &Offsets) -> Result<(), String> {
        if starts.is_empty() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in starts {
            offsets
                .add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .expect("a log's offset is a valid offset");
        }
        let deadline = Instant::now() + TIMEOUT;
        let committed = commit_by(consumer, &offsets, deadline, || self.health.beat());
        self.count_commit(committed.is_ok());
        committed.map_err(|error| error.to_string())
    }
}

/// What arrives from now on cannot have been sent by a former owner.
async fn end_of_reread(admin: &Admin, mut assignments: Vec<Arc<Assignment>>) {
    loop {
        assignments.retain(|assignment| !assignment.is_revoked());
        if assignments.is_empty() {
            return;
        }
        let names = assignments.iter().map(|a| name(a)).collect();
        let ends = admin.log_end_offsets(names).await.unwrap_or_default();
        assignments.retain(|assignment| {
            let Some(end) = ends.get(&name(assignment)) else {
                return true;
            };
            let (topic, partition) = (&*assignment.topic, assignment.partition);
            tracing::debug!(
                topic,
                partition,
                end,
                "may have been sent before up to here"
            );
            assignment.reread_until(*end);
            false
        });
        tokio::time::sleep(MARGIN).await;
    }
}

pub(super) fn name(assignment: &Assignment) -> (String, i32) {
    (assignment.topic.to_string(), assignment.partition)
}

/// The partitions, each with where it begins if that is known.
pub(super) fn starting_at(partitions: &TopicPartitionList, starts: &Offsets) -> TopicPartitionList {
    let starts: BTreeMap<(&str, i32), i64> = starts
        .iter()
        .map(|((topic, partition), offset)| ((topic.as_str(), *partition), *offset))
        .collect();
    let mut list = TopicPartitionList::new();
    for element in partitions.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        match starts.get(&(topic, partition)) {
            Some(offset) => list
                .add_partition_offset(topic, partition, Offset::Offset(*offset))
                .expect("a log's offset is a valid offset"),
            None => {
                list.add_partition(topic, partition);
            }
        }
    }
    list
}
