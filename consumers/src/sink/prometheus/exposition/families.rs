//! The families of all partitions as one list in which no name stands for two things.

use bt_events::Kind;

use crate::sink::prometheus::snapshot::{FamilySnapshot, PartitionSnapshot};

/// What a histogram's name is shown with.
const PARTS: [&str; 4] = ["_bucket", "_sum", "_count", "_created"];

/// What a page consists of.
pub(super) struct Families<'s> {
    /// Sorted by name.
    list: Vec<Family<'s>>,
    /// Series that are in no family, see [`super::Page::hidden`].
    pub hidden: usize,
}

/// The series of one name and kind in all partitions.
pub(super) struct Family<'s> {
    pub name: &'s str,
    pub kind: Kind,
    /// Where partitions differ, the first one's.
    pub help: Option<&'s str>,
    /// Where partitions differ, the first one's; only where the name ends in it, as OpenMetrics and Prometheus'
    /// protobuf parser demand.
    pub unit: Option<&'s str>,
    pub parts: Vec<&'s FamilySnapshot>,
    series: usize,
}

impl<'s> Families<'s> {
    /// Where partitions differ in the kind of a family, the kind with more series is shown, as one name with two types
    /// would have the whole page refused; of equally many the first. The same goes for a family that has the name of a
    /// histogram's part.
    pub fn merge(partitions: &'s [PartitionSnapshot]) -> Self {
        let mut all: Vec<_> = partitions
            .iter()
            .flat_map(|partition| &partition.families)
            .map(|family| (&*family.family.name, family, family.shown()))
            .filter(|(_, _, shown)| *shown > 0)
            .collect();
        // A stable sort: the partitions' order is kept.
        all.sort_by_key(|(name, ..)| *name);
        let mut hidden = 0;
        let list = all
            .chunk_by(|a, b| a.0 == b.0)
            .map(|same_name| {
                let of_kind = |kind| {
                    same_name
                        .iter()
                        .filter(move |(_, f, _)| f.family.kind == kind)
                };
                let series = |kind| of_kind(kind).map(|(.., shown)| shown).sum::<usize>();
                let mut kind = same_name[0].1.family.kind;
                for (_, other, _) in same_name {
                    if series(other.family.kind) > series(kind) {
                        kind = other.family.kind;
                    }
                }
                let shown = series(kind);
                hidden += same_name.iter().map(|(.., shown)| shown).sum::<usize>() - shown;
                Family::new(of_kind(kind).map(|(_, family, _)| *family).collect(), shown)
            })
            .collect();
        let mut families = Self { list, hidden };
        families.resolve_parts();
        families
    }

    fn resolve_parts(&mut self) {
        let mut dropped = vec![false; self.list.len()];
        for (index, histogram) in self.list.iter().enumerate() {
            if histogram.kind != Kind::Histogram || dropped[index] {
                continue;
            }
            let clashing: Vec<usize> = PARTS
                .iter()
                .filter_map(|part| self.position(&format!("{}{part}", histogram.name)))
                .filter(|&other| !dropped[other])
                .collect();
            let theirs: usize = clashing.iter().map(|&other| self.list[other].series).sum();
            if theirs > histogram.series {
                dropped[index] = true;
            } else {
                clashing.iter().for_each(|&other| dropped[other] = true);
            }
        }
        let mut dropped = dropped.into_iter();
        self.list.retain(|family| {
            let keep = !dropped.next().expect("there is one for each family");
            self.hidden += if keep { 0 } else { family.series };
            keep
        });
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Family<'s>> {
        self.list.iter()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.list.binary_search_by_key(&name, |f| f.name).ok()
    }

    fn has(&self, name: &str, kind: Kind) -> bool {
        self.position(name)
            .is_some_and(|index| self.list[index].kind == kind)
    }

    /// The name without `_total` of a counter's family in OpenMetrics. `None` where the counter's name does not end so,
    /// or where the family's names would be another's: it is of unknown type there.
    pub fn counter_base<'n>(&self, name: &'n str) -> Option<&'n str> {
        let base = name
            .strip_suffix("_total")
            .filter(|base| !base.is_empty())?;
        let of_histogram = PARTS
            .iter()
            .filter_map(|part| base.strip_suffix(part))
            .any(|histogram| self.has(histogram, Kind::Histogram));
        let of_counter = base
            .strip_suffix("_created")
            .is_some_and(|counter| self.has(&format!("{counter}_total"), Kind::Counter));
        let taken = of_histogram
            || of_counter
            || self.position(base).is_some()
            || self.position(&format!("{base}_created")).is_some();
        (!taken).then_some(base)
    }
}

impl<'s> Family<'s> {
    /// Of at least one part.
    fn new(parts: Vec<&'s FamilySnapshot>, series: usize) -> Self {
        let info = &parts[0].family;
        let first = |text: fn(&FamilySnapshot) -> Option<&str>| {
            let mut texts = parts.iter().filter_map(|part| text(part));
            texts.find(|text| !text.is_empty())
        };
        let unit = first(|part| part.family.unit.as_deref());
        let base = match info.kind {
            Kind::Counter => info.name.strip_suffix("_total").unwrap_or(&info.name),
            Kind::Gauge | Kind::Histogram => &info.name,
        };
        Self {
            name: &info.name,
            kind: info.kind,
            help: first(|part| part.family.help.as_deref()),
            unit: unit.filter(|unit| {
                base.strip_suffix(unit)
                    .is_some_and(|rest| rest.ends_with('_'))
            }),
            series,
            parts,
        }
    }
}
