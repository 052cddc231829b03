use std::collections::{BTreeMap, HashMap};
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use crate::flavour::Flavour;
use crate::resources::Resources;

/// Everything that an engine holds.
pub(crate) struct Store {
    pub flavour: Flavour,
    pub resources: Resources,
    /// Data streams and plain indices by name.
    pub targets: BTreeMap<String, Target>,
    /// Documents that were told to come again later, by id.
    pub not_before: HashMap<String, Instant>,
}

/// What documents can be sent to.
pub(crate) struct Target {
    pub is_stream: bool,
    /// The last one is the write index.
    pub indices: Vec<Index>,
    /// What the data stream's mapping does not take.
    failures: Option<Index>,
}

/// A plain index, or a backing index of a data stream.
pub(crate) struct Index {
    pub name: String,
    /// Milliseconds since the epoch.
    pub created: u64,
    pub documents: HashMap<String, Document>,
    next_seq_no: u64,
}

/// What an index knows of an id.
pub(crate) struct Document {
    pub seq_no: u64,
    /// How often it was created.
    pub applications: u32,
    /// How often it was there already.
    pub conflicts: u32,
    pub source: Bytes,
    pub deleted: bool,
}

/// A document, in one index.
#[derive(Debug, Clone)]
pub struct Held {
    /// The index, or backing index.
    pub index: String,
    /// Its `_id`.
    pub id: String,
    /// How often it was created in this index; more than once after it was deleted.
    pub applications: u32,
    /// How often it was sent again while it was there.
    pub conflicts: u32,
    /// The document.
    pub source: Bytes,
}

/// The version of a document, which a conflict is about.
pub(crate) struct Conflict {
    pub seq_no: u64,
}

pub(crate) fn millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Index {
    fn new(name: String, created: u64) -> Self {
        Self {
            name,
            created,
            documents: HashMap::new(),
            next_seq_no: 0,
        }
    }

    fn seq_no(&mut self) -> u64 {
        self.next_seq_no += 1;
        self.next_seq_no - 1
    }

    /// The document, if it is there and not deleted.
    pub fn get(&self, id: &str) -> Option<&Document> {
        self.documents.get(id).filter(|document| !document.deleted)
    }

    /// `create`: only where there is none. Its sequence number.
    pub fn create(&mut self, id: &str, source: Bytes) -> Result<u64, Conflict> {
        if let Some(document) = self.documents.get_mut(id)
            && !document.deleted
        {
            document.conflicts += 1;
            return Err(Conflict {
                seq_no: document.seq_no,
            });
        }
        Ok(self.put(id, source))
    }

    /// `index`: instead of what is there.
    pub fn put(&mut self, id: &str, source: Bytes) -> u64 {
        let seq_no = self.seq_no();
        let document = self.documents.entry(id.to_owned()).or_insert(Document {
            seq_no,
            applications: 0,
            conflicts: 0,
            source: Bytes::new(),
            deleted: false,
        });
        (document.seq_no, document.source, document.deleted) = (seq_no, source, false);
        document.applications += 1;
        seq_no
    }

    /// `delete`, perhaps only of one version. Its sequence number and whether there was anything to delete.
    pub fn delete(&mut self, id: &str, if_seq_no: Option<u64>) -> Result<(u64, bool), Conflict> {
        let current = self.get(id).map(|document| document.seq_no);
        if let Some(wanted) = if_seq_no
            && current != Some(wanted)
        {
            return Err(Conflict {
                seq_no: current.unwrap_or_default(),
            });
        }
        let seq_no = self.seq_no();
        if let (Some(document), Some(_)) = (self.documents.get_mut(id), current) {
            (document.deleted, document.seq_no) = (true, seq_no);
        }
        Ok((seq_no, current.is_some()))
    }
}

impl Target {
    pub fn write_index(&mut self) -> &mut Index {
        self.indices.last_mut().expect("a target has an index")
    }
}

impl Store {
    pub fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            resources: Resources::new(flavour),
            targets: BTreeMap::new(),
            not_before: HashMap::new(),
        }
    }

    /// What a name stands for; made when it is not there, as its template says.
    pub fn target(&mut self, name: &str) -> &mut Target {
        if !self.targets.contains_key(name) {
            let is_stream = self.flavour.data_streams() && self.resources.makes_stream(name);
            self.make(name, is_stream);
        }
        self.targets.get_mut(name).expect("it was just made")
    }

    pub fn make(&mut self, name: &str, is_stream: bool) {
        let index = match is_stream {
            true => self.flavour.backing_index(name, 1, &day()),
            false => name.to_owned(),
        };
        let target = Target {
            is_stream,
            indices: vec![Index::new(index, millis())],
            failures: None,
        };
        self.targets.insert(name.to_owned(), target);
    }

    /// A new write index for a data stream; `false` where it is none.
    pub fn roll_over(&mut self, name: &str) -> bool {
        let flavour = self.flavour;
        let Some(target) = self.targets.get_mut(name).filter(|target| target.is_stream) else {
            return false;
        };
        let index = flavour.backing_index(name, target.indices.len() + 1, &day());
        let created = millis().max(target.write_index().created + 1);
        target.indices.push(Index::new(index, created));
        true
    }

    /// The failure store of a data stream.
    pub fn failure_store(&mut self, name: &str) -> &mut Index {
        let failures = &mut self.target(name).failures;
        failures.get_or_insert_with(|| Index::new(format!(".fs-{name}-{}-000001", day()), millis()))
    }

    /// New write indices for all data streams.
    pub fn roll_all_over(&mut self) {
        for name in self.targets.keys().cloned().collect::<Vec<_>>() {
            self.roll_over(&name);
        }
    }

    /// An index by its own name.
    pub fn index(&mut self, name: &str) -> Option<&mut Index> {
        let mut indices = self
            .targets
            .values_mut()
            .flat_map(|target| &mut target.indices);
        indices.find(|index| index.name == name)
    }

    /// The indices that a name, or a list of names and patterns, stands for.
    pub fn indices(&self, names: &str) -> Vec<&Index> {
        let is_meant = |of: &str| {
            names.split(',').any(|name| match name.split_once('*') {
                _ if name == "_all" => true,
                Some((head, tail)) => of.starts_with(head) && of.ends_with(tail),
                None => of == name,
            })
        };
        let mut meant = Vec::new();
        for (name, target) in &self.targets {
            let whole = is_meant(name);
            meant.extend(
                target
                    .indices
                    .iter()
                    .filter(|index| whole || is_meant(&index.name)),
            );
        }
        meant
    }

    pub fn held(&self) -> Vec<Held> {
        let targets = self.targets.values();
        let indices = targets.flat_map(|target| target.indices.iter().chain(&target.failures));
        let documents =
            indices.flat_map(|index| index.documents.iter().map(move |(id, d)| (index, id, d)));
        documents
            .filter(|(_, _, document)| !document.deleted)
            .map(|(index, id, document)| Held {
                index: index.name.clone(),
                id: id.clone(),
                applications: document.applications,
                conflicts: document.conflicts,
                source: document.source.clone(),
            })
            .collect()
    }
}

/// The day as it stands in the names of Elasticsearch's backing indices.
fn day() -> String {
    // `Mon, 23 Nov 2026 20:24:10 GMT`
    let date = httpdate::fmt_http_date(SystemTime::now());
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months
        .iter()
        .position(|month| *month == &date[8..11])
        .map_or(1, |at| at + 1);
    format!("{}.{month:02}.{}", &date[12..16], &date[5..7])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_looks_only_at_the_write_index() {
        let mut store = Store::new(Flavour::OpenSearch);
        store.make("logs", true);
        let source = Bytes::from_static(b"{}");
        assert!(
            store
                .target("logs")
                .write_index()
                .create("a", source.clone())
                .is_ok()
        );
        assert!(
            store
                .target("logs")
                .write_index()
                .create("a", source.clone())
                .is_err()
        );
        assert!(store.roll_over("logs"));
        assert!(
            store
                .target("logs")
                .write_index()
                .create("a", source)
                .is_ok()
        );
        let held: Vec<_> = store
            .held()
            .iter()
            .map(|held| (held.index.clone(), held.conflicts))
            .collect();
        assert_eq!(held.len(), 2, "{held:?}");
        let indices = store.indices("logs");
        assert!(indices[0].created < indices[1].created);
        assert_eq!(store.indices(".ds-logs-000002")[0].documents.len(), 1);
    }

    #[test]
    fn a_delete_may_be_of_one_version_only() {
        let mut index = Index::new("i".into(), 1);
        let seq_no = index.create("a", Bytes::new()).ok();
        assert_eq!(seq_no, Some(0));
        assert!(index.delete("a", Some(7)).is_err());
        assert!(index.get("a").is_some());
        assert_eq!(index.delete("a", Some(0)).ok(), Some((1, true)));
        assert!(index.get("a").is_none());
        assert_eq!(index.delete("a", None).ok(), Some((2, false)));
        assert_eq!(index.create("a", Bytes::new()).ok(), Some(3));
        assert_eq!(index.documents["a"].applications, 2);
    }

    #[test]
    fn the_day_is_that_of_backing_indices() {
        let day = day();
        assert_eq!((day.len(), day.matches('.').count()), (10, 2), "{day}");
    }
}
