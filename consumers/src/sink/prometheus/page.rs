use std::sync::Arc;

use bt_events::Kind;

use super::cells::{Cells, SeriesId};
use super::sample::Traced;
use super::snapshot::{
    Exemplar, FamilyInfo, HistogramSnapshot, PAGE, PageLabels, PageSnapshot, Values,
};

/// What of a page differs from the state topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Nothing,
    Values,
    /// Series came or went, so both records are written.
    Members,
}

/// Up to [`PAGE`] series of one family.
pub(super) struct Page {
    /// The page's name in the state topic.
    pub id: u32,
    /// Among the partition's families.
    pub family: u32,
    /// Bit `i` is set where slot `i` holds a series; so for the other two.
    pub occupied: u32,
    /// Those that may be shown.
    pub shown: u32,
    /// Those that will be shown when what is on its way to Kafka is committed.
    pub arriving: u32,
    /// In the write that is on its way.
    pub in_flight: Change,
    /// Whether the family knows that there is a free slot.
    pub open: bool,
    pub labels: Arc<PageLabels>,
    /// The series by slot; where none is, what was there means nothing.
    pub series: Vec<SeriesId>,
    /// By slot; empty where the family is no histogram.
    pub histograms: Vec<HistogramSnapshot>,
    /// Of counters, by slot.
    pub exemplars: Vec<(u8, Exemplar)>,
}

/// The sum would not be finite any more.
#[derive(Debug)]
pub(super) struct Overflow;

impl Page {
    /// An empty page.
    pub fn new(id: u32, family: u32) -> Self {
        Self {
            id,
            family,
            occupied: 0,
            shown: 0,
            arriving: 0,
            in_flight: Change::Nothing,
            open: false,
            labels: Arc::default(),
            series: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.occupied == u32::MAX
    }

    /// The first slot without a series, of which there must be one.
    pub fn free_slot(&self) -> usize {
        (!self.occupied).trailing_zeros() as usize
    }

    /// Puts a series without observations into a free slot.
    pub fn add(
        &mut self,
        slot: usize,
        series: SeriesId,
        info: &FamilyInfo,
        labels: &str,
        created: i64,
    ) {
        if slot == self.series.len() {
            self.series.push(series);
        } else {
            self.series[slot] = series;
        }
        if info.kind == Kind::Histogram {
            let empty = HistogramSnapshot {
                counts: vec![0; info.buckets.len() + 1].into(),
                ..HistogramSnapshot::default()
            };
            if slot == self.histograms.len() {
                self.histograms.push(empty);
            } else {
                self.histograms[slot] = empty;
            }
        }
        self.occupied |= 1 << slot;
        Arc::make_mut(&mut self.labels).insert(slot, labels, created);
    }

    /// Takes series away.
    pub fn remove(&mut self, gone: u32) {
        self.occupied &= !gone;
        self.shown &= !gone;
        self.arriving &= !gone;
        for slot in bits(gone) {
            if let Some(histogram) = self.histograms.get_mut(slot) {
                *histogram = HistogramSnapshot::default();
            }
        }
        self.exemplars.retain(|(slot, _)| gone & 1 << slot == 0);
        self.labels = Arc::new(self.labels.without(gone));
    }

    /// Counts an observation of a histogram with these buckets.
    pub fn observe(
        &mut self,
        slot: usize,
        value: f64,
        buckets: &[f64],
        traced: Option<Traced<'_>>,
    ) -> Result<(), Overflow> {
        let histogram = &mut self.histograms[slot];
        let sum = histogram.sum + value;
        if !sum.is_finite() {
            return Err(Overflow);
        }
        histogram.sum = sum;
        let bucket = buckets.partition_point(|bound| *bound < value);
        histogram.counts[bucket] += 1;
        histogram.native.observe(value);
        if let Some(traced) = traced {
            traced.keep(&mut histogram.exemplars, bucket as u16, value);
        }
        Ok(())
    }

    /// Keeps the trace of a counter's increment.
    pub fn trace(&mut self, slot: usize, value: f64, traced: Traced<'_>) {
        traced.keep(&mut self.exemplars, slot as u8, value);
    }

    /// The series without an event since `before`.
    pub fn stale(&self, cells: &Cells, before: u32) -> u32 {
        bits(self.occupied)
            .filter(|slot| cells[self.series[*slot]].touched < before)
            .fold(0, |stale, slot| stale | 1 << slot)
    }

    /// The page for a scrape.
    pub fn snapshot(&self, cells: &Cells, kind: Kind) -> PageSnapshot {
        PageSnapshot {
            labels: self.labels.clone(),
            shown: self.shown,
            values: match kind {
                Kind::Histogram => Values::Histograms(self.histograms.clone().into()),
                _ => {
                    let mut numbers = vec![0.0; self.series.len()];
                    for slot in bits(self.occupied) {
                        numbers[slot] = cells[self.series[slot]].value;
                    }
                    Values::Numbers(numbers.into())
                }
            },
            exemplars: self.exemplars.clone(),
        }
    }

    /// The memory that the page occupies, in bytes.
    pub fn bytes(&self) -> usize {
        let exemplar = |exemplar: &Exemplar| allocated(exemplar.trace_id.len());
        let histograms: usize = self
            .histograms
            .iter()
            .map(|h| {
                allocated(size_of_val(&*h.counts))
                    + vec_bytes(&h.native.positive)
                    + vec_bytes(&h.native.negative)
                    + vec_bytes(&h.exemplars)
                    + h.exemplars.iter().map(|(_, e)| exemplar(e)).sum::<usize>()
            })
            .sum();
        allocated(size_of::<Self>())
            + allocated(size_of::<PageLabels>() + 2 * size_of::<usize>())
            + allocated(self.labels.text.capacity())
            + vec_bytes(&self.labels.ends)
            + vec_bytes(&self.labels.created)
            + vec_bytes(&self.series)
            + vec_bytes(&self.histograms)
            + histograms
            + vec_bytes(&self.exemplars)
            + self
                .exemplars
                .iter()
                .map(|(_, e)| exemplar(e))
                .sum::<usize>()
    }
}

impl PageLabels {
    /// Gives a slot its labels, either the one after the last or one that has none.
    fn insert(&mut self, slot: usize, labels: &str, created: i64) {
        let text = &mut self.text;
        // Grows by halves, and what is too much goes when the page is full: text is most of a series' memory.
        if text.capacity() - text.len() < labels.len() {
            text.reserve_exact(labels.len() + text.len() / 2);
        }
        if slot == self.ends.len() {
            text.push_str(labels);
            self.ends.push(text.len() as u32);
            self.created.push(created);
        } else {
            let start = slot.checked_sub(1).map_or(0, |before| self.ends[before]);
            text.insert_str(start as usize, labels);
            for end in &mut self.ends[slot..] {
                *end += labels.len() as u32;
            }
            self.created[slot] = created;
        }
        if self.ends.len() == PAGE {
            text.shrink_to_fit();
        }
    }

    fn without(&self, gone: u32) -> Self {
        let mut left = Self {
            text: String::with_capacity(self.text.len()),
            ends: Vec::with_capacity(self.ends.len()),
            created: self.created.clone(),
        };
        for slot in 0..self.ends.len() {
            if gone & 1 << slot == 0 {
                left.text.push_str(self.of(slot));
            } else {
                left.created[slot] = 0;
            }
            left.ends.push(left.text.len() as u32);
        }
        left.text.shrink_to_fit();
        left
    }
}

/// The places of the bits that are set, ascending.
pub(super) fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            bit
        })
    })
}

/// What the allocator takes for so many bytes: a word more, in multiples of 16.
pub(super) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + size_of::<usize>()).next_multiple_of(16).max(32),
    }
}

pub(super) fn vec_bytes<T>(vec: &Vec<T>) -> usize {
    allocated(vec.capacity() * size_of::<T>())
}
