//! The aggregate of one partition: events in, series out.

mod apply;

use std::sync::Arc;

use super::cells::{Cells, Place, SeriesId};
use super::family::Families;
use super::index::Index;
use super::labels::Labels;
use super::page::{Change, Page, bits};
use super::pages::Pages;
use super::raw::Keys;
use super::room::Room;
use super::snapshot::{FamilySnapshot, PartitionSnapshot};
use super::state::Loading;
pub(crate) use apply::Applied;

/// The partition that the events are from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub topic: Arc<str>,
    /// Tells a topic from an earlier one of the same name.
    pub topic_id: String,
    pub partition: i32,
}

/// What the series of all partitions have in common.
#[derive(Debug)]
pub(crate) struct SeriesSettings {
    /// Upper bounds for histograms whose events name none.
    pub histogram_buckets: Box<[f64]>,
    /// Whether new series are shown only when they are committed.
    pub exactly_once: bool,
}

/// What is known of an event's Kafka record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordTime {
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// The series of one partition.
///
/// With exactly-once, a new series is hidden until the commit that holds it, and a removed one leaves the state with the
/// next commit: whatever was shown once, the next owner of the partition shows too, or has committed its end.
pub(crate) struct PartitionSeries {
    pub(super) source: Source,
    /// `,source="topic/partition"`.
    pub(super) source_label: Box<str>,
    settings: Arc<SeriesSettings>,
    pub(super) families: Families,
    pub(super) pages: Pages,
    pub(super) cells: Cells,
    index: Index,
    keys: Keys,
    labels: Labels,
    len: usize,
    /// While the state is read.
    pub(super) loading: Option<Loading>,
}

impl PartitionSeries {
    /// No series yet.
    pub fn new(source: Source, settings: Arc<SeriesSettings>) -> Self {
        // A topic's name has no character that needs an escape.
        let source_label = format!(",source=\"{}/{}\"", source.topic, source.partition);
        Self {
            source,
            source_label: source_label.into(),
            families: Families::default(),
            pages: Pages::new(settings.exactly_once),
            settings,
            cells: Cells::default(),
            index: Index::default(),
            keys: Keys::default(),
            labels: Labels::default(),
            len: 0,
            loading: None,
        }
    }

    /// Removes series without an event since `before`, in seconds since the epoch; returns how many.
    pub fn expire(&mut self, before: u32, room: &mut Room) -> usize {
        let had = self.len;
        for index in 0..self.pages.places() {
            let page = self.pages.get(index);
            let stale = page.map_or(0, |page| page.stale(&self.cells, before));
            if stale != 0 {
                self.remove(index, stale);
            }
        }
        let expired = had - self.len;
        if expired > 0 {
            self.index.shrink(&self.pages, &self.cells);
            room.release(expired);
        }
        expired
    }

    fn remove(&mut self, index: usize, gone: u32) {
        let Some(page) = self.pages.get(index) else {
            return;
        };
        for slot in bits(gone) {
            let id = page.series[slot];
            self.index.remove(id, &self.pages, &mut self.cells);
            self.cells.remove(id);
            self.len -= 1;
        }
        let page = self.pages.page_mut(index);
        page.remove(gone);
        let id = page.family;
        let was_open = std::mem::replace(&mut page.open, true);
        let empty = page.occupied == 0;
        let family = self.families.get_mut(id);
        if empty {
            family.open.retain(|open| *open as usize != index);
            family.pages -= 1;
            if family.pages == 0 {
                self.families.remove(id);
            }
            self.pages.free(index);
        } else {
            if !was_open {
                family.open.push(index as u32);
            }
            self.pages.mark(index, Change::Members);
        }
    }

    /// Removes everything; returns how many series there were.
    pub(super) fn clear(&mut self) -> usize {
        let had = self.len;
        for index in 0..self.pages.places() {
            if let Some(page) = self.pages.get(index) {
                self.remove(index, page.occupied);
            }
        }
        had
    }

    /// Takes in a page from the state with its series' numbers and when they were touched, unless one of the series is
    /// there already.
    pub(super) fn adopt(&mut self, page: Page, numbers: &[f64], touched: &[u32]) -> bool {
        let family = page.family;
        let occupied = page.occupied;
        let open = !page.is_full();
        let index = self.pages.restore(Page { open, ..page });
        let of_family = self.families.get_mut(family);
        of_family.pages += 1;
        if open {
            of_family.open.push(index as u32);
        }
        for (slot, (number, touched)) in numbers.iter().zip(touched).enumerate() {
            let place = Place::new(index, slot);
            let id = match occupied & 1 << slot {
                0 => SeriesId::default(),
                _ => self.cells.insert(place, *number, *touched),
            };
            self.pages.page_mut(index).series.push(id);
        }
        let mut twice = false;
        for slot in bits(occupied) {
            let page = self.pages.page(index);
            let (id, labels) = (page.series[slot], page.labels.of(slot));
            let known = self
                .index
                .by_labels(family, labels, &self.pages, &self.cells);
            twice |= known.is_some();
            self.index.insert(id, &self.pages, &self.cells);
        }
        self.len += occupied.count_ones() as usize;
        !twice
    }

    /// The series that may be shown.
    pub fn snapshot(&self) -> PartitionSnapshot {
        let mut pages = vec![Vec::new(); self.families.places()];
        for (_, page) in self.pages.iter().filter(|(_, page)| page.shown != 0) {
            let kind = self.families.get(page.family).info.kind;
            pages[page.family as usize].push(page.snapshot(&self.cells, kind));
        }
        let families = pages.into_iter().enumerate();
        let families = families
            .filter(|(_, pages)| !pages.is_empty())
            .map(|(id, pages)| FamilySnapshot {
                family: self.families.get(id as u32).info.clone(),
                pages,
            });
        PartitionSnapshot {
            families: families.collect(),
        }
    }

    /// How many series there are, hidden ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The memory that the series occupy, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.families.bytes()
            + self.pages.bytes()
            + self.cells.bytes()
            + self.index.bytes()
            + self.labels.bytes()
    }
}

#[cfg(test)]
mod tests;
