//! Counts of what became of the events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What became of the events given to one producer since it was made.
///
/// `sent` were taken into the queue; of those `delivered` are acknowledged by Kafka, `queued` still wait, and the rest
/// is in `dropped`, which also has the events that never got into the queue, by reason. What the SDK sends about itself
/// is not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Taken into the queue.
    pub sent: u64,
    /// Acknowledged by Kafka.
    pub delivered: u64,
    /// Neither delivered nor given up yet.
    pub queued: u64,
    /// Lost, by reason; see the README for what to do about each.
    pub dropped: BTreeMap<String, u64>,
}

/// Why an event is dropped before it gets into the queue. Counting these takes no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    QueueFull,
    Invalid,
    Unserialisable,
    TooLarge,
    Closed,
    Misconfigured,
}

impl Refusal {
    const ALL: [Refusal; 6] = [
        Refusal::QueueFull,
        Refusal::Invalid,
        Refusal::Unserialisable,
        Refusal::TooLarge,
        Refusal::Closed,
        Refusal::Misconfigured,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Refusal::QueueFull => "queue_full",
            Refusal::Invalid => "invalid",
            Refusal::Unserialisable => "unserialisable",
            Refusal::TooLarge => "msg_size_too_large",
            Refusal::Closed => "closed",
            Refusal::Misconfigured => "misconfigured",
        }
    }
}

/// Thread-safe counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    lost: Mutex<BTreeMap<String, u64>>,
    details: Mutex<BTreeMap<String, String>>,
}

impl Counts {
    pub(crate) fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(crate) fn delivered_so_far(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// An event was dropped before it was counted as sent.
    pub(crate) fn refused(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    /// As [`Counts::refused`], with what the report shows of the latest.
    pub(crate) fn refused_with(&self, why: Refusal, detail: &str) {
        self.refused(why);
        self.explain(why, detail);
    }

    /// What the report shows about a reason; nobody waits for a lock to say it.
    pub(crate) fn explain(&self, why: Refusal, detail: &str) {
        if let Ok(mut details) = self.details.try_lock() {
            details.insert(why.name().to_owned(), cut(detail));
        }
    }

    /// An event that was counted as sent is given up.
    pub(crate) fn lost(&self, reason: &str, detail: &str) {
        self.failed.fetch_add(1, Relaxed);
        *lock(&self.lost).entry(reason.to_owned()).or_default() += 1;
        lock(&self.details).insert(reason.to_owned(), cut(detail));
    }

    /// The latest detail of a reason.
    pub(crate) fn detail(&self, reason: &str) -> String {
        lock(&self.details).get(reason).cloned().unwrap_or_default()
    }

    /// All that were dropped, by reason.
    pub(crate) fn dropped(&self) -> BTreeMap<String, u64> {
        let mut dropped = lock(&self.lost).clone();
        for refusal in Refusal::ALL {
            let count = self.refused[refusal as usize].load(Relaxed);
            if count > 0 {
                *dropped.entry(refusal.name().to_owned()).or_default() += count;
            }
        }
        dropped
    }

    pub(crate) fn stats(&self) -> Stats {
        // In this order `queued` cannot come out negative.
        let gone = self.failed.load(Relaxed);
        let delivered = self.delivered.load(Relaxed);
        let sent = self.sent.load(Relaxed).max(delivered + gone);
        Stats {
            sent,
            delivered,
            queued: sent - delivered - gone,
            dropped: self.dropped(),
        }
    }
}

/// A lock that a panic elsewhere does not take away.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut(detail: &str) -> String {
    detail.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_one_place() {
        let counts = Counts::default();
        (0..5).for_each(|_| counts.sent());
        counts.delivered();
        counts.lost("timed_out", "t: no answer");
        counts.lost("msg_size_too_large", "t: too large");
        counts.refused(Refusal::TooLarge);
        counts.refused_with(Refusal::Invalid, "metric name");
        let stats = counts.stats();
        assert_eq!((stats.sent, stats.delivered, stats.queued), (5, 1, 2));
        let dropped = [("invalid", 1), ("msg_size_too_large", 2), ("timed_out", 1)];
        assert_eq!(
            stats.dropped,
            dropped.map(|(k, v)| (k.to_owned(), v)).into()
        );
        assert_eq!(counts.detail("invalid"), "metric name");
    }
}
