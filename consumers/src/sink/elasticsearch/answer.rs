use std::borrow::Cow;

use serde::Deserialize;

use super::engine::is_label_limit;

/// Keeps the answer small: the whole one repeats index and id of each document.
pub(super) const FILTER_PATH: &str = "filter_path=items.*.status,items.*.failure_store,items.*.error.type,\
    items.*.error.reason,items.*.error.caused_by.type,items.*.error.caused_by.reason";
/// Besides, where each document is.
pub(super) const WITH_INDEX: &str = ",items.*._index";

/// The answer to `_bulk`, as far as [`FILTER_PATH`] lets it through.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// All documents are there now, and it is not said where.
    AllCreated,
    /// One for each document, in order.
    Each(Vec<Outcome<'a>>),
}

/// The answer for one document.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome<'a> {
    pub status: u16,
    #[serde(borrow)]
    pub error: Option<ItemError<'a>>,
    /// The index that it is in, behind whatever name was asked for.
    #[serde(borrow, rename = "_index")]
    pub index: Option<Text<'a>>,
    /// Whether the data stream's failure store has it instead of the data stream.
    #[serde(borrow)]
    failure_store: Option<Text<'a>>,
}

/// Text that is borrowed from the answer where it has no escapes.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[derive(Debug, Default, Deserialize)]
pub(super) struct ItemError<'a> {
    #[serde(borrow, default)]
    pub r#type: Text<'a>,
    #[serde(borrow, default)]
    pub reason: Text<'a>,
    #[serde(borrow)]
    caused_by: Option<Cause<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Cause<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    #[serde(borrow, default)]
    reason: Text<'a>,
}

/// Reads the answer to a request with so many documents; `None` where it is none.
pub(super) fn parse(answer: &[u8], documents: usize) -> Option<Answer<'_>> {
    if all_created(answer, documents) {
        return Some(Answer::AllCreated);
    }
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    }
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow)]
        create: Outcome<'a>,
    }
    // What is passed over would not be looked at.
    let text = std::str::from_utf8(answer).ok()?;
    let whole: Whole = serde_json::from_str(text).ok()?;
    if whole.items.len() != documents {
        return None;
    }
    let outcomes = whole.items.into_iter().map(|item| item.create);
    Some(Answer::Each(outcomes.collect()))
}

/// Whether this is the answer as it nearly always is, byte by byte; any other is left to the JSON parser.
fn all_created(answer: &[u8], documents: usize) -> bool {
    const HEAD: &[u8] = br#"{"items":["#;
    const CREATED: &[u8] = br#"{"create":{"status":201}},"#;
    let items = answer
        .strip_prefix(HEAD)
        .and_then(|rest| rest.strip_suffix(b"]}"));
    // The last one has no comma.
    let Some(items) = items.filter(|items| items.len() + 1 == documents * CREATED.len()) else {
        return false;
    };
    let mut items = items.chunks_exact(CREATED.len());
    let last = &CREATED[..CREATED.len() - 1];
    items.all(|item| item == CREATED) && items.remainder() == last
}

impl std::fmt::Display for ItemError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.r#type.0, self.reason.0)?;
        match &self.caused_by {
            Some(cause) => write!(f, "; caused by {}: {}", cause.r#type.0, cause.reason.0),
            None => Ok(()),
        }
    }
}

/// What a document's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Created,
    /// Its id is there already: an earlier request had arrived.
    Duplicate,
    /// The data stream does not take it, and its failure store has it.
    FailureStore,
    Again,
    /// The engine will never take it.
    Never,
}

impl Verdict {
    /// As it is counted.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Duplicate => "duplicate",
            Self::FailureStore => "failure_store",
            Self::Again => "retried",
            Self::Never => "rejected",
        }
    }
}

/// Faults of the place, not of the document, though the engine answers with 4xx: it may come right.
const PLACE_ERRORS: [&str; 11] = [
    "cluster_block_exception",
    "index_create_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "no_shard_available_action_exception",
    "process_cluster_event_timeout_exception",
    // Two requests at once make the same index.
    "resource_already_exists_exception",
    "security_exception",
    "timeout_exception",
    "unavailable_shards_exception",
    // The cluster has as many shards as it may have.
    "validation_exception",
];

/// What is wrong with an index while others may be well; the flood stage blocks an index with 429.
const INDEX_ERRORS: [&str; 3] = [
    "cluster_block_exception",
    "unavailable_shards_exception",
    "no_shard_available_action_exception",
];

/// The same, where the type is one that documents have too.
const PLACE_REASONS: [&str; 2] = [
    "pipeline with id [",
    "no write index is defined for alias [",
];

impl Outcome<'_> {
    pub fn verdict(&self) -> Verdict {
        let (error, reason) = match &self.error {
            Some(error) => (&*error.r#type.0, &*error.reason.0),
            None => ("", ""),
        };
        match self.status {
            200..=299 if self.failure_store.as_ref().is_some_and(|s| s.0 == "used") => {
                Verdict::FailureStore
            }
            200..=299 => Verdict::Created,
            409 if matches!(error, "" | "version_conflict_engine_exception") => Verdict::Duplicate,
            401 | 403 | 404 | 408 | 409 | 429 | 500.. => Verdict::Again,
            _ if PLACE_ERRORS.contains(&error) => Verdict::Again,
            _ if PLACE_REASONS.iter().any(|r| reason.starts_with(r)) => Verdict::Again,
            _ => Verdict::Never,
        }
    }

    /// Whether the index has no room for the names of its labels.
    pub fn is_label_limit(&self) -> bool {
        let limit = |error: &ItemError<'_>| is_label_limit(&error.r#type.0, &error.reason.0);
        self.error.as_ref().is_some_and(limit)
    }

    /// Whether the engine has too much to do, and not only this document's index.
    pub fn is_overload(&self) -> bool {
        let error = self.error.as_ref().map(|error| &*error.r#type.0);
        matches!(self.status, 429 | 503) && !error.is_some_and(|e| INDEX_ERRORS.contains(&e))
    }

    /// A short name for counters.
    pub fn reason(&self) -> &str {
        let Some(error) = &self.error else {
            return "";
        };
        let name = &*error.r#type.0;
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        if is_name(name) { name } else { "other" }
    }

    /// The engine's words.
    pub fn words(&self) -> String {
        match &self.error {
            Some(error) => format!("{} {error}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// What the status of a whole request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestVerdict {
    Answered,
    /// Too large, or one of the documents makes it unreadable.
    Split,
    Again,
}

pub(super) fn request_verdict(status: u16, body: &[u8]) -> RequestVerdict {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "error")]
        _error: serde::de::IgnoredAny,
    }
    match status {
        200..=299 => RequestVerdict::Answered,
        413 => RequestVerdict::Split,
        // That of something in between, a proxy that is asked for HTTP where it has HTTPS, is no document's fault.
        400 if serde_json::from_slice::<Refusal>(body).is_ok() => RequestVerdict::Split,
        // Also what is wrong with credentials or paths.
        _ => RequestVerdict::Again,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
