use std::hash::BuildHasher;
use std::sync::Arc;

use bt_events::Kind;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::page::{allocated, vec_bytes};
use super::sample::{OWN, Sample};
use super::snapshot::FamilyInfo;
use crate::sink::Rejection;

/// The longest name, in bytes.
const MAX_NAME: usize = 256;
/// What samples of a family have behind its name.
const SUFFIXES: [&str; 5] = ["_total", "_created", "_bucket", "_sum", "_count"];

/// The families of a partition.
#[derive(Default)]
pub(super) struct Families {
    state: RandomState,
    by_name: HashTable<u32>,
    list: Vec<Option<Family>>,
    vacant: Vec<u32>,
}

/// All series of one name.
pub(super) struct Family {
    pub info: Arc<FamilyInfo>,
    /// How many pages it has.
    pub pages: usize,
    /// Places of those with a free slot.
    pub open: Vec<u32>,
}

impl Families {
    /// How many places there are; some may be vacant.
    pub fn places(&self) -> usize {
        self.list.len()
    }

    /// A family that has series.
    pub fn get(&self, id: u32) -> &Family {
        self.list[id as usize]
            .as_ref()
            .expect("a page's family exists")
    }

    pub fn get_mut(&mut self, id: u32) -> &mut Family {
        self.list[id as usize]
            .as_mut()
            .expect("a page's family exists")
    }

    /// The family of this name.
    pub fn by_name(&self, name: &str) -> Option<u32> {
        let found = |id: &u32| *self.get(*id).info.name == *name;
        self.by_name.find(self.state.hash_one(name), found).copied()
    }

    /// The family that this sample belongs to, `None` where it would be the first of a new one.
    pub fn check(&self, sample: &Sample<'_>) -> Result<Option<u32>, Rejection> {
        let Sample { name, own, .. } = *sample;
        let kind = sample.update.kind();
        let Some(id) = self.by_name(name).filter(|_| own || !OWN.contains(&name)) else {
            return self.check_new(name, kind, own).map(|()| None);
        };
        let info = &self.get(id).info;
        if info.kind != kind {
            let clash = format!("{name} is a {:?} here already, found a {kind:?}", info.kind);
            return Err(Rejection::new("type_clash", clash));
        }
        match sample.buckets {
            Some(buckets) if kind == Kind::Histogram && *buckets != *info.buckets => {
                Err(Rejection::new(
                    "bucket_clash",
                    format!(
                        "{name} has the buckets {:?} here already, found {buckets:?}",
                        info.buckets
                    ),
                ))
            }
            _ => Ok(Some(id)),
        }
    }

    /// Whether a new family may have this name: valid, and none of its samples named like another's.
    fn check_new(&self, name: &str, kind: Kind, own: bool) -> Result<(), Rejection> {
        if !is_metric_name(name) || name.len() > MAX_NAME {
            let shown: String = name.chars().take(MAX_NAME).collect();
            return Err(Rejection::new(
                "invalid_name",
                format!(
                    "the metric name {shown:?} must match [a-zA-Z_:][a-zA-Z0-9_:]* and have at most {MAX_NAME} bytes"
                ),
            ));
        }
        for sample in std::iter::once(name.to_owned()).chain(further_names(name, kind)) {
            if !own && OWN.contains(&&*sample) {
                return Err(Rejection::new(
                    "reserved_name",
                    format!("{name}: the metric name {sample} is the consumer's own"),
                ));
            }
            if let Some(other) = self.owner(&sample) {
                return Err(Rejection::new(
                    "type_clash",
                    format!(
                        "{name}: the sample name {sample} belongs to {} here already, a {:?}",
                        other.name, other.kind
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The family that shows samples of this name.
    fn owner(&self, sample: &str) -> Option<&FamilyInfo> {
        let info = |name: &str| self.by_name(name).map(|id| &*self.get(id).info);
        if let Some(owner) = info(sample) {
            return Some(owner);
        }
        SUFFIXES
            .iter()
            .filter_map(|suffix| sample.strip_suffix(suffix))
            .flat_map(|base| [info(base), info(&format!("{base}_total"))])
            .flatten()
            .find(|owner| further_names(&owner.name, owner.kind).any(|name| name == sample))
    }

    /// Adds a family without pages.
    pub fn insert(&mut self, info: FamilyInfo) -> u32 {
        let family = Some(Family {
            info: Arc::new(info),
            pages: 0,
            open: Vec::new(),
        });
        let id = match self.vacant.pop() {
            Some(id) => {
                self.list[id as usize] = family;
                id
            }
            None => {
                self.list.push(family);
                self.list.len() as u32 - 1
            }
        };
        let Self {
            state,
            by_name,
            list,
            ..
        } = self;
        let rehash = |id: &u32| {
            let family = list[*id as usize].as_ref();
            state.hash_one(&*family.expect("it is in the table").info.name)
        };
        by_name.insert_unique(rehash(&id), id, rehash);
        id
    }

    /// Removes a family whose last page has gone.
    pub fn remove(&mut self, id: u32) {
        let hash = self.state.hash_one(&*self.get(id).info.name);
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.list[id as usize] = None;
        self.vacant.push(id);
    }

    /// Fills in what the family's first event did not say.
    pub fn complete(&mut self, id: u32, help: Option<&str>, unit: Option<&str>) {
        let info = &mut self.get_mut(id).info;
        if info.help.is_none() && help.is_some() {
            Arc::make_mut(info).help = help.map(Into::into);
        }
        if info.unit.is_none() && unit.is_some() {
            Arc::make_mut(info).unit = unit.map(Into::into);
        }
    }

    /// The memory that the families occupy, in bytes.
    pub fn bytes(&self) -> usize {
        let families = self.list.iter().flatten().map(|family| {
            let FamilyInfo {
                name,
                help,
                unit,
                buckets,
                ..
            } = &*family.info;
            let text = |text: &Option<Box<str>>| allocated(text.as_ref().map_or(0, |t| t.len()));
            allocated(size_of::<FamilyInfo>() + 2 * size_of::<usize>())
                + allocated(name.len())
                + text(help)
                + text(unit)
                + allocated(size_of_val(&**buckets))
                + vec_bytes(&family.open)
        });
        families.sum::<usize>()
            + vec_bytes(&self.list)
            + vec_bytes(&self.vacant)
            + self.by_name.allocation_size()
    }
}

/// The names of a family's samples besides its own, as OpenMetrics has them. A counter named without `_total` keeps both
/// possibilities.
fn further_names(name: &str, kind: Kind) -> impl Iterator<Item = String> {
    let (base, suffixes): (&str, &[&str]) = match (kind, name.strip_suffix("_total")) {
        (Kind::Gauge, _) => (name, &[]),
        (Kind::Counter, Some(base)) if !base.is_empty() => (base, &["_created"]),
        (Kind::Counter, _) => (name, &["_total", "_created"]),
        (Kind::Histogram, _) => (name, &["_bucket", "_sum", "_count", "_created"]),
    };
    suffixes.iter().map(move |suffix| format!("{base}{suffix}"))
}

/// Prometheus' rule for metric names.
pub(super) fn is_metric_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}
