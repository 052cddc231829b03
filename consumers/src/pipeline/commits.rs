//! How what is done gets committed: the offsets alone, or in one transaction with state and dead letters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Statistics;

use super::dead_letters::DeadLetters;
use super::lease::Renewal;
use super::letter::Letter;
use super::record::{Assignment, Origin};
use super::restore::Restorer;
use super::transactions::Transactions;
use crate::stats::Stats;

/// Beside the bytes themselves a letter takes headers, its error and bookkeeping.
const LETTER_OVERHEAD: usize = 1024;
/// A commit that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(120);

/// How what is done gets committed.
pub(crate) enum Commits {
    /// The offsets alone, by the consumer itself. Dead letters are written first, and acknowledged.
    Offsets(DeadLetters),
    /// Everything together.
    Exact(Box<Exact>),
}

/// Offsets, state and dead letters in one transaction.
pub(crate) struct Exact {
    pub(super) transactions: Transactions,
    pub(super) restorer: Restorer,
    /// Of the lease of what is shown.
    pub(super) renewal: Renewal,
    pub(super) state_topic: String,
    pub(super) letters_topic: Arc<str>,
    /// The state topic's id, once it is known: one made anew has another.
    pub(super) state_topic_id: Option<String>,
    /// What is to be written with the offsets above it.
    pub(super) letters: Vec<Arc<Letter>>,
    /// Until then partitions that have letters are not committed.
    pub(super) letters_wait: Option<Instant>,
    pub(super) under_way: Option<UnderWay>,
    pub(super) failing: bool,
    pub(super) logged: Option<Instant>,
    /// Commits in a row that came too late for the generation.
    pub(super) fenced: u32,
}

/// A batch whose outcome is not known.
pub(super) struct UnderWay {
    pub letters: Vec<Arc<Letter>>,
    pub began: Instant,
}

/// What became of an event that cannot be taken.
pub(super) struct Rejected {
    /// What it occupies until it is written.
    pub bytes: usize,
    /// Its record is not done before that is acknowledged.
    pub acknowledged_later: bool,
}

impl Commits {
    pub(super) fn exact(
        transactions: Transactions,
        restorer: Restorer,
        renewal: Renewal,
        state_topic: String,
        letters_topic: Arc<str>,
    ) -> Self {
        Self::Exact(Box::new(Exact {
            transactions,
            restorer,
            renewal,
            state_topic,
            letters_topic,
            state_topic_id: None,
            letters: Vec::new(),
            letters_wait: None,
            under_way: None,
            failing: false,
            logged: None,
            fenced: 0,
        }))
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Commits::Exact(_))
    }

    pub(super) fn restorer(&self) -> Option<&Restorer> {
        match self {
            Commits::Offsets(_) => None,
            Commits::Exact(exact) => Some(&exact.restorer),
        }
    }

    pub(super) fn state_topic(&self) -> Option<String> {
        match self {
            Commits::Offsets(_) => None,
            Commits::Exact(exact) => Some(exact.state_topic.clone()),
        }
    }

    /// Timed work; called many times a second.
    pub(super) fn tick(&self, now: Instant) {
        if let Commits::Offsets(dead_letters) = self {
            dead_letters.tick(now);
        }
    }

    /// librdkafka tells how it gets on with the brokers.
    pub(super) fn heard(&mut self, statistics: &Statistics) {
        if let Commits::Exact(exact) = self {
            exact.renewal.observe(statistics);
        }
    }

    /// Progress waits for Kafka to take what is written.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Commits::Offsets(dead_letters) => dead_letters.pending() > 0,
            Commits::Exact(exact) => exact.failing,
        }
    }

    /// A commit that does not end.
    pub(super) fn stuck(&self) -> Option<String> {
        let Commits::Exact(exact) = self else {
            return None;
        };
        let took = exact.under_way.as_ref()?.began.elapsed();
        (took > STUCK).then(|| format!("a commit has not ended for {} s", took.as_secs()))
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Commits::Exact(exact) if exact.under_way.is_some())
    }

    pub(super) fn forget(&self, assignment: &Assignment) {
        if let Some(restorer) = self.restorer() {
            restorer.forget(assignment);
        }
    }

    /// Writes an event that cannot be taken to the dead-letter topic.
    pub(super) fn reject(
        &mut self,
        origin: &Origin<'_>,
        reason: &'static str,
        error: String,
        stats: &Stats,
    ) -> Rejected {
        let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let bytes = of(origin.bytes) + of(origin.key) + LETTER_OVERHEAD;
        let original = origin.to_original();
        match self {
            Commits::Offsets(dead_letters) => {
                dead_letters.send(original, reason, error, bytes);
            }
            Commits::Exact(exact) => {
                stats.dead_letters_pending.inc();
                let letter = Letter::new(original, reason, error, bytes);
                exact.letters.push(Arc::new(letter));
            }
        }
        Rejected {
            bytes,
            acknowledged_later: matches!(self, Commits::Offsets(_)),
        }
    }

    /// Forgets the letters of partitions that have left: their next owner writes them. Returns what they occupied.
    pub(super) fn drop_letters(&mut self, stats: &Stats) -> usize {
        let Commits::Exact(exact) = self else {
            return 0;
        };
        let mut bytes = 0;
        exact.letters.retain(|letter| {
            let stays = !letter.original.assignment.is_revoked();
            if !stays {
                bytes += letter.bytes;
                stats.dead_letters_pending.dec();
            }
            stays
        });
        bytes
    }
}
