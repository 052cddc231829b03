use std::sync::Arc;

use prometheus::IntCounter;
use rdkafka::{Offset, TopicPartitionList};

use super::outbox::Outbox;
use super::{Assignment, Watermark};
use crate::stats::Stats;

/// The most records of a partition that may be open, or read since a letter that cannot be written: it stops by itself.
const WINDOW: usize = 200_000;

/// A partition that is ours.
pub(super) struct Owned {
    pub assignment: Arc<Assignment>,
    pub watermark: Watermark,
    pub outbox: Outbox,
    /// What of it the sink and the letters have not acknowledged, in bytes.
    pub in_flight: usize,
    /// That is more than its share, and the others need room.
    pub held_back: bool,
    /// Where it begins, if the group had committed nothing before.
    pub start: Option<i64>,
    /// Its series are not shown before it is consumed up to here, where it ended when it was assigned.
    pub hidden_until: Option<i64>,
    /// The last offset given to a commit.
    pub committed: Option<i64>,
    pub paused: bool,
    /// Kafka's timestamp of the last record read, in milliseconds since the epoch.
    pub read_at: Option<i64>,
    pub records: IntCounter,
    pub bytes: IntCounter,
}

impl Owned {
    pub fn new(assignment: Arc<Assignment>, stats: &Stats) -> Self {
        Self {
            records: stats.records.with_label_values(&[&assignment.topic]),
            bytes: stats.bytes.with_label_values(&[&assignment.topic]),
            assignment,
            watermark: Watermark::default(),
            outbox: Outbox::default(),
            in_flight: 0,
            held_back: false,
            start: None,
            hidden_until: None,
            committed: None,
            paused: false,
            read_at: None,
        }
    }

    fn is(&self, topic: &str, partition: i32) -> bool {
        self.assignment.partition == partition && *self.assignment.topic == *topic
    }

    /// The offset below which everything is done: what may be committed.
    pub fn position(&self) -> Option<i64> {
        self.watermark.committable().or(self.start)
    }

    /// Committing that passes letters that are not written.
    pub fn passes_letters(&self) -> bool {
        self.position()
            .is_some_and(|position| self.outbox.is_passed_by(position))
    }

    /// What may be committed without writing letters.
    fn plain_position(&self) -> Option<i64> {
        let position = self.position()?;
        Some(self.outbox.first().map_or(position, |f| f.min(position)))
    }

    /// No room for more of this partition's records.
    pub fn is_full(&self) -> bool {
        let waiting = match (self.outbox.suspect, self.outbox.first()) {
            (Some(_), Some(first)) => self.watermark.begun_since(first),
            _ => 0,
        };
        self.watermark.open().max(waiting) >= WINDOW
    }
}

/// The partitions that are ours.
#[derive(Default)]
pub(super) struct Partitions {
    all: Vec<Owned>,
    /// The place of the one that was asked for last: Kafka hands out many records of a partition one after the other.
    last: usize,
}

impl Partitions {
    pub fn insert(&mut self, owned: Owned) {
        let Assignment {
            topic, partition, ..
        } = &*owned.assignment;
        self.remove(topic, *partition);
        self.all.push(owned);
    }

    pub fn remove(&mut self, topic: &str, partition: i32) -> Option<Owned> {
        let place = self
            .all
            .iter()
            .position(|owned| owned.is(topic, partition))?;
        Some(self.all.swap_remove(place))
    }

    pub fn get_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Owned> {
        let is_last = self
            .all
            .get(self.last)
            .is_some_and(|owned| owned.is(topic, partition));
        if !is_last {
            self.last = self
                .all
                .iter()
                .position(|owned| owned.is(topic, partition))?;
        }
        self.all.get_mut(self.last)
    }

    /// The partition, if it is still in the assignment that the work was taken under.
    pub fn current(&mut self, assignment: &Assignment) -> Option<&mut Owned> {
        let is = |owned: &Owned| owned.assignment.generation == assignment.generation;
        if !self.all.get(self.last).is_some_and(is) {
            self.last = self.all.iter().position(is)?;
        }
        self.all.get_mut(self.last)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Owned> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Owned> {
        self.all.iter_mut()
    }

    /// What is to be committed, without writing letters, of the partitions that `which` picks; remembers it as committed.
    pub fn commit_list(&mut self, which: impl Fn(&Owned) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for owned in self.iter_mut().filter(|owned| which(owned)) {
            if owned.outbox.under_way {
                continue;
            }
            let offset = owned.plain_position();
            if let Some(offset) = offset.filter(|_| offset != owned.committed) {
                let Assignment {
                    topic, partition, ..
                } = &*owned.assignment;
                list.add_partition_offset(topic, *partition, Offset::Offset(offset))
                    .expect("an offset of a record is a valid offset");
                owned.committed = Some(offset);
            }
        }
        list
    }

    /// A commit failed: commit again what was thought to be committed.
    pub fn forget_commits(&mut self) {
        for owned in self.iter_mut() {
            owned.committed = None;
        }
    }
}

/// A list of partitions without offsets.
pub(super) fn list<'a>(partitions: impl IntoIterator<Item = (&'a str, i32)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, partition);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(generation: u64, stats: &Stats) -> Owned {
        let assignment = Assignment::new("t".into(), "id".into(), 0, generation);
        Owned::new(Arc::new(assignment), stats)
    }

    #[test]
    fn work_of_an_earlier_assignment_is_not_found() {
        let stats = Stats::new();
        let mut partitions = Partitions::default();
        partitions.insert(owned(1, &stats));
        let earlier = partitions
            .get_mut("t", 0)
            .expect("it is there")
            .assignment
            .clone();
        assert!(partitions.current(&earlier).is_some());
        partitions.remove("t", 0);
        assert!(partitions.current(&earlier).is_none());
        partitions.insert(owned(2, &stats));
        assert!(partitions.current(&earlier).is_none());
    }

    #[test]
    fn an_offset_is_committed_once_unless_that_failed() {
        let stats = Stats::new();
        let mut partitions = Partitions::default();
        partitions.insert(owned(1, &stats));
        assert_eq!(partitions.commit_list(|_| true).count(), 0);
        let one = partitions.get_mut("t", 0).expect("it is there");
        one.watermark.begin(4);
        one.watermark.done(4);
        assert_eq!(partitions.commit_list(|_| false).count(), 0);
        let list = partitions.commit_list(|_| true);
        assert_eq!(list.elements()[0].offset(), Offset::Offset(5));
        assert_eq!(partitions.commit_list(|_| true).count(), 0);
        partitions.forget_commits();
        assert_eq!(partitions.commit_list(|_| true).count(), 1);
    }

    #[test]
    fn a_start_is_committed_until_something_is_done() {
        let stats = Stats::new();
        let mut partitions = Partitions::default();
        partitions.insert(owned(1, &stats));
        let committed = |partitions: &mut Partitions| {
            let list = partitions.commit_list(|_| true);
            list.elements().first().map(|element| element.offset())
        };
        partitions.get_mut("t", 0).expect("it is there").start = Some(3);
        assert_eq!(committed(&mut partitions), Some(Offset::Offset(3)));
        assert_eq!(committed(&mut partitions), None);
        partitions.forget_commits();
        assert_eq!(committed(&mut partitions), Some(Offset::Offset(3)));
        let one = partitions.get_mut("t", 0).expect("it is there");
        one.watermark.begin(3);
        assert_eq!(committed(&mut partitions), None);
        let one = partitions.get_mut("t", 0).expect("it is there");
        one.watermark.done(3);
        assert_eq!(committed(&mut partitions), Some(Offset::Offset(4)));
    }
}
