//! Whether all that was produced is indexed or a dead letter, each exactly once.

use std::collections::BTreeMap;

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

/// What every event has in its text, so that it is found again whatever becomes of it: `mark-` and a number.
pub type Mark = u32;

/// An event, or a text that is none, as it stands in the source topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Produced {
    pub mark: Mark,
    /// Whose letter it may become: `namespace/name`.
    pub consumer: String,
    pub topic: String,
    pub topic_id: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Vec<u8>,
    /// The place in the record's array.
    pub place: Option<usize>,
    /// The event as it was sent.
    pub bytes: Vec<u8>,
    /// Its own id.
    pub id: Option<String>,
    pub fate: Fate,
}

/// What has to become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Indexed,
    /// A letter, for one of these reasons.
    Letter(&'static [&'static str]),
    /// In the data stream's failure store, at least once: it has ids of its own, so that nobody can keep what is sent again out of it.
    FailureStore,
}

/// A document that the engine holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Indexed {
    pub mark: Mark,
    pub index: String,
    pub id: String,
}

impl Indexed {
    fn is_in_failure_store(&self) -> bool {
        self.index.starts_with(".fs-")
    }
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    pub mark: Mark,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

/// Something that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Neither indexed nor a letter.
    Lost,
    /// In the engine more than once.
    IndexedTwice,
    /// More than one letter.
    LetterTwice,
    /// Indexed, and a letter as well.
    Both,
    /// A letter of what the engine would have taken, or the other way round.
    WrongFate,
    /// A document's id is not its own.
    WrongId,
    /// A letter does not say what it has to.
    WrongLetter,
    /// Nobody has sent it.
    Invented,
    /// Offsets are not committed to the end.
    NotCommitted,
    /// A member ended without being told to, or not when it was.
    Exited,
}

/// Something that does not hold, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub kind: Kind,
    pub what: String,
}

impl Finding {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
        }
    }
}

/// The number of the mark in a text.
pub fn mark(text: &[u8]) -> Option<Mark> {
    let text = String::from_utf8_lossy(text);
    let (_, after) = text.split_once("mark-")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

impl Produced {
    /// The `_id` that its document has to have.
    pub fn document_id(&self) -> String {
        self.id.clone().unwrap_or_else(|| {
            let Self {
                topic_id,
                partition,
                offset,
                ..
            } = self;
            let place = self.place.unwrap_or(0);
            format!("{topic_id}-{partition}-{offset}-{place}")
        })
    }

    fn wrong_headers(&self, letter: &Letter) -> Vec<String> {
        let text = |number: Option<i64>| number.map(|number| number.to_string());
        let expected = [
            ("bt-topic", Some(self.topic.clone())),
            ("bt-topic-id", Some(self.topic_id.clone())),
            ("bt-partition", Some(self.partition.to_string())),
            ("bt-offset", Some(self.offset.to_string())),
            ("bt-timestamp", text(self.timestamp)),
            ("bt-place", text(self.place.map(|place| place as i64))),
            ("bt-consumer", Some(self.consumer.clone())),
        ];
        let mut wrong = Vec::new();
        for (name, expected) in expected {
            let found = letter.headers.get(name);
            if found != expected.as_ref() {
                wrong.push(format!("{name} is {found:?}, expected {expected:?}"));
            }
        }
        if letter.headers.get("bt-error").is_none_or(String::is_empty) {
            wrong.push("bt-error is missing".into());
        }
        let attempts = letter.headers.get("bt-attempts");
        let sent = attempts.and_then(|attempts| attempts.parse::<u32>().ok());
        let by_engine = letter
            .headers
            .get("bt-reason")
            .is_some_and(|reason| reason.ends_with("_sink"));
        // What is wrong by itself is never sent.
        if sent.is_none_or(|sent| (sent > 0) != by_engine) {
            wrong.push(format!("bt-attempts is {attempts:?}"));
        }
        wrong
    }
}

/// All that does not hold between what was produced, what is indexed, and what became a letter.
pub fn findings(produced: &[Produced], indexed: &[Indexed], letters: &[Letter]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut documents: BTreeMap<Mark, Vec<&Indexed>> = BTreeMap::new();
    for document in indexed {
        documents.entry(document.mark).or_default().push(document);
    }
    let mut by_mark: BTreeMap<Mark, Vec<&Letter>> = BTreeMap::new();
    for letter in letters {
        by_mark.entry(letter.mark).or_default().push(letter);
    }
    for event in produced {
        let all = documents.remove(&event.mark).unwrap_or_default();
        let (failed, documents): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|document| document.is_in_failure_store());
        let letters = by_mark.remove(&event.mark).unwrap_or_default();
        let at = format!(
            "mark-{} of partition {}, offset {}",
            event.mark, event.partition, event.offset
        );
        let mut tell = |kind, what: String| found.push(Finding::new(kind, format!("{at}: {what}")));
        let of = |documents: &[&Indexed]| {
            let all = documents
                .iter()
                .map(|document| format!("{} in {}", document.id, document.index));
            all.collect::<Vec<_>>().join(", ")
        };
        match (&documents[..], &letters[..]) {
            ([], []) if failed.is_empty() => {
                tell(Kind::Lost, "neither indexed nor a letter".into());
            }
            ([_, _, ..], _) => tell(Kind::IndexedTwice, of(&documents)),
            (_, [_, _, ..]) => tell(Kind::LetterTwice, format!("{} letters", letters.len())),
            ([_], [_]) => tell(Kind::Both, "indexed, and a letter".into()),
            _ => {}
        }
        if !failed.is_empty() && event.fate != Fate::FailureStore {
            tell(
                Kind::WrongFate,
                format!("in the failure store, expected {:?}", event.fate),
            );
        }
        for document in &documents {
            if document.id != event.document_id() {
                tell(
                    Kind::WrongId,
                    format!("{}, expected {}", document.id, event.document_id()),
                );
            }
            if event.fate != Fate::Indexed {
                tell(
                    Kind::WrongFate,
                    format!("indexed, expected {:?}", event.fate),
                );
            }
        }
        for letter in &letters {
            let reason = letter.headers.get("bt-reason").map_or("", String::as_str);
            match event.fate {
                Fate::Letter(reasons) if reasons.contains(&reason) => {}
                fate => tell(
                    Kind::WrongFate,
                    format!("a letter for {reason:?}, expected {fate:?}"),
                ),
            }
            let mut wrong = event.wrong_headers(letter);
            if letter.value != event.bytes {
                let value = String::from_utf8_lossy(&letter.value);
                wrong.push(format!("its value is {value:?}"));
            }
            if letter.key != event.key {
                wrong.push(format!(
                    "its key is {:?}",
                    String::from_utf8_lossy(&letter.key)
                ));
            }
            if !wrong.is_empty() {
                tell(Kind::WrongLetter, wrong.join("; "));
            }
        }
    }
    for mark in documents.keys().chain(by_mark.keys()) {
        let what = format!("mark-{mark} was never sent");
        found.push(Finding::new(Kind::Invented, what));
    }
    found
}

/// How many there are of each kind, with examples.
pub fn report(findings: &[Finding]) -> String {
    const EXAMPLES: usize = 4;
    let mut by_kind: BTreeMap<Kind, Vec<&str>> = BTreeMap::new();
    for finding in findings {
        by_kind.entry(finding.kind).or_default().push(&finding.what);
    }
    let mut text = String::new();
    for (kind, all) in by_kind {
        text.push_str(&format!("\n{} × {kind:?}", all.len()));
        for what in all.iter().take(EXAMPLES) {
            text.push_str(&format!("\n  {what}"));
        }
    }
    text
}
