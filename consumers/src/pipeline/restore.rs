//! What a partition's state is, and where to go on, before anything of the partition is consumed.

mod plan;
mod read;

pub(crate) use read::is_final;

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_kafka::{Admin, Connection, Offsets};

use super::record::Assignment;
use super::topic_watch::url_safe;
use crate::config::StartFrom;
use crate::sink::prometheus::{PartitionSeries, Room, SeriesSettings, Source, StateError};
use crate::sink_state::SinkState;
use crate::stats::Stats;
use plan::{Known, plan};

const RETRY: Duration = Duration::from_secs(1);
/// Where trying again helps only once somebody has done something.
const RETRY_LATER: Duration = Duration::from_secs(15);
/// Between two looks whether a former owner's transaction is decided.
const UNDECIDED: Duration = Duration::from_millis(100);
/// How many looks, before the others go on without.
const DECIDED_SOON: usize = 10;

/// A partition with its state, ready to be consumed.
pub(super) struct Restored {
    pub assignment: Arc<Assignment>,
    pub series: PartitionSeries,
    /// The first offset to consume.
    pub start: i64,
    /// Where the partition ended after it was assigned: what a former owner has shown came from below.
    pub end: i64,
    /// Kafka's id of the state topic.
    pub state_topic_id: String,
}

/// Who restores, and from where.
pub(super) struct Settings {
    pub kafka: Connection,
    pub client_id: String,
    pub group_id: String,
    pub state_topic: String,
    pub start_from: StartFrom,
    pub series: Arc<SeriesSettings>,
}

/// Restores partitions in the background.
pub(super) struct Restorer {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    restored: Receiver<Restored>,
}

struct Shared {
    settings: Settings,
    admin: Admin,
    stats: Arc<Stats>,
    state: Arc<SinkState>,
    sender: Sender<Restored>,
    /// What stands in the way of partitions that are being restored.
    obstacles: Mutex<BTreeMap<(Arc<str>, i32), String>>,
}

impl Restorer {
    pub fn new(
        settings: Settings,
        admin: Admin,
        runtime: tokio::runtime::Handle,
        stats: Arc<Stats>,
        state: Arc<SinkState>,
    ) -> Self {
        let (sender, restored) = channel();
        Self {
            shared: Arc::new(Shared {
                settings,
                admin,
                stats,
                state,
                sender,
                obstacles: Mutex::default(),
            }),
            runtime,
            restored,
        }
    }

    /// Begins with partitions that have just been assigned.
    pub fn begin(&self, assignments: Vec<Arc<Assignment>>) {
        let shared = self.shared.clone();
        self.runtime.spawn(shared.restore(assignments));
    }

    /// The next partition that is ready, unless it has left meanwhile.
    pub fn take(&self) -> Option<Restored> {
        loop {
            let restored = self.restored.try_recv().ok()?;
            if !restored.assignment.is_revoked() {
                return Some(restored);
            }
        }
    }

    /// What stands in the way, if anything does.
    pub fn obstacle(&self) -> Option<String> {
        let obstacles = self.shared.lock();
        let ((topic, partition), why) = obstacles.iter().next()?;
        let more = match obstacles.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!("{topic}/{partition}: {why}{more}"))
    }

    /// What stands in the way of one partition is of no concern any more.
    pub fn forget(&self, assignment: &Assignment) {
        self.shared.lock().remove(&key(assignment));
    }
}

fn key(assignment: &Assignment) -> (Arc<str>, i32) {
    (assignment.topic.clone(), assignment.partition)
}

/// Why partitions cannot be restored now.
enum Obstacle {
    /// All of them.
    All(String),
    /// Some of them; the others are.
    Some(Vec<(Arc<Assignment>, String, Duration)>),
}

impl From<bt_kafka::Error> for Obstacle {
    fn from(error: bt_kafka::Error) -> Self {
        let hint = match () {
            () if error.is_auth() => {
                "; check what this user may do with the group and the state topic"
            }
            () => "",
        };
        Obstacle::All(format!("Kafka: {error}{hint}"))
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Arc<str>, i32), String>> {
        self.obstacles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn restore(self: Arc<Self>, mut todo: Vec<Arc<Assignment>>) {
        let began = Instant::now();
        let mut pause = RETRY;
        loop {
            todo.retain(|assignment| !assignment.is_revoked());
            let mut done = Vec::new();
            let obstacle = match todo.is_empty() {
                true => return,
                false => self.attempt(&todo, &mut done).await,
            };
            for restored in done {
                todo.retain(|a| a.generation != restored.assignment.generation);
                self.lock().remove(&key(&restored.assignment));
                self.stats
                    .restore_seconds
                    .observe(began.elapsed().as_secs_f64());
                // Nobody listens once the process ends.
                let _ = self.sender.send(restored);
            }
            match obstacle {
                Ok(()) => {}
                Err(Obstacle::All(why)) => {
                    pause = RETRY;
                    for assignment in &todo {
                        self.obstructed(assignment, why.clone());
                    }
                }
                Err(Obstacle::Some(some)) => {
                    pause = some
                        .iter()
                        .map(|(_, _, pause)| *pause)
                        .min()
                        .unwrap_or(RETRY);
                    for (assignment, why, _) in some {
                        self.obstructed(&assignment, why);
                    }
                }
            }
            if !todo.is_empty() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Tells once for each reason.
    fn obstructed(&self, assignment: &Assignment, why: String) {
        if assignment.is_revoked() {
            return;
        }
        let before = self.lock().insert(key(assignment), why.clone());
        if before.as_ref() != Some(&why) {
            let (topic, partition) = (&*assignment.topic, assignment.partition);
            tracing::warn!(
                topic,
                partition,
                why,
                "cannot restore a partition yet; it is not consumed, and tried again"
            );
        }
    }

    /// Restores as many as possible.
    async fn attempt(
        &self,
        todo: &[Arc<Assignment>],
        done: &mut Vec<Restored>,
    ) -> Result<(), Obstacle> {
        let topic = &self.settings.state_topic;
        let described = self.admin.describe_topics(&[topic]).await?.remove(topic);
        let described = match described {
            Some(Ok(described)) => described,
            Some(Err(error)) if error.is_unknown_topic() => {
                return Err(Obstacle::All(format!(
                    "the state topic {topic} does not exist yet; the operator makes it as a KafkaTopic"
                )));
            }
            Some(Err(error)) => return Err(error.into()),
            None => {
                return Err(Obstacle::All(format!(
                    "Kafka says nothing of the state topic {topic}"
                )));
            }
        };
        let (possible, without): (Vec<_>, Vec<_>) = todo
            .iter()
            .cloned()
            .partition(|a| a.partition < described.partitions);
        let mut obstacles: Vec<_> = without
            .into_iter()
            .map(|assignment| {
                let why = format!(
                    "the state topic {topic} has {} partitions and needs at least {}; the operator adds them",
                    described.partitions,
                    assignment.partition + 1
                );
                (assignment, why, RETRY)
            })
            .collect();
        if !possible.is_empty() {
            self.attempt_possible(&possible, &described.id, done, &mut obstacles)
                .await?;
        }
        match obstacles.is_empty() {
            true => Ok(()),
            false => Err(Obstacle::Some(obstacles)),
        }
    }

    async fn attempt_possible(
        &self,
        todo: &[Arc<Assignment>],
        state_topic_id: &str,
        done: &mut Vec<Restored>,
        obstacles: &mut Vec<(Arc<Assignment>, String, Duration)>,
    ) -> Result<(), Obstacle> {
        // The order matters: when the offsets are stable, everything that was committed with them is in the state topic,
        // below what is its end then, though it may not be visible there yet.
        let committed = self
            .admin
            .stable_committed_offsets(&self.settings.group_id, partitions(todo))
            .await?;
        let state: Vec<(String, i32)> = state_partitions(todo, &self.settings.state_topic);
        let ends = self.admin.log_end_offsets(state.clone()).await?;
        let open = self.open(&state, &ends).await?;
        let (waiting, todo): (Vec<_>, Vec<_>) = todo
            .iter()
            .cloned()
            .partition(|assignment| open.contains(&assignment.partition));
        obstacles.extend(waiting.into_iter().map(|assignment| {
            let why = format!(
                "a former owner's transaction in {}/{} is still open; Kafka ends it within 20 s",
                self.settings.state_topic, assignment.partition
            );
            (assignment, why, UNDECIDED)
        }));
        if todo.is_empty() {
            return Ok(());
        }
        let state = state_partitions(&todo, &self.settings.state_topic);

        let mut series = HashMap::new();
        for assignment in &todo {
            let new = PartitionSeries::new(Source::of(assignment), self.settings.series.clone());
            series.insert(assignment.generation, (assignment.clone(), new));
        }
        let read = read::Read {
            kafka: self.settings.kafka.clone(),
            client_id: format!("{}-restore", self.settings.client_id),
            group_id: self.settings.group_id.clone(),
            topic: self.settings.state_topic.clone(),
            partitions: state.into_iter().map(|(_, partition)| partition).collect(),
            stats: self.stats.clone(),
        };
        let read = tokio::task::spawn_blocking(move || read.run(series))
            .await
            .expect("reading does not panic and is never aborted");
        let read =
            read.map_err(|error| Obstacle::All(format!("Kafka: reading the state: {error}")))?;

        let sources = partitions(&todo);
        let begins = self.admin.log_start_offsets(sources.clone()).await?;
        let ends = self.admin.last_stable_offsets(sources).await?;
        for (assignment, loaded) in read {
            let name = (assignment.topic.to_string(), assignment.partition);
            let (Some(begin), Some(end)) = (begins.get(&name), ends.get(&name)) else {
                obstacles.push((
                    assignment,
                    "Kafka does not say where the partition begins and ends".into(),
                    RETRY,
                ));
                continue;
            };
            let read::Loaded {
                mut series,
                outcome,
            } = loaded;
            let (meta, why) = match outcome {
                Ok(meta) => (meta, None),
                Err(error @ StateError::Newer { .. }) => {
                    obstacles.push((assignment, error.to_string(), RETRY_LATER));
                    continue;
                }
                Err(error) => (None, Some(error.to_string())),
            };
            let known = Known {
                committed: committed.get(&name).copied(),
                state: meta,
                state_topic: &self.settings.state_topic,
                topic_id: &assignment.topic_id,
                begin: *begin,
                end: *end,
                start_from: self.settings.start_from,
            };
            let plan = plan(&known, why.as_deref());
            if let Some((reason, message)) = plan.notice {
                let (topic, partition) = (&*assignment.topic, assignment.partition);
                tracing::warn!(topic, partition, reason, "{message}");
                let message = format!("{topic}/{partition}: {message}");
                self.stats.state_notices.with_label_values(&[reason]).inc();
                self.state.notice(reason, message);
            }
            if plan.anew {
                series.discard(&mut Room::default());
            }
            done.push(Restored {
                series,
                start: plan.start,
                end: *end,
                assignment,
                state_topic_id: url_safe(state_topic_id),
            });
        }
        Ok(())
    }

    /// Partitions of the state topic with a transaction below these ends that does not get decided soon. Most do.
    async fn open(&self, state: &[(String, i32)], ends: &Offsets) -> Result<Vec<i32>, Obstacle> {
        let mut open = Vec::new();
        for _ in 0..DECIDED_SOON {
            let stable = self.admin.last_stable_offsets(state.to_vec()).await?;
            let is_open =
                |partition: &&(String, i32)| match (stable.get(*partition), ends.get(*partition)) {
                    (Some(stable), Some(end)) => stable < end,
                    _ => true,
                };
            open = state
                .iter()
                .filter(is_open)
                .map(|(_, partition)| *partition)
                .collect();
            if open.is_empty() {
                break;
            }
            tokio::time::sleep(UNDECIDED).await;
        }
        Ok(open)
    }
}

fn partitions(assignments: &[Arc<Assignment>]) -> Vec<(String, i32)> {
    let names = assignments
        .iter()
        .map(|a| (a.topic.to_string(), a.partition));
    names.collect()
}

/// The partitions of the state topic: each holds what belongs to the partitions of its number, whatever their topic.
fn state_partitions(assignments: &[Arc<Assignment>], topic: &str) -> Vec<(String, i32)> {
    let mut numbers: Vec<i32> = assignments.iter().map(|a| a.partition).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
        .into_iter()
        .map(|number| (topic.to_owned(), number))
        .collect()
}
