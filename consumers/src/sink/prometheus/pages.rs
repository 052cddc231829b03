use super::page::{Change, Page, vec_bytes};

/// The pages of a partition, and which of them the state topic does not have as they are.
///
/// What a write takes along is in flight until its transaction's end is known; what changes meanwhile is for the next
/// one. A page's id is used again only when the deletion of its records is committed.
#[derive(Default)]
pub(super) struct Pages {
    slab: Vec<Option<Box<Page>>>,
    /// By place: what has changed since the last write.
    changes: Vec<Change>,
    vacant: Vec<u32>,
    /// Whether there is a state topic.
    tracked: bool,
    /// The places where something has changed; some pages may have gone meanwhile.
    changed: Vec<u32>,
    in_flight: Vec<u32>,
    /// Ids of pages that are no more, their records not yet deleted.
    gone: Vec<u32>,
    gone_in_flight: Vec<u32>,
    free_ids: Vec<u32>,
    next_id: u32,
}

/// A part of a write.
pub(super) enum Written<'p> {
    /// A page's values, and its labels if it says so.
    Page(&'p Page, Change),
    /// A page that is no more.
    Gone(u32),
}

impl Pages {
    pub fn new(tracked: bool) -> Self {
        Self {
            tracked,
            ..Self::default()
        }
    }

    /// How many places there are; some may be vacant.
    pub fn places(&self) -> usize {
        self.slab.len()
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.slab.len() - self.vacant.len()
    }

    pub fn get(&self, index: usize) -> Option<&Page> {
        self.slab[index].as_deref()
    }

    /// All pages with their places.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Page)> {
        let pages = self.slab.iter().enumerate();
        pages.filter_map(|(index, page)| Some((index, page.as_deref()?)))
    }

    /// The page of a series or of a family.
    pub fn page(&self, index: usize) -> &Page {
        self.slab[index]
            .as_deref()
            .expect("series and families know only pages that exist")
    }

    pub fn page_mut(&mut self, index: usize) -> &mut Page {
        self.slab[index]
            .as_deref_mut()
            .expect("series and families know only pages that exist")
    }

    /// A new page for series of this family.
    pub fn create(&mut self, family: u32) -> usize {
        let id = self.free_ids.pop().unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id - 1
        });
        self.put(Page::new(id, family))
    }

    /// A page from the state topic.
    pub fn restore(&mut self, page: Page) -> usize {
        self.next_id = self.next_id.max(page.id.saturating_add(1));
        self.put(page)
    }

    fn put(&mut self, page: Page) -> usize {
        let page = Some(Box::new(page));
        match self.vacant.pop() {
            Some(index) => {
                self.slab[index as usize] = page;
                index as usize
            }
            None => {
                self.slab.push(page);
                self.changes.push(Change::Nothing);
                self.slab.len() - 1
            }
        }
    }

    /// Removes a page.
    pub fn free(&mut self, index: usize) {
        if let Some(page) = self.slab[index].take() {
            self.vacant.push(index as u32);
            self.changes[index] = Change::Nothing;
            self.forget(page.id);
        }
    }

    /// Has the records of a page deleted, if there can be any.
    pub fn forget(&mut self, id: u32) {
        if self.tracked {
            self.gone.push(id);
        } else {
            self.free_ids.push(id);
        }
    }

    /// Notes that a page has changed.
    #[inline]
    pub fn mark(&mut self, index: usize, change: Change) {
        let before = &mut self.changes[index];
        if *before < change && self.tracked {
            if *before == Change::Nothing {
                self.changed.push(index as u32);
            }
            *before = change;
        }
    }

    /// Whether there is anything to write.
    pub fn is_dirty(&self) -> bool {
        !self.changed.is_empty() || !self.gone.is_empty()
    }

    /// Begins a write: hands out everything that has changed.
    pub fn begin_write(&mut self, mut each: impl FnMut(Written<'_>)) {
        // The caller ends one write before the next; if it should not, the first counts for nothing.
        self.not_committed();
        self.gone_in_flight.append(&mut self.gone);
        for id in &self.gone_in_flight {
            each(Written::Gone(*id));
        }
        for index in self.changed.drain(..) {
            // The place may have been another page's when it was noted.
            let change = std::mem::replace(&mut self.changes[index as usize], Change::Nothing);
            let Some(page) = self.slab[index as usize].as_deref_mut() else {
                continue;
            };
            if change == Change::Nothing {
                continue;
            }
            each(Written::Page(page, change));
            page.in_flight = change;
            page.arriving = page.occupied;
            self.in_flight.push(index);
        }
    }

    /// What is in flight has arrived.
    pub fn committed(&mut self) {
        self.free_ids.append(&mut self.gone_in_flight);
        for index in self.in_flight.drain(..) {
            if let Some(page) = self.slab[index as usize].as_deref_mut() {
                page.shown |= std::mem::take(&mut page.arriving);
                page.in_flight = Change::Nothing;
            }
        }
    }

    /// What is in flight has not arrived, or nobody knows.
    pub fn not_committed(&mut self) {
        self.gone.append(&mut self.gone_in_flight);
        for index in std::mem::take(&mut self.in_flight) {
            if let Some(page) = self.slab[index as usize].as_deref_mut() {
                page.arriving = 0;
                let change = std::mem::replace(&mut page.in_flight, Change::Nothing);
                self.mark(index as usize, change);
            }
        }
    }

    /// Has everything written again.
    pub fn mark_all(&mut self) {
        for index in 0..self.slab.len() {
            if self.slab[index].is_some() {
                self.mark(index, Change::Members);
            }
        }
    }

    /// The memory that the pages occupy, in bytes.
    pub fn bytes(&self) -> usize {
        let pages: usize = self.iter().map(|(_, page)| page.bytes()).sum();
        pages
            + vec_bytes(&self.slab)
            + vec_bytes(&self.changes)
            + [
                &self.vacant,
                &self.changed,
                &self.in_flight,
                &self.gone,
                &self.gone_in_flight,
                &self.free_ids,
            ]
            .map(vec_bytes)
            .iter()
            .sum::<usize>()
    }
}
