use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use prometheus::local::LocalHistogram;
use serde::Deserialize;

use super::answer::{Answer, Outcome, Text, Verdict};
use super::batch::{Batch, Finished};
use super::doubt::Suspect;
use super::failure::Failure;
use crate::pipeline::{Acks, Refused};
use crate::sink_state::SinkState;
use crate::stats::Stats;

/// Deals with the documents of a batch by their answers.
pub(super) struct Settling<'d> {
    pub acks: &'d Acks,
    pub stats: &'d Stats,
    pub state: &'d SinkState,
    /// The data stream, where it is the same for all documents.
    pub stream: Option<&'d str>,
    pub data_streams: bool,
    /// There is room now for labels whose names were too many.
    pub room: bool,
}

/// What is left of a batch.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Documents to be sent again.
    pub again: Vec<usize>,
    /// Documents that are there, perhaps twice.
    pub unsure: Vec<(usize, (Suspect, Verdict))>,
    /// Why documents are to be sent again, of the last one.
    pub failure: Option<Failure>,
    /// The engine has too much to do.
    pub overload: bool,
    /// There is no index, and none was made.
    pub lacks_index: bool,
}

/// Documents by outcome and reason. They are counted together, for there are thousands of them to few outcomes.
type Counts<'a> = HashMap<(&'static str, Cow<'a, str>), u64>;

impl Settling<'_> {
    /// Acknowledges what is done or refused for good, and counts all.
    pub fn settle(&self, batch: &mut Batch, answer: Answer<'_>) -> Settled {
        let mut settled = Settled::default();
        let mut done = Done::new(self);
        let mut counts = Counts::new();
        let outcomes = match answer {
            Answer::AllCreated => {
                for item in 0..batch.documents() {
                    done.add(batch, item);
                }
                let key = (Verdict::Created.outcome(), "".into());
                counts.insert(key, batch.documents() as u64);
                Vec::new()
            }
            Answer::Each(outcomes) => outcomes,
        };
        let mut rejected = 0;
        for (item, outcome) in outcomes.iter().enumerate() {
            let verdict = match outcome.verdict() {
                Verdict::Never if self.room && outcome.is_label_limit() => Verdict::Again,
                verdict => verdict,
            };
            match verdict {
                Verdict::Created | Verdict::Duplicate => {
                    if let Some(suspect) = self.suspect(batch, item, outcome) {
                        // Counted and acknowledged when that is clear.
                        settled.unsure.push((item, (suspect, verdict)));
                        continue;
                    }
                    done.add(batch, item);
                }
                Verdict::FailureStore => done.add(batch, item),
                Verdict::Again => {
                    if outcome.status >= 500 || outcome.status == 408 {
                        // The engine may have given up waiting for what was done after all.
                        batch.doubt(item);
                    }
                    settled.overload |= outcome.is_overload();
                    settled.lacks_index |= outcome.reason() == "index_not_found_exception";
                    settled.failure = Some(Failure::document(outcome));
                    settled.again.push(item);
                }
                Verdict::Never => {
                    self.refuse(batch, item, outcome);
                    rejected += 1;
                }
            }
            let reason = match verdict {
                Verdict::Again | Verdict::Never => outcome.reason(),
                _ => "",
            };
            *counts
                .entry((verdict.outcome(), reason.into()))
                .or_default() += 1;
        }
        let taken = done.acknowledge(batch);
        self.count(&counts);
        self.state.taken(taken);
        if taken + rejected > 0 || !settled.unsure.is_empty() {
            self.state.answered();
        }
        settled
    }

    /// Acknowledges documents that were in doubt; whether each had an older copy stands beside its verdict.
    pub fn cleared(&self, batch: &Batch, verdicts: impl Iterator<Item = (Verdict, bool)>) {
        let mut done = Done::new(self);
        let mut counts = Counts::new();
        for (item, (verdict, had_copy)) in verdicts.enumerate() {
            let (verdict, reason) = match had_copy {
                true => (Verdict::Duplicate, "rollover"),
                false => (verdict, ""),
            };
            *counts
                .entry((verdict.outcome(), reason.into()))
                .or_default() += 1;
            done.add(batch, item);
        }
        let taken = done.acknowledge(batch);
        self.count(&counts);
        self.state.taken(taken);
    }

    fn count(&self, counts: &Counts<'_>) {
        for ((outcome, reason), count) in counts {
            self.stats
                .bulk_items
                .with_label_values(&[*outcome, reason])
                .inc_by(*count);
        }
    }

    /// A document in doubt that the engine says is in a backing index now.
    fn suspect(&self, batch: &Batch, item: usize, outcome: &Outcome<'_>) -> Option<Suspect> {
        if !self.data_streams || !batch.is_in_doubt(item) {
            return None;
        }
        let index = outcome.index.as_ref()?.0.clone().into_owned();
        let create = create(batch, item)?;
        Some(Suspect {
            stream: target(self.stream, &create)?,
            id: create.id.0.into_owned(),
            index,
            written: batch.timestamp(item),
        })
    }

    fn refuse(&self, batch: &Batch, item: usize, outcome: &Outcome<'_>) {
        let error = outcome.words();
        tracing::debug!(offset = batch.offset(item), error, "rejected by the engine");
        self.state.rejected(&error);
        let refused = Refused {
            original: batch.original(item),
            reason: match outcome.status {
                413 => "too_large_for_sink",
                _ => "rejected_by_sink",
            },
            error,
            attempts: batch.attempts,
        };
        self.acks.refused(refused, batch.occupies(item));
    }
}

/// Where documents go that were refused because the index has no room for the names of their labels.
pub(super) fn without_room(
    batch: &Batch,
    answer: &Answer<'_>,
    stream: Option<&str>,
) -> BTreeSet<String> {
    let Answer::Each(outcomes) = answer else {
        return BTreeSet::new();
    };
    let full = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| outcome.is_label_limit());
    full.filter_map(|(item, _)| target(stream, &create(batch, item)?))
        .collect()
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    create: Create<'a>,
}

#[derive(Deserialize)]
struct Create<'a> {
    #[serde(borrow, rename = "_id")]
    id: Text<'a>,
    #[serde(borrow, rename = "_index")]
    index: Option<Text<'a>>,
}

/// The action of a document, which we have written.
fn create(batch: &Batch, item: usize) -> Option<Create<'_>> {
    let action = batch.document(item).split(|b| *b == b'\n').next()?;
    let Action { create } = serde_json::from_slice(action).ok()?;
    Some(create)
}

/// The data stream or index that a document goes to.
fn target(stream: Option<&str>, create: &Create<'_>) -> Option<String> {
    match stream {
        Some(stream) => Some(stream.to_owned()),
        None => Some(create.index.as_ref()?.0.clone().into_owned()),
    }
}

/// Documents that the engine has.
struct Done<'d> {
    acks: &'d Acks,
    finished: Finished,
    freshness: LocalHistogram,
    /// Milliseconds since the epoch.
    now: i64,
}

impl<'d> Done<'d> {
    fn new(settling: &Settling<'d>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            acks: settling.acks,
            finished: Finished::default(),
            freshness: settling.stats.freshness.local(),
            now: now.map_or(0, |now| now.as_millis() as i64),
        }
    }

    fn add(&mut self, batch: &Batch, item: usize) {
        let age = self.now.saturating_sub(batch.event_at(item));
        self.freshness.observe(age.max(0) as f64 / 1000.0);
        self.finished.add(batch, item);
    }

    /// Acknowledges them; how many there are.
    fn acknowledge(self, batch: &Batch) -> u64 {
        self.finished.acknowledge(batch, self.acks)
    }
}
