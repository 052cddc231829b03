//! One round: everything that one cluster is asked for all its consumers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Error, Group, GroupState, Offsets};
use futures::StreamExt;
use tokio::time::timeout_at;

use super::measure::{Committed, Log};
use crate::consumers::source_topics::{self, TopicShape, Topics};

/// Requests about groups that are under way at a time.
const AT_A_TIME: usize = 32;
/// Partitions whose offsets are asked for together.
const PART: usize = 200;
/// Requests for offsets of partitions that are under way at a time.
const PARTS_AT_A_TIME: usize = 16;
/// How long each answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a round found. Where something is missing it is unknown.
pub(super) struct Round {
    pub(super) log: Arc<Log>,
    /// By group.
    pub(super) committed: HashMap<String, Result<Arc<Committed>, Error>>,
    /// Of the groups that were asked about: whether it is stable.
    pub(super) stable: HashMap<String, bool>,
    pub(super) ports: Option<BTreeSet<u16>>,
    /// All that were asked about.
    pub(super) topics: Topics,
}

impl Round {
    /// Asks a cluster about topics and groups, and for some of the groups whether they are stable. What is not known by the
    /// end of `limit` stays unknown.
    ///
    /// # Errors
    /// When no broker answered.
    pub(super) async fn read(
        admin: Admin,
        topics: BTreeSet<String>,
        groups: BTreeMap<String, bool>,
        limit: Duration,
    ) -> Result<Self, Error> {
        let admin = admin.with_timeout(TIMEOUT);
        let until = tokio::time::Instant::now() + limit;
        // One answer says whether there is a Kafka at all, before all else is asked.
        let brokers = admin.brokers().await?;
        let described: Vec<String> = groups
            .iter()
            .filter(|(_, describe)| **describe)
            .map(|(group, _)| group.clone())
            .collect();
        let (topics, committed, stable) = futures::join!(
            describe(&admin, &topics),
            committed(&admin, groups.into_keys().collect(), until),
            stable(&admin, described, until),
        );
        // After the commits: an offset that is committed meanwhile must not seem to lie past the end.
        let topics = topics?;
        let there = |(topic, shape): (&String, &Option<TopicShape>)| {
            Some((topic.clone(), shape.as_ref()?.partitions))
        };
        let log = log(&admin, topics.iter().filter_map(there).collect()).await?;
        Ok(Self {
            topics,
            log: Arc::new(log),
            committed,
            stable,
            ports: (!brokers.is_empty())
                .then(|| brokers.into_iter().map(|(_, port)| port).collect()),
        })
    }
}

async fn describe(admin: &Admin, topics: &BTreeSet<String>) -> Result<Topics, Error> {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    Ok(source_topics::topics(
        &admin.describe_topics(&topics).await?,
    ))
}

/// A partition without a leader is not in the answer; the others are.
async fn log(admin: &Admin, partitions: BTreeMap<String, i32>) -> Result<Log, Error> {
    let all: Vec<(String, i32)> = partitions
        .iter()
        .flat_map(|(topic, count)| (0..*count).map(move |partition| (topic.clone(), partition)))
        .collect();
    let starts = in_parts(&all, |part| {
        let admin = admin.clone();
        async move { admin.log_start_offsets(part).await }
    });
    let ends = in_parts(&all, |part| {
        let admin = admin.clone();
        async move { admin.log_end_offsets(part).await }
    });
    let (starts, ends) = futures::join!(starts, ends);
    Ok(Log {
        starts: starts?,
        ends: ends?,
        partitions,
        at: Instant::now(),
    })
}

/// Offsets of many partitions, some at a time: librdkafka's work grows with the square of their number, and what goes wrong
/// with one part leaves the others known.
///
/// # Errors
/// When no part was answered.
async fn in_parts<F>(
    partitions: &[(String, i32)],
    ask: impl Fn(Vec<(String, i32)>) -> F,
) -> Result<Offsets, Error>
where
    F: Future<Output = Result<Offsets, Error>>,
{
    let parts: Vec<F> = partitions
        .chunks(PART)
        .map(|part| ask(part.to_vec()))
        .collect();
    let answers = futures::stream::iter(parts).buffer_unordered(PARTS_AT_A_TIME);
    let answers: Vec<_> = answers.collect().await;
    let (mut known, mut failed) = (Offsets::new(), None);
    for answer in answers {
        match answer {
            Ok(offsets) => known.extend(offsets),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if known.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(%error, "the lag of some topics is unknown");
            Ok(known)
        }
        None => Ok(known),
    }
}

async fn committed(
    admin: &Admin,
    groups: Vec<String>,
    until: tokio::time::Instant,
) -> HashMap<String, Result<Arc<Committed>, Error>> {
    let asked: Vec<_> = groups
        .into_iter()
        .map(|group| one_committed(admin.clone(), group, until))
        .collect();
    futures::stream::iter(asked)
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await
}

async fn one_committed(
    admin: Admin,
    group: String,
    until: tokio::time::Instant,
) -> (String, Result<Arc<Committed>, Error>) {
    let offsets = timeout_at(until, admin.committed_offsets(&group)).await;
    let offsets: Result<Offsets, Error> = offsets.unwrap_or_else(|_| {
        let why = "the group's coordinator did not answer in time";
        Err(Error::not_yet("ListConsumerGroupOffsets", why))
    });
    let committed = offsets.map(|offsets| {
        Arc::new(Committed {
            offsets,
            at: Instant::now(),
        })
    });
    (group, committed)
}

async fn stable(
    admin: &Admin,
    groups: Vec<String>,
    until: tokio::time::Instant,
) -> HashMap<String, bool> {
    // One coordinator that is away holds up a whole request.
    let asked: Vec<_> = groups
        .chunks(AT_A_TIME)
        .map(|groups| {
            let (admin, groups) = (admin.clone(), groups.to_vec());
            async move {
                let names: Vec<&str> = groups.iter().map(String::as_str).collect();
                let described = timeout_at(until, admin.describe_groups(&names)).await;
                described.ok().and_then(Result::ok).unwrap_or_default()
            }
        })
        .collect();
    let described: Vec<BTreeMap<String, Result<Group, Error>>> = futures::stream::iter(asked)
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    described
        .into_iter()
        .flatten()
        .filter_map(|(group, described)| Some((group, is_stable(described.ok()?)?)))
        .collect()
}

fn is_stable(group: Group) -> Option<bool> {
    match group.state {
        GroupState::Rebalancing => Some(false),
        GroupState::Stable | GroupState::Empty | GroupState::Dead => Some(true),
        GroupState::Unknown => None,
    }
}
