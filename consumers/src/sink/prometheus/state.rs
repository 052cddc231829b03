//! A partition's series in the state topic: what is written with each commit, and reading it back.
//!
//! Records hold absolute values, so that one that is written twice, or whose transaction turns out to have been committed
//! after all, does no harm.

mod codec;
mod format;

use std::collections::HashMap;

use bt_events::Kind;

use self::format::{LABELS, META, VALUES, VERSION};
use super::page::{Change, Page, bits};
use super::pages::Written;
use super::room::Room;
use super::series::PartitionSeries;
use super::snapshot::FamilyInfo;

/// Page ids are far below; a record with a larger one is not ours.
const MAX_PAGE_ID: u32 = 1 << 31;

/// One record for the state topic; without a value it deletes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRecord {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What the state was committed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The source partition's next offset: everything below is in the series.
    pub offset: i64,
    /// Of the source topic.
    pub topic_id: String,
    /// How many pages belong to it.
    pub pages: u64,
    /// The format's version.
    pub format: u16,
}

/// The end of a restore.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// `None` where the partition has no state.
    pub meta: Option<Meta>,
}

/// Why the state cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// Another version of this program wrote it.
    #[error(
        "the state topic has records of format {found}, this version knows formats up to {known}: run the version that \
         wrote them or a later one, or delete the state topic to begin with empty series"
    )]
    Newer { found: u8, known: u8 },
    /// It is not what this program writes.
    #[error("the state topic is damaged: {what}; delete the topic to begin with empty series")]
    Corrupt { what: String },
}

impl StateError {
    fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    fn of_page(id: u32, what: &str) -> Self {
        Self::corrupt(format!("page {id}: {what}"))
    }
}

/// The records that were read so far, of each key the last.
#[derive(Default)]
pub(super) struct Loading {
    meta: Option<Meta>,
    pages: HashMap<u32, Records>,
}

#[derive(Default)]
struct Records {
    labels: Option<Box<[u8]>>,
    values: Option<Box<[u8]>>,
}

impl PartitionSeries {
    /// Takes the next record of the state's partition; records of other source topics are passed over.
    ///
    /// # Errors
    /// When the record is of a later format, or none of ours. The series are of no use then, except to be discarded.
    pub fn load(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        let Some(parts) = format::Key::read(key) else {
            // Somebody else's; what is missing of ours is noticed all the same.
            return Ok(());
        };
        let page = <[u8; 4]>::try_from(parts.rest).map(u32::from_be_bytes);
        let page = page.ok().filter(|id| *id < MAX_PAGE_ID);
        let is_ours = match parts.kind {
            META => parts.rest.is_empty(),
            LABELS | VALUES => page.is_some(),
            // A later version may have more kinds.
            _ => true,
        };
        if !is_ours || parts.topic != self.source.topic.as_bytes() {
            return Ok(());
        }
        check_version(value)?;
        let loading = self.loading.get_or_insert_default();
        match parts.kind {
            META => {
                loading.meta = match value {
                    Some(value) => {
                        let (offset, pages, topic_id) = format::read_meta(value)
                            .map_err(|what| StateError::corrupt(format!("the offset: {what}")))?;
                        Some(Meta {
                            offset,
                            topic_id,
                            pages,
                            format: u16::from(value[0]),
                        })
                    }
                    None => None,
                };
            }
            LABELS | VALUES => {
                let Some(id) = page else { return Ok(()) };
                let records = loading.pages.entry(id).or_default();
                let record = match parts.kind {
                    LABELS => &mut records.labels,
                    _ => &mut records.values,
                };
                *record = value.map(Into::into);
                if records.labels.is_none() && records.values.is_none() {
                    loading.pages.remove(&id);
                }
            }
            // A later version may have deleted what only it knows.
            _ if value.is_none() => {}
            kind => {
                return Err(StateError::corrupt(format!(
                    "a record is of the unknown kind {kind}"
                )));
            }
        }
        Ok(())
    }

    /// Ends loading: the series are those of the records, all of them committed and hence to be shown. They take their
    /// room whether there is any or not.
    ///
    /// # Errors
    /// When the records contradict each other. The series are of no use then, except to be discarded.
    pub fn loaded(&mut self, room: &mut Room) -> Result<Loaded, StateError> {
        let Some(loading) = &mut self.loading else {
            return Ok(Loaded { meta: None });
        };
        let meta = loading.meta.take();
        let found = loading.pages.len() as u64;
        let expected = meta.as_ref().map_or(0, |meta| meta.pages);
        if found != expected {
            // A topic that was deleted and made anew in between, or that somebody has cut.
            return Err(StateError::corrupt(format!(
                "it holds {found} of {expected} pages"
            )));
        }
        let mut ids: Vec<u32> = loading.pages.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let records = self
                .loading
                .as_mut()
                .and_then(|loading| loading.pages.remove(&id))
                .unwrap_or_default();
            if let Err(what) = self.restore_page(id, &records) {
                // Known to be there, for it to be deleted if the series are discarded.
                self.pages.forget(id);
                return Err(StateError::of_page(id, what));
            }
        }
        self.loading = None;
        room.restored(self.len());
        Ok(Loaded { meta })
    }

    fn restore_page(&mut self, id: u32, records: &Records) -> Result<(), &'static str> {
        let (Some(labels), Some(values)) = (&records.labels, &records.values) else {
            return Err("one of its records is missing");
        };
        let labels = format::read_labels(labels, &self.source_label)?;
        let values = format::read_values(values)?;
        let info = &labels.info;
        let counts = |slot: usize| values.histograms[slot].counts.len();
        if labels.occupied != values.occupied {
            return Err("labels and values are of different series");
        }
        if values.has_histograms != (info.kind == Kind::Histogram)
            || values.has_histograms
                && bits(values.occupied).any(|slot| counts(slot) != info.buckets.len() + 1)
        {
            return Err("the values are not of the metric's kind");
        }
        let negative = |slot: usize| values.numbers[slot] < 0.0;
        if info.kind == Kind::Counter && bits(values.occupied).any(negative) {
            return Err("a counter is negative");
        }
        let family = self.restore_family(labels.info)?;
        let page = Page {
            occupied: labels.occupied,
            shown: labels.occupied,
            labels: labels.labels.into(),
            histograms: values.histograms,
            ..Page::new(id, family)
        };
        match self.adopt(page, &values.numbers, &values.touched) {
            true => Ok(()),
            false => Err("a series is there twice"),
        }
    }

    fn restore_family(&mut self, info: FamilyInfo) -> Result<u32, &'static str> {
        let Some(id) = self.families.by_name(&info.name) else {
            return Ok(self.families.insert(info));
        };
        let known = &self.families.get(id).info;
        if known.kind != info.kind || known.buckets != info.buckets {
            return Err("its metric's kind or buckets are not those of another page");
        }
        let (help, unit) = (info.help.as_deref(), info.unit.as_deref());
        self.families.complete(id, help, unit);
        Ok(id)
    }

    /// Whether anything has changed since the last write.
    pub fn is_dirty(&self) -> bool {
        self.pages.is_dirty()
    }

    /// Begins a commit at this offset, the source partition's next one: adds the records of everything that has changed,
    /// and the offset's. It is in flight until [`committed`](Self::committed) or [`not_committed`](Self::not_committed),
    /// and only one may be.
    pub fn write(&mut self, offset: i64, out: &mut Vec<StateRecord>) {
        let Self {
            pages,
            cells,
            families,
            source,
            source_label,
            ..
        } = self;
        let topic = &*source.topic;
        let mut put = |kind, page, value| {
            let key = format::key(kind, topic, page);
            out.push(StateRecord { key, value });
        };
        pages.begin_write(|written| match written {
            Written::Gone(id) => {
                put(LABELS, Some(id), None);
                put(VALUES, Some(id), None);
            }
            Written::Page(page, change) => {
                let info = &families.get(page.family).info;
                if change == Change::Members {
                    let labels = format::write_labels(page, info, source_label.len());
                    put(LABELS, Some(page.id), Some(labels));
                }
                let values = format::write_values(page, cells, info.kind);
                put(VALUES, Some(page.id), Some(values));
            }
        });
        let meta = format::write_meta(offset, pages.len(), &source.topic_id);
        put(META, None, Some(meta));
    }

    /// What is in flight is in Kafka: its new series may be shown.
    pub fn committed(&mut self) {
        self.pages.committed();
    }

    /// What is in flight is not in Kafka, or nobody knows: it will be written again.
    pub fn not_committed(&mut self) {
        self.pages.not_committed();
    }

    /// The state topic was lost: everything will be written again.
    pub fn rewrite_all(&mut self) {
        self.pages.mark_all();
    }

    /// Drops all series, also those of a load that failed or was not ended; the next write deletes their records.
    pub fn discard(&mut self, room: &mut Room) {
        if let Some(loading) = self.loading.take() {
            for id in loading.pages.into_keys() {
                self.pages.forget(id);
            }
            // They have not taken room yet.
            self.clear();
        } else {
            room.release(self.clear());
        }
    }
}

fn check_version(value: Option<&[u8]>) -> Result<(), StateError> {
    match value {
        None | Some([VERSION, ..]) => Ok(()),
        Some([]) => Err(StateError::corrupt("a record is empty")),
        Some([0, ..]) => Err(StateError::corrupt("a record has no version")),
        Some([found, ..]) => Err(StateError::Newer {
            found: *found,
            known: VERSION,
        }),
    }
}

#[cfg(test)]
mod tests;
