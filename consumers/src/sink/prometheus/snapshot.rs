//! A partition's series at one offset, cheap to take: labels are shared, only values are copied.

use std::sync::Arc;

use bt_events::Kind;

/// The series of one partition at one offset, by family.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionSnapshot {
    /// In no particular order.
    pub families: Vec<FamilySnapshot>,
}

/// All series of one name in one partition.
#[derive(Debug, Clone)]
pub(crate) struct FamilySnapshot {
    pub family: Arc<FamilyInfo>,
    pub pages: Vec<PageSnapshot>,
}

/// What the series of one name have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FamilyInfo {
    pub name: Box<str>,
    pub kind: Kind,
    pub help: Option<Box<str>>,
    pub unit: Option<Box<str>>,
    /// A histogram's upper bounds, ascending, without +Inf; empty for others.
    pub buckets: Box<[f64]>,
}

/// Up to [`PAGE`] series of a family: the unit in which series are stored, written to the state topic, and shown.
#[derive(Debug, Clone)]
pub(crate) struct PageSnapshot {
    pub labels: Arc<PageLabels>,
    /// Bit `i` is set where slot `i` holds a series that may be shown.
    pub shown: u32,
    pub values: Values,
    /// Of counters, by slot; those of histograms are with their buckets.
    pub exemplars: Vec<(u8, Exemplar)>,
}

/// Slots of a page.
pub(crate) const PAGE: usize = 32;

impl FamilySnapshot {
    /// How many series it shows.
    pub fn shown(&self) -> usize {
        self.pages.iter().map(PageSnapshot::shown_count).sum()
    }
}

impl PageSnapshot {
    /// How many series it shows.
    pub fn shown_count(&self) -> usize {
        self.shown.count_ones() as usize
    }

    /// The slots that may be shown, ascending.
    pub fn shown_slots(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.shown;
        std::iter::from_fn(move || {
            let slot = left.trailing_zeros() as usize;
            // Takes the lowest bit away.
            left &= left.wrapping_sub(1);
            (slot < PAGE).then_some(slot)
        })
    }

    /// A counter's exemplar.
    pub fn exemplar(&self, slot: usize) -> Option<&Exemplar> {
        let mut exemplars = self.exemplars.iter();
        let found = exemplars.find(|(of, _)| usize::from(*of) == slot);
        found.map(|(_, exemplar)| exemplar)
    }
}

impl PageLabels {
    /// A slot's labels as they stand in the text format between the braces.
    pub fn of(&self, slot: usize) -> &str {
        let end = |slot: usize| {
            self.ends
                .get(slot)
                .map_or(self.text.len(), |&end| end as usize)
        };
        let begin = slot.checked_sub(1).map_or(0, end);
        &self.text[begin..end(slot)]
    }

    /// When a slot's series began, in milliseconds since the epoch, where that is known.
    pub fn created_of(&self, slot: usize) -> Option<i64> {
        self.created.get(slot).copied().filter(|&at| at > 0)
    }
}

/// What tells the series of a page apart. Immutable once shared.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageLabels {
    /// The labels of all slots as they stand in the text format between the braces, one after another.
    pub text: String,
    /// Where slot `i`'s labels end in `text`; they begin where those of `i - 1` end. [`PAGE`] long at most.
    pub ends: Vec<u32>,
    /// When each slot's series began: milliseconds since the epoch.
    pub created: Vec<i64>,
}

/// The values of a page's slots.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// Counters and gauges.
    Numbers(Box<[f64]>),
    Histograms(Box<[HistogramSnapshot]>),
}

/// One histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HistogramSnapshot {
    /// Observations by classic bucket, not cumulative, +Inf at the end.
    pub counts: Box<[u64]>,
    pub sum: f64,
    pub native: Native,
    /// By classic bucket; at most one each.
    pub exemplars: Vec<(u16, Exemplar)>,
}

impl HistogramSnapshot {
    /// The exemplar of a classic bucket.
    pub fn exemplar(&self, bucket: usize) -> Option<&Exemplar> {
        let mut exemplars = self.exemplars.iter();
        let found = exemplars.find(|(of, _)| usize::from(*of) == bucket);
        found.map(|(_, exemplar)| exemplar)
    }
}

impl Native {
    /// All observations.
    pub fn count(&self) -> u64 {
        let buckets = self.positive.iter().chain(&self.negative);
        self.zero_count + buckets.map(|(_, count)| count).sum::<u64>()
    }
}

/// The sparse exponential buckets of Prometheus' native histograms (standard schemas -4 to 8).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Native {
    pub schema: i8,
    /// Observations whose absolute value is at most `zero_threshold`.
    pub zero_count: u64,
    pub zero_threshold: f64,
    /// By index, ascending, not cumulative: bucket `i` holds `base^(i-1) < v <= base^i` with `base = 2^(2^-schema)`.
    pub positive: Vec<(i32, u64)>,
    /// The same by absolute value.
    pub negative: Vec<(i32, u64)>,
}

impl Default for Native {
    fn default() -> Self {
        Self {
            schema: 3,
            zero_count: 0,
            // client_golang's DefNativeHistogramZeroThreshold, 2^-128.
            zero_threshold: 2.938_735_877_055_719e-39,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

/// One observation with the trace that it belongs to (OpenMetrics).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exemplar {
    pub trace_id: Box<str>,
    pub value: f64,
    /// Milliseconds since the epoch.
    pub at: i64,
}
