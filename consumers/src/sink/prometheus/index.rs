use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::cells::{Cells, SeriesId};
use super::pages::Pages;
use super::raw::RawKey;

/// Finds series. It holds only their ids; what is compared stands in the cells and in the pages.
#[derive(Default)]
pub(super) struct Index {
    state: RandomState,
    by_labels: HashTable<SeriesId>,
    /// Those that an event's JSON has led to: each cell has the key that leads to it, so one that is free or another
    /// series' cannot be found by an old key.
    by_raw: HashTable<SeriesId>,
    /// Counts events of series that have another key already.
    changes: u32,
}

/// Where the things are that the index leads to.
#[derive(Clone, Copy)]
struct Known<'k> {
    state: &'k RandomState,
    pages: &'k Pages,
    cells: &'k Cells,
}

impl<'k> Known<'k> {
    fn family_and_labels(self, id: SeriesId) -> (u32, &'k str) {
        let place = self.cells[id].place;
        let page = self.pages.page(place.page());
        (page.family, page.labels.of(place.slot()))
    }

    fn hash(self, (family, labels): (u32, &str)) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(family);
        hasher.write(labels.as_bytes());
        hasher.finish()
    }
}

impl Index {
    /// The series whose events have this key.
    #[inline]
    pub fn by_raw(&self, key: RawKey, cells: &Cells) -> Option<SeriesId> {
        let found = |id: &SeriesId| cells[*id].raw == key;
        self.by_raw.find(key[0], found).copied()
    }

    /// The series with these labels.
    pub fn by_labels(
        &self,
        family: u32,
        labels: &str,
        pages: &Pages,
        cells: &Cells,
    ) -> Option<SeriesId> {
        let state = &self.state;
        let known = Known {
            state,
            pages,
            cells,
        };
        let wanted = (family, labels);
        let found = |id: &SeriesId| known.family_and_labels(*id) == wanted;
        self.by_labels.find(known.hash(wanted), found).copied()
    }

    /// Adds a series, which must not be there yet.
    pub fn insert(&mut self, id: SeriesId, pages: &Pages, cells: &Cells) {
        let state = &self.state;
        let known = Known {
            state,
            pages,
            cells,
        };
        let rehash = |id: &SeriesId| known.hash(known.family_and_labels(*id));
        self.by_labels.insert_unique(rehash(&id), id, rehash);
    }

    /// Remembers that events with this key are this series'. Where events of one series differ in their JSON, for example
    /// in the order of labels, a key gives way to another only now and then, so that they do not drive each other out.
    pub fn remember(&mut self, id: SeriesId, key: RawKey, cells: &mut Cells) {
        if cells[id].raw != RawKey::default() {
            self.changes = self.changes.wrapping_add(1);
            if !self.changes.is_multiple_of(8) {
                return;
            }
            self.forget(id, cells);
        }
        cells[id].raw = key;
        let rehash = |id: &SeriesId| cells[*id].raw[0];
        self.by_raw.insert_unique(key[0], id, rehash);
    }

    /// Removes a series, whose labels must still be there.
    pub fn remove(&mut self, id: SeriesId, pages: &Pages, cells: &mut Cells) {
        self.forget(id, cells);
        let state = &self.state;
        let known = Known {
            state,
            pages,
            cells,
        };
        let hash = known.hash(known.family_and_labels(id));
        if let Ok(entry) = self.by_labels.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    fn forget(&mut self, id: SeriesId, cells: &mut Cells) {
        let key = std::mem::take(&mut cells[id].raw);
        if let Ok(entry) = self.by_raw.find_entry(key[0], |other| *other == id) {
            entry.remove();
        }
    }

    /// Gives memory back when most of the series that there were have gone.
    pub fn shrink(&mut self, pages: &Pages, cells: &Cells) {
        if self.by_labels.capacity() > 64 + 4 * self.by_labels.len() {
            let state = &self.state;
            let known = Known {
                state,
                pages,
                cells,
            };
            self.by_labels
                .shrink_to_fit(|id| known.hash(known.family_and_labels(*id)));
            self.by_raw.shrink_to_fit(|id| cells[*id].raw[0]);
        }
    }

    /// The memory that the index occupies, in bytes.
    pub fn bytes(&self) -> usize {
        self.by_labels.allocation_size() + self.by_raw.allocation_size()
    }
}
