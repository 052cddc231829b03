use std::ops::Range;

use serde::Deserialize;

use crate::pipeline::Original;

/// Documents on their way: the body of a `_bulk` request, and what is known of each.
#[derive(Default)]
pub(super) struct Batch {
    pub body: Vec<u8>,
    pub items: Vec<Item>,
}

/// One document of a batch.
#[derive(Debug)]
pub(super) struct Item {
    /// Its lines in the body.
    pub range: Range<usize>,
    pub original: Original,
    /// What it occupies of the bytes in flight.
    pub bytes: usize,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A batch of some of the documents, which are taken out of `body`.
    pub fn of(items: impl IntoIterator<Item = Item>, body: &[u8]) -> Self {
        let mut batch = Batch::default();
        for item in items {
            let start = batch.body.len();
            batch.body.extend_from_slice(&body[item.range.clone()]);
            let range = start..batch.body.len();
            batch.items.push(Item { range, ..item });
        }
        batch
    }

    /// Both halves, to find out which document a request is refused for.
    pub fn halves(mut self) -> (Batch, Batch) {
        let second = self.items.split_off(self.items.len() / 2);
        (
            Batch::of(self.items, &self.body),
            Batch::of(second, &self.body),
        )
    }
}

/// The answer to `_bulk`, as far as [`FILTER_PATH`] lets it through.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub items: Vec<ItemAnswer>,
}

/// Keeps the answer small: the whole one repeats index and id of each document.
pub(super) const FILTER_PATH: &str = "items.*.status,items.*.error.type,items.*.error.reason,\
    items.*.error.caused_by.type,items.*.error.caused_by.reason";

#[derive(Debug, Deserialize)]
pub(super) struct ItemAnswer {
    pub create: Outcome,
}

#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    pub status: u16,
    pub error: Option<ItemError>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ItemError {
    #[serde(default)]
    pub r#type: String,
    #[serde(default)]
    pub reason: String,
    pub caused_by: Option<Box<ItemError>>,
}

impl std::fmt::Display for ItemError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.r#type, self.reason)?;
        match &self.caused_by {
            Some(cause) => write!(f, "; caused by {cause}"),
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
    Again,
    /// The engine will never take it.
    Never,
}

/// Faults of the place, not of the document, though the engine answers with 4xx: it may come right.
const PLACE_ERRORS: [&str; 6] = [
    "cluster_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "security_exception",
    "unavailable_shards_exception",
    "process_cluster_event_timeout_exception",
];

impl Outcome {
    pub fn verdict(&self) -> Verdict {
        let place = |error: &ItemError| PLACE_ERRORS.contains(&error.r#type.as_str());
        match self.status {
            200..=299 => Verdict::Created,
            409 => Verdict::Duplicate,
            429 | 500.. => Verdict::Again,
            _ if self.error.as_ref().is_some_and(place) => Verdict::Again,
            _ => Verdict::Never,
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

pub(super) fn request_verdict(status: u16) -> RequestVerdict {
    match status {
        200..=299 => RequestVerdict::Answered,
        400 | 413 => RequestVerdict::Split,
        // Also what is wrong with credentials or paths: no document's fault.
        _ => RequestVerdict::Again,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::Assignment;

    #[test]
    fn each_answer_has_its_policy() {
        let cases = [
            (201, "", Verdict::Created),
            (200, "", Verdict::Created),
            (409, "version_conflict_engine_exception", Verdict::Duplicate),
            (429, "es_rejected_execution_exception", Verdict::Again),
            (503, "unavailable_shards_exception", Verdict::Again),
            (500, "", Verdict::Again),
            (403, "cluster_block_exception", Verdict::Again),
            (404, "index_not_found_exception", Verdict::Again),
            (400, "mapper_parsing_exception", Verdict::Never),
            (400, "document_parsing_exception", Verdict::Never),
            (400, "illegal_argument_exception", Verdict::Never),
            (413, "", Verdict::Never),
        ];
        for (status, error, want) in cases {
            let json = format!(
                r#"{{"items":[{{"create":{{"status":{status},"error":{{"type":"{error}","reason":"r","caused_by":{{"type":"c","reason":"d"}}}}}}}}]}}"#
            );
            let answer: Answer = serde_json::from_str(&json).expect(&json);
            assert_eq!(answer.items[0].create.verdict(), want, "{status} {error}");
        }
        let requests = [
            (200, RequestVerdict::Answered),
            (413, RequestVerdict::Split),
            (400, RequestVerdict::Split),
            (401, RequestVerdict::Again),
            (404, RequestVerdict::Again),
            (429, RequestVerdict::Again),
            (503, RequestVerdict::Again),
        ];
        for (status, want) in requests {
            assert_eq!(request_verdict(status), want, "{status}");
        }
    }

    #[test]
    fn halves_keep_documents_and_their_origins_together() {
        let assignment = Arc::new(Assignment::new("t".into(), "id".into(), 0, 1));
        let mut batch = Batch::default();
        for (offset, text) in ["a\n", "bb\n", "ccc\n"].into_iter().enumerate() {
            let start = batch.body.len();
            batch.body.extend_from_slice(text.as_bytes());
            batch.items.push(Item {
                range: start..batch.body.len(),
                original: Original {
                    assignment: assignment.clone(),
                    offset: offset as i64,
                    timestamp: None,
                    key: None,
                    place: None,
                    bytes: None,
                },
                bytes: 1,
            });
        }
        let (first, second) = batch.halves();
        let seen = |batch: &Batch| -> Vec<(i64, String)> {
            let text =
                |item: &Item| String::from_utf8_lossy(&batch.body[item.range.clone()]).into_owned();
            batch
                .items
                .iter()
                .map(|item| (item.original.offset, text(item)))
                .collect()
        };
        assert_eq!(seen(&first), [(0, "a\n".to_owned())]);
        assert_eq!(
            seen(&second),
            [(1, "bb\n".to_owned()), (2, "ccc\n".to_owned())]
        );
        assert_eq!(second.body, b"bb\nccc\n");
    }
}
