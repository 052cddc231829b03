//! Documents that may have been sent before, and came to be in a data stream that has rolled over since: the engine guards ids
//! only within one backing index, so that there can be a copy in an older one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::answer::Text;
use super::client::{Client, Response};
use super::engine::segment;
use super::failure::Failure;
use crate::sink_state::SinkCondition;

/// How much the clocks of producers, Kafka and the engine may differ: brokers refuse records whose time is more than an hour ahead
/// (`message.timestamp.after.max.ms`, KIP-937).
const CLOCKS: Duration = Duration::from_secs(3660);
/// For so long the backing indices of a data stream are known once they were asked for.
const KNOWN: Duration = Duration::from_secs(60);
/// The most data streams that are remembered.
const MAX_STREAMS: usize = 1000;
/// The most places that one request looks at.
const MAX_PLACES: usize = 1000;

/// A document that may have been sent before.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    /// Its data stream.
    pub stream: String,
    pub id: String,
    /// The backing index that the engine says it is in.
    pub index: String,
    /// When its record was written, in milliseconds since the epoch: it cannot have been sent earlier.
    pub written: Option<i64>,
}

/// Why it is not known whether there are copies.
#[derive(Debug)]
pub(super) enum Unclear {
    /// It can be tried again.
    Failed(Failure),
    /// The request is larger than the engine, or something before it, takes.
    TooLarge(Failure),
    /// It cannot be known: our credentials do not suffice to look, or indices are closed.
    Never(Failure),
}

impl From<Failure> for Unclear {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A backing index of a data stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backing {
    /// In milliseconds since the epoch.
    created: i64,
    name: String,
}

/// The backing indices of data streams, as far as they were asked for.
#[derive(Debug)]
pub(super) struct Streams {
    known: Mutex<HashMap<String, Known>>,
    /// The most places in a request; fewer than [`MAX_PLACES`] where requests were too large.
    portion: AtomicUsize,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            portion: AtomicUsize::new(MAX_PLACES),
        }
    }
}

#[derive(Debug, Clone)]
struct Known {
    /// Ascending.
    indices: Arc<[Backing]>,
    at: Instant,
}

/// A document in a backing index.
#[derive(Debug)]
struct Place<'s> {
    index: String,
    id: &'s str,
}

/// A document that is there too often.
type Surplus<'p> = (&'p Place<'p>, Version);

/// What is at a [`Place`].
#[derive(Debug, Clone, Copy)]
struct Version {
    seq_no: u64,
    primary_term: u64,
}

impl Streams {
    /// Looks for older copies of documents, and deletes all but the oldest. Which of the documents had one. What failed can be
    /// done again from its beginning.
    ///
    /// # Errors
    /// Why it is not known yet.
    pub async fn clear(&self, client: &Client, suspects: &[Suspect]) -> Result<Vec<bool>, Unclear> {
        let mut places = Vec::new();
        // By suspect: where its places end; the last one is its own index.
        let mut ends = Vec::with_capacity(suspects.len());
        for suspect in suspects {
            let indices = self.indices(client, suspect).await?;
            let after = suspect
                .written
                .map(|ms| ms.saturating_sub(CLOCKS.as_millis() as i64));
            let older = older(&indices, &suspect.index, after);
            let place = |index: &str| Place {
                index: index.to_owned(),
                id: &suspect.id,
            };
            if !older.is_empty() {
                places.extend(older.iter().map(|index| place(&index.name)));
                places.push(place(&suspect.index));
            }
            ends.push(places.len());
        }
        let versions = self.look(client, &places).await?;
        let (mut had_copy, mut copies) = (Vec::with_capacity(suspects.len()), Vec::new());
        let mut begin = 0;
        for end in ends {
            let own = end.saturating_sub(1).max(begin);
            had_copy.push(versions[begin..own].iter().any(Option::is_some));
            // The newer ones may have been deleted already, by an attempt whose answer was lost.
            let found = (begin..end).filter_map(|at| Some((&places[at], versions[at]?)));
            copies.extend(found.skip(1));
            begin = end;
        }
        self.delete(client, &copies).await?;
        Ok(had_copy)
    }

    /// What is at each of the places, in real time.
    async fn look(
        &self,
        client: &Client,
        places: &[Place<'_>],
    ) -> Result<Vec<Option<Version>>, Unclear> {
        let mut versions = Vec::with_capacity(places.len());
        while versions.len() < places.len() {
            let portion = self.portion(&places[versions.len()..]);
            match look_at(client, portion).await {
                Err(Unclear::TooLarge(_)) if portion.len() > 1 => self.halve(portion.len()),
                found => versions.extend(found?),
            }
        }
        Ok(versions)
    }

    /// Deletes documents as they were seen.
    async fn delete(&self, client: &Client, copies: &[Surplus<'_>]) -> Result<(), Unclear> {
        let mut rest = copies;
        while !rest.is_empty() {
            let portion = self.portion(rest);
            match delete(client, portion).await {
                Err(Unclear::TooLarge(_)) if portion.len() > 1 => self.halve(portion.len()),
                deleted => {
                    deleted?;
                    rest = &rest[portion.len()..];
                }
            }
        }
        Ok(())
    }

    fn portion<'r, T>(&self, rest: &'r [T]) -> &'r [T] {
        &rest[..rest.len().min(self.portion.load(Ordering::Relaxed))]
    }

    fn halve(&self, too_many: usize) {
        self.portion.fetch_min(too_many / 2, Ordering::Relaxed);
    }

    /// The engine may take larger requests than before.
    pub fn forget_sizes(&self) {
        self.portion.store(MAX_PLACES, Ordering::Relaxed);
    }

    async fn indices(&self, client: &Client, suspect: &Suspect) -> Result<Arc<[Backing]>, Unclear> {
        let stream = &suspect.stream;
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(stream).cloned();
        // A list that has the index has all that are older.
        if let Some(known) = known
            && known.at.elapsed() < KNOWN
            && known
                .indices
                .iter()
                .any(|index| index.name == suspect.index)
        {
            return Ok(known.indices);
        }
        let path = format!(
            "/{}/_settings/index.creation_date?flat_settings=true",
            segment(stream)
        );
        let answer = client
            .send(Method::GET, &path, "application/json", None)
            .await
            .map_err(Failure::from)?;
        let what = format!("GET {path}");
        let indices: Arc<[Backing]> = backing_indices(&good(&what, &answer)?.body)
            .ok_or_else(|| Failure::nonsense(&what, &answer))?
            .into();
        if indices.iter().all(|index| index.name != suspect.index) {
            // Deleted meanwhile, or not of the stream by its name.
            let why = format!("{} is not among the indices of {stream}", suspect.index);
            let kind = SinkCondition::Rejecting;
            return Err(Unclear::Never(Failure { kind, why }));
        }
        let mut known = lock();
        if known.len() >= MAX_STREAMS {
            known.clear();
        }
        let entry = Known {
            indices: indices.clone(),
            at: Instant::now(),
        };
        known.insert(stream.clone(), entry);
        Ok(indices)
    }
}

/// Of these backing indices those that are older than `index` and that can have been written to later than `after` (milliseconds
/// since the epoch; `None`: at any time). None where `index` itself was there by then.
fn older<'i>(indices: &'i [Backing], index: &str, after: Option<i64>) -> &'i [Backing] {
    let Some(own) = indices.iter().position(|i| i.name == index) else {
        return &[];
    };
    // One is written to until the next one is made.
    let is_late = |made: &Backing| after.is_none_or(|after| made.created > after);
    let first = indices[1..=own].iter().position(is_late).unwrap_or(own);
    &indices[first..own]
}

/// Reads the answer to `/_settings/index.creation_date?flat_settings=true`.
fn backing_indices(answer: &[u8]) -> Option<Vec<Backing>> {
    #[derive(Deserialize)]
    struct Index<'a> {
        #[serde(borrow)]
        settings: HashMap<Cow<'a, str>, Text<'a>>,
    }
    let answer: HashMap<String, Index<'_>> = serde_json::from_slice(answer).ok()?;
    let mut indices = Vec::with_capacity(answer.len());
    for (name, index) in answer {
        let created = index.settings.get("index.creation_date")?.0.parse().ok()?;
        indices.push(Backing { created, name });
    }
    indices.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    Some(indices)
}

/// An answer of success.
fn good<'r>(what: &str, answer: &'r Response) -> Result<&'r Response, Unclear> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let failure = Failure::answer(what, answer);
    Err(match answer.status.as_u16() {
        // All of it was deleted meanwhile.
        404 => Unclear::Never(failure),
        403 if is_forbidden(&failure.why) => Unclear::Never(failure),
        413 => Unclear::TooLarge(failure),
        _ => Unclear::Failed(failure),
    })
}

fn is_forbidden(why: &str) -> bool {
    why.contains("security_exception")
}

/// What is at each of the places, in real time.
async fn look_at(client: &Client, places: &[Place<'_>]) -> Result<Vec<Option<Version>>, Unclear> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        docs: Vec<Doc<'a>>,
    }
    #[derive(Deserialize)]
    struct Doc<'a> {
        found: Option<bool>,
        #[serde(rename = "_seq_no")]
        seq_no: Option<u64>,
        #[serde(rename = "_primary_term")]
        primary_term: Option<u64>,
        #[serde(borrow)]
        error: Option<DocError<'a>>,
    }
    #[derive(Deserialize)]
    struct DocError<'a> {
        #[serde(borrow)]
        r#type: Text<'a>,
    }
    const WHAT: &str = "_mget";
    let docs = places
        .iter()
        .map(|place| json!({"_index": place.index, "_id": place.id}));
    let body = json!({"docs": docs.collect::<Vec<_>>()}).to_string();
    let answer = client
        .send(
            Method::POST,
            "/_mget?_source=false",
            "application/json",
            Some(Bytes::from(body)),
        )
        .await
        .map_err(Failure::from)?;
    let nonsense = || Failure::unavailable(WHAT, &answer);
    let read: Answer<'_> =
        serde_json::from_slice(&good(WHAT, &answer)?.body).map_err(|_| nonsense())?;
    if read.docs.len() != places.len() {
        return Err(nonsense().into());
    }
    let version = |doc: &Doc<'_>| {
        if let Some(error) = &doc.error {
            return match &*error.r#type.0 {
                // Deleted meanwhile, and the document with it.
                "index_not_found_exception" => Ok(None),
                "index_closed_exception" => Err(Unclear::Never(nonsense())),
                error if is_forbidden(error) => Err(Unclear::Never(nonsense())),
                _ => Err(nonsense().into()),
            };
        }
        match (doc.found, doc.seq_no, doc.primary_term) {
            (Some(false), ..) => Ok(None),
            (Some(true), Some(seq_no), Some(primary_term)) => Ok(Some(Version {
                seq_no,
                primary_term,
            })),
            _ => Err(nonsense().into()),
        }
    };
    read.docs.iter().map(version).collect()
}

/// Deletes documents as they were seen.
async fn delete(client: &Client, copies: &[Surplus<'_>]) -> Result<(), Unclear> {
    #[derive(Deserialize)]
    struct Answer {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        delete: Outcome,
    }
    #[derive(Deserialize)]
    struct Outcome {
        status: u16,
    }
    const WHAT: &str = "_bulk to delete second copies of documents";
    let mut body = String::new();
    for (Place { index, id }, version) in copies {
        let action = json!({"delete": {
            "_index": index, "_id": id,
            "if_seq_no": version.seq_no, "if_primary_term": version.primary_term,
        }});
        body += &action.to_string();
        body.push('\n');
    }
    let answer = client
        .send(
            Method::POST,
            "/_bulk?filter_path=items.*.status,items.*.error.type,items.*.error.reason",
            "application/x-ndjson",
            Some(Bytes::from(body)),
        )
        .await
        .map_err(Failure::from)?;
    let failure = || Failure::unavailable(WHAT, &answer);
    let read: Answer = serde_json::from_slice(&good(WHAT, &answer)?.body).map_err(|_| failure())?;
    if read.items.len() != copies.len() {
        return Err(failure().into());
    }
    // 404: there is none any more. 409: it has changed since it was seen, and is looked at again.
    let gone = |item: &Item| matches!(item.delete.status, 200..=299 | 404);
    if read.items.iter().all(gone) {
        return Ok(());
    }
    let failure = failure();
    Err(match is_forbidden(&failure.why) {
        true => Unclear::Never(failure),
        false => Unclear::Failed(failure),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices() -> Vec<Backing> {
        let answer = r#"{
            ".ds-a-000003": {"settings": {"index.creation_date": "3000"}},
            ".ds-a-000001": {"settings": {"index.creation_date": "1000"}},
            ".ds-a-000002": {"settings": {"index.creation_date": "2000"}}
        }"#;
        backing_indices(answer.as_bytes()).expect("indices")
    }

    #[test]
    fn backing_indices_are_sorted_by_their_age() {
        let names: Vec<_> = indices().into_iter().map(|index| index.name).collect();
        assert_eq!(names, [".ds-a-000001", ".ds-a-000002", ".ds-a-000003"]);
        for bad in ["[]", r#"{"a":{}}"#, r#"{"a":{"settings":{}}}"#, ""] {
            assert_eq!(backing_indices(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(backing_indices(b"{}"), Some(Vec::new()));
    }

    #[test]
    fn only_indices_that_can_have_been_written_to_since_are_looked_at() {
        let indices = indices();
        for (index, after, want) in [
            // The index was there before the record was.
            (3, Some(3000), ""),
            (3, Some(4000), ""),
            // Written to until 3000, when the third was made.
            (3, Some(2999), "2"),
            (3, Some(2000), "2"),
            (3, Some(1999), "12"),
            (3, Some(0), "12"),
            (3, None, "12"),
            (2, Some(1999), "1"),
            (2, None, "1"),
            (1, Some(0), ""),
            (1, None, ""),
            (9, None, ""),
        ] {
            let name = format!(".ds-a-00000{index}");
            let found = older(&indices, &name, after);
            let found: String = found.iter().map(|i| &i.name[11..]).collect();
            assert_eq!(found, want, "{index} {after:?}");
        }
        assert!(older(&[], "a", None).is_empty());
    }
}
