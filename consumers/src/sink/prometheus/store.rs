use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::render::{Format, Page};
use super::series::PartitionSeries;
use crate::pipeline::Assignment;

/// The series of all partitions, shared by the poll thread and the scrapes. A scrape locks one partition at a time,
/// for as long as it takes to write that one's series down.
pub(crate) struct Store {
    partitions: RwLock<BTreeMap<u64, Arc<Mutex<PartitionSeries>>>>,
    series: AtomicUsize,
    max_series: usize,
}

impl Store {
    pub fn new(max_series: u32) -> Self {
        Self {
            partitions: RwLock::default(),
            series: AtomicUsize::new(0),
            max_series: max_series as usize,
        }
    }

    /// Everything, for a scrape.
    pub fn render(&self, format: Format) -> Vec<u8> {
        let partitions: Vec<_> = {
            let map = self
                .partitions
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            map.values().cloned().collect()
        };
        let mut page = Page::new(format);
        for partition in partitions {
            page.add(&partition.lock().unwrap_or_else(PoisonError::into_inner));
        }
        page.finish()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    pub(super) fn insert(&self, assignment: &Assignment) -> Arc<Mutex<PartitionSeries>> {
        let series = Arc::<Mutex<PartitionSeries>>::default();
        self.partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(assignment.generation, series.clone());
        series
    }

    pub(super) fn remove(&self, assignment: &Assignment) {
        let removed = self
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&assignment.generation);
        if let Some(series) = removed {
            self.release(series.lock().unwrap_or_else(PoisonError::into_inner).len());
        }
    }

    /// Takes the room for one more series. Only the poll thread does.
    pub(super) fn reserve(&self) -> bool {
        let room = self.series() < self.max_series;
        if room {
            self.series.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    pub(super) fn release(&self, series: usize) {
        self.series.fetch_sub(series, Ordering::Relaxed);
    }
}
