//! How what is done gets committed: offsets alone, or in one transaction with the dead letters that they pass and, for a sink
//! that has some, the state as of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Statistics;

use super::lease::Renewal;
use super::letter::{Letter, trouble};
use super::record::Assignment;
use super::restore::Restorer;
use super::transactions::{Failure, Transactions};

/// A commit that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(120);

/// What commits, and what is under way.
pub(crate) struct Commits {
    pub(super) transactions: Transactions,
    /// Of a sink that keeps its state in Kafka.
    pub(super) kept: Option<Kept>,
    pub(super) letters_topic: Arc<str>,
    pub(super) transactional_id: String,
    pub(super) under_way: Option<UnderWay>,
    /// Commits of offsets alone whose outcome is not known.
    pub(super) plain_under_way: usize,
    /// Until then partitions whose letters may be what cannot be written are not tried again.
    pub(super) suspects_wait: Option<Instant>,
    /// The sink's state says that letters cannot be written.
    pub(super) troubled: bool,
    pub(super) failing: bool,
    pub(super) logged: Option<Instant>,
    /// Transactions in a row that came too late for the generation.
    pub(super) fenced: u32,
}

/// State that is kept in Kafka.
pub(super) struct Kept {
    pub restorer: Restorer,
    /// Of the lease of what is shown.
    pub renewal: Renewal,
    pub topic: String,
    /// The state topic's id, once it is known: one made anew has another.
    pub topic_id: Option<String>,
}

/// A transaction whose outcome is not known.
pub(super) struct UnderWay {
    pub parts: Vec<Part>,
    pub began: Instant,
}

/// What of a partition is in a transaction.
pub(super) struct Part {
    pub assignment: Arc<Assignment>,
    pub letters: Vec<Arc<Letter>>,
}

impl Commits {
    pub(super) fn new(
        transactions: Transactions,
        transactional_id: String,
        letters_topic: Arc<str>,
        kept: Option<Kept>,
    ) -> Self {
        Self {
            transactions,
            kept,
            letters_topic,
            transactional_id,
            under_way: None,
            plain_under_way: 0,
            suspects_wait: None,
            troubled: false,
            failing: false,
            logged: None,
            fenced: 0,
        }
    }

    /// The sink's state is kept in Kafka, and every commit is a transaction.
    pub(super) fn keeps_state(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn restorer(&self) -> Option<&Restorer> {
        self.kept.as_ref().map(|kept| &kept.restorer)
    }

    pub(super) fn state_topic(&self) -> Option<String> {
        self.kept.as_ref().map(|kept| kept.topic.clone())
    }

    /// librdkafka tells how it gets on with the brokers.
    pub(super) fn heard(&mut self, statistics: &Statistics) {
        if let Some(kept) = &mut self.kept {
            kept.renewal.observe(statistics);
        }
    }

    /// Progress waits for Kafka to take what is written.
    pub(super) fn is_waiting(&self) -> bool {
        self.failing || self.troubled || self.transactions.is_deciding()
    }

    /// A commit that does not end.
    pub(super) fn stuck(&self) -> Option<String> {
        let took = self.under_way.as_ref()?.began.elapsed();
        let stuck = took > STUCK && !self.transactions.is_deciding();
        stuck.then(|| format!("a commit has not ended for {} s", took.as_secs()))
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn forget(&self, assignment: &Assignment) {
        if let Some(restorer) = self.restorer() {
            restorer.forget(assignment);
        }
    }

    /// Whether letters are why a transaction failed.
    pub(super) fn is_of_letters(&self, failure: &Failure) -> bool {
        !self.keeps_state() || failure.topic.as_deref() == Some(&*self.letters_topic)
    }

    /// Why a transaction failed, for people.
    pub(super) fn why(&self, failure: &Failure) -> String {
        let error = &failure.error;
        match &self.kept {
            Some(kept) if !self.is_of_letters(failure) => format!(
                "the series are not written to the state topic {}, new ones are not shown: {error}",
                kept.topic
            ),
            _ => trouble(&self.letters_topic, &self.transactional_id, error),
        }
    }
}
