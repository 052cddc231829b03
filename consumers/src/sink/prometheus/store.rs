use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::exposition::Shown;
use super::series::PartitionSeries;
use super::snapshot::PartitionSnapshot;
use crate::pipeline::{Assignment, Lease};

/// The series of all partitions, shared by the poll thread and the scrapes. A scrape locks one partition at a time, for
/// as long as it takes to copy that one's values.
pub(crate) struct Store {
    partitions: RwLock<Partitions>,
    lease: Arc<Lease>,
    /// How often what is shown became less, or the lease began or ended; its lowest bit is whether the lease held then.
    epoch: AtomicU64,
}

/// By topic and partition.
type Partitions = BTreeMap<(Arc<str>, i32), Entry>;

struct Entry {
    generation: u64,
    shown: bool,
    series: Arc<Mutex<PartitionSeries>>,
}

impl Store {
    /// Shows nothing while the lease does not hold.
    pub fn new(lease: Arc<Lease>) -> Self {
        Self {
            partitions: RwLock::default(),
            lease,
            epoch: AtomicU64::new(0),
        }
    }

    /// Takes a partition in, shown or not.
    pub(super) fn insert(
        &self,
        assignment: &Assignment,
        series: PartitionSeries,
        shown: bool,
    ) -> Arc<Mutex<PartitionSeries>> {
        let series = Arc::new(Mutex::new(series));
        let entry = Entry {
            generation: assignment.generation,
            shown,
            series: series.clone(),
        };
        let key = (assignment.topic.clone(), assignment.partition);
        self.write().insert(key, entry);
        series
    }

    /// Shows a partition, or does not any more.
    pub(super) fn show(&self, assignment: &Assignment, shown: bool) {
        let key = (assignment.topic.clone(), assignment.partition);
        if let Some(entry) = self.write().get_mut(&key)
            && entry.generation == assignment.generation
        {
            entry.shown = shown;
        }
        if !shown {
            self.less();
        }
    }

    pub(super) fn remove(&self, assignment: &Assignment) {
        let key = (assignment.topic.clone(), assignment.partition);
        let mut partitions = self.write();
        if partitions
            .get(&key)
            .is_some_and(|entry| entry.generation == assignment.generation)
        {
            partitions.remove(&key);
        }
        drop(partitions);
        self.less();
    }

    /// How many partitions a scrape would show now.
    pub fn shown(&self) -> usize {
        if !self.lease.holds() {
            return 0;
        }
        let partitions = self.partitions.read();
        let partitions = partitions.unwrap_or_else(PoisonError::into_inner);
        partitions.values().filter(|entry| entry.shown).count()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Partitions> {
        self.partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn less(&self) {
        self.epoch.fetch_add(2, Ordering::AcqRel);
    }
}

impl Shown for Store {
    fn snapshots(&self) -> Vec<PartitionSnapshot> {
        if !self.lease.holds() {
            return Vec::new();
        }
        let shown: Vec<_> = {
            let partitions = self.partitions.read();
            let partitions = partitions.unwrap_or_else(PoisonError::into_inner);
            let shown = partitions.values().filter(|entry| entry.shown);
            shown.map(|entry| entry.series.clone()).collect()
        };
        shown.iter().map(|series| lock(series).snapshot()).collect()
    }

    fn epoch(&self) -> u64 {
        let holds = u64::from(self.lease.holds());
        let follow = |epoch: u64| (epoch & 1 != holds).then(|| (epoch + 2) ^ 1);
        match self
            .epoch
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, follow)
        {
            Ok(before) => (before + 2) ^ 1,
            Err(same) => same,
        }
    }
}

pub(super) fn lock(series: &Mutex<PartitionSeries>) -> MutexGuard<'_, PartitionSeries> {
    series.lock().unwrap_or_else(PoisonError::into_inner)
}
