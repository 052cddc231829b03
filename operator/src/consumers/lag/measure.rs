//! From offsets to lag and rates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_consumers::config::StartFrom;
use bt_kafka::Offsets;

use super::Reading;
use crate::api::{Lag, TelemetryConsumerSpec, TopicLag};

/// What a cluster says of the topics that its consumers carry.
#[derive(Debug)]
pub(super) struct Log {
    /// Numbers of partitions.
    pub(super) partitions: BTreeMap<String, i32>,
    pub(super) starts: Offsets,
    pub(super) ends: Offsets,
    pub(super) at: Instant,
}

/// What a group has committed.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) offsets: Offsets,
    pub(super) at: Instant,
}

/// One look at a consumer: what the next one is compared with.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) log: Arc<Log>,
    pub(super) committed: Arc<Committed>,
}

/// What the spec says that counts here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carried<'a> {
    pub(super) topics: &'a [String],
    pub(super) start_from: StartFrom,
}

impl<'a> From<&'a TelemetryConsumerSpec> for Carried<'a> {
    fn from(spec: &'a TelemetryConsumerSpec) -> Self {
        Self {
            topics: &spec.topics,
            start_from: spec.start_from,
        }
    }
}

/// A reading from this look and the one before.
pub(super) fn reading(
    carried: Carried<'_>,
    now: &Look,
    before: Option<&Look>,
    group: Option<bool>,
) -> Reading {
    let lag = carried.lag(now);
    let per_second = |records: Option<i64>, time: Duration| {
        let rate = records? as f64 / time.as_secs_f64();
        rate.is_finite().then(|| (rate * 10.0).round() / 10.0)
    };
    let rate = before.and_then(|before| {
        let time = now.committed.at.duration_since(before.committed.at);
        per_second(carried.committed_since(before, now), time)
    });
    let produced = before.and_then(|before| {
        let time = now.log.at.duration_since(before.log.at);
        per_second(carried.arrived_since(before, now), time)
    });
    let (lag, behind) = lag.unzip();
    Reading {
        drain_eta: lag
            .as_ref()
            .and_then(|lag| drain_eta(lag.total, rate?, produced?)),
        lag,
        rate,
        produced,
        partitions: carried.partitions(&now.log),
        behind,
        uncommitted: carried.is_uncommitted(now),
        group,
        at: now.committed.at,
    }
}

fn drain_eta(lag: i64, rate: f64, produced: f64) -> Option<Duration> {
    match lag {
        0 => Some(Duration::ZERO),
        _ if rate > produced => {
            Duration::try_from_secs_f64((lag as f64 / (rate - produced)).ceil()).ok()
        }
        _ => None,
    }
}

impl Carried<'_> {
    fn partitions(&self, log: &Log) -> Option<i32> {
        let counts = self.topics.iter().map(|topic| log.partitions.get(topic));
        counts.sum()
    }

    /// All partitions; none where a topic is not known.
    fn all(&self, log: &Log) -> Option<Vec<(String, i32)>> {
        let mut all = Vec::new();
        for topic in self.topics {
            let count = *log.partitions.get(topic)?;
            all.extend((0..count).map(|partition| (topic.clone(), partition)));
        }
        Some(all)
    }

    /// The lag, and how many partitions have some. `None` where any partition's state is not known.
    fn lag(&self, look: &Look) -> Option<(Lag, i32)> {
        let (mut lag, mut behind) = (Lag::default(), 0);
        for topic in self.topics {
            let partitions = *look.log.partitions.get(topic)?;
            let mut of_topic = 0;
            for partition in 0..partitions {
                let partition = (topic.clone(), partition);
                let end = *look.log.ends.get(&partition)?;
                let position = self.position(look, &partition)?;
                of_topic += end - position;
                behind += i32::from(end > position);
            }
            lag.total += of_topic;
            lag.topics.push(TopicLag {
                topic: topic.clone(),
                partitions,
                lag: of_topic,
            });
        }
        Some((lag, behind))
    }

    /// Where the consumer goes on. `None` where the partition's state is not known.
    fn position(&self, look: &Look, partition: &(String, i32)) -> Option<i64> {
        let start = *look.log.starts.get(partition)?;
        let end = *look.log.ends.get(partition)?;
        let committed = look.committed.offsets.get(partition).copied();
        Some(match (committed, self.start_from) {
            // An offset past the end belongs to a former topic of that name: the consumer will start anew.
            (Some(offset), _) if offset <= end => offset.max(start),
            (_, StartFrom::Earliest) => start,
            (_, StartFrom::Latest) => end,
        })
    }

    fn is_uncommitted(&self, look: &Look) -> bool {
        self.all(&look.log).is_some_and(|all| {
            all.iter()
                .any(|partition| !look.committed.offsets.contains_key(partition))
        })
    }

    /// Records that were committed since; `None` where offsets went back, for then the difference means nothing.
    fn committed_since(&self, before: &Look, now: &Look) -> Option<i64> {
        let mut records = 0;
        for partition in self.all(&now.log)? {
            let offset = |look: &Look| look.committed.offsets.get(&partition).copied();
            records += match (offset(before), offset(now), self.start_from) {
                (Some(then), Some(now), _) if then <= now => now - then,
                (None, None, _) => 0,
                // The first commit: from where it began.
                (None, Some(offset), StartFrom::Earliest) => {
                    (offset - now.log.starts.get(&partition)?).max(0)
                }
                (None, Some(_), StartFrom::Latest) => 0,
                _ => return None,
            };
        }
        Some(records)
    }

    /// Records that arrived since; `None` where a partition is not known, or a topic was made anew.
    fn arrived_since(&self, before: &Look, now: &Look) -> Option<i64> {
        let mut records = 0;
        for partition in self.all(&now.log)? {
            let end = *now.log.ends.get(&partition)?;
            let then = match before.log.partitions.get(&partition.0) {
                // A partition that was added.
                Some(count) if partition.1 >= *count => 0,
                _ => *before.log.ends.get(&partition)?,
            };
            if end < then {
                return None;
            }
            records += end - then;
        }
        Some(records)
    }
}
