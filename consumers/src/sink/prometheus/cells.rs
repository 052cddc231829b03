use super::page::vec_bytes;
use super::raw::RawKey;

/// The name of a series within its partition, as long as it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SeriesId(u32);

/// Where a series is: its page's place and the slot in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    pub fn new(page: usize, slot: usize) -> Self {
        Self((page as u32) << 5 | slot as u32)
    }

    pub fn page(self) -> usize {
        (self.0 >> 5) as usize
    }

    pub fn slot(self) -> usize {
        (self.0 & 31) as usize
    }
}

/// Of each series what every event needs: half a cache line, and all of them together in as few memory pages as possible,
/// because finding them is most of what an event costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// The hash of the event's JSON by which this series was found last, see [`super::raw`]; zeros for none.
    pub raw: RawKey,
    /// A counter or a gauge; a histogram is in its page.
    pub value: f64,
    /// When the last event arrived: seconds since the epoch.
    pub touched: u32,
    pub place: Place,
}

/// The cells of a partition.
#[derive(Default)]
pub(super) struct Cells {
    list: Vec<Cell>,
    vacant: Vec<SeriesId>,
}

impl Cells {
    /// A cell for a series at this place.
    pub fn insert(&mut self, place: Place, value: f64, touched: u32) -> SeriesId {
        let cell = Cell {
            raw: RawKey::default(),
            value,
            touched,
            place,
        };
        if let Some(id) = self.vacant.pop() {
            self[id] = cell;
            return id;
        }
        if self.list.len() == self.list.capacity() {
            self.list.reserve_exact(16 + self.list.len() / 4);
        }
        self.list.push(cell);
        SeriesId(self.list.len() as u32 - 1)
    }

    /// Frees the cell of a series that is no more.
    pub fn remove(&mut self, id: SeriesId) {
        self[id].raw = RawKey::default();
        self.vacant.push(id);
    }

    /// The memory that the cells occupy, in bytes.
    pub fn bytes(&self) -> usize {
        vec_bytes(&self.list) + vec_bytes(&self.vacant)
    }
}

impl std::ops::Index<SeriesId> for Cells {
    type Output = Cell;

    #[inline]
    fn index(&self, id: SeriesId) -> &Cell {
        &self.list[id.0 as usize]
    }
}

impl std::ops::IndexMut<SeriesId> for Cells {
    #[inline]
    fn index_mut(&mut self, id: SeriesId) -> &mut Cell {
        &mut self.list[id.0 as usize]
    }
}
