//! Lag: read for all consumers of a cluster together, once an interval, by a task of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_consumers::config::StartFrom;
use bt_kafka::{Admin, Offsets};
use kube::runtime::reflector::Store;

use super::desired::{cluster, group_id};
use super::key;
use crate::api::{Lag, TelemetryConsumer, TopicLag};
use crate::clusters::{Cluster, Unconnected};
use crate::context::Context;

/// The last reading of one consumer.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Absent where Kafka did not say enough: unknown is not zero.
    pub lag: Option<Lag>,
    /// Records per second since the reading before.
    pub rate: Option<f64>,
    committed: Offsets,
    at: Instant,
}

/// The readings of all consumers, by [`key`].
#[derive(Clone, Default)]
pub struct LagReader {
    readings: Arc<Mutex<HashMap<String, Reading>>>,
}

impl LagReader {
    /// The last reading of a consumer, unless it is too old to be true.
    pub fn of(&self, consumer: &TelemetryConsumer, no_older_than: Duration) -> Option<Reading> {
        let reading = self.lock().get(&key(consumer)).cloned();
        reading.filter(|reading| reading.at.elapsed() <= no_older_than)
    }

    /// Drops what is known of a consumer that is gone.
    pub fn forget(&self, consumer: &TelemetryConsumer) {
        self.lock().remove(&key(consumer));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Reading>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads for ever, once an interval.
    pub async fn keep_reading(self, context: Arc<Context>, store: Store<TelemetryConsumer>) {
        let mut interval = tokio::time::interval(context.settings.lag_interval());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let consumers = store.state();
            let alive: BTreeSet<String> = consumers.iter().map(|consumer| key(consumer)).collect();
            self.lock().retain(|key, _| alive.contains(key));
            let mut clusters: HashMap<Cluster, Vec<Arc<TelemetryConsumer>>> = HashMap::new();
            for consumer in consumers {
                let cluster = cluster(&consumer, &context.settings);
                clusters.entry(cluster).or_default().push(consumer);
            }
            // Clusters beside each other: one that does not answer holds up no other.
            let reads = clusters.into_iter().map(|(cluster, consumers)| {
                let (reader, context) = (self.clone(), context.clone());
                async move { reader.read_cluster(&context, &cluster, &consumers).await }
            });
            futures::future::join_all(reads).await;
        }
    }

    async fn read_cluster(
        &self,
        context: &Context,
        cluster: &Cluster,
        consumers: &[Arc<TelemetryConsumer>],
    ) {
        let read = async {
            let admin = context.clusters.connect(cluster).await?;
            let state = State::read(&admin, consumers).await?;
            Ok::<_, Unconnected>((admin, state))
        };
        let (admin, state) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(kafka = cluster.bootstrap_servers, %error, "lag is unknown");
                let mut readings = self.lock();
                for consumer in consumers {
                    readings.remove(&key(consumer));
                }
                return;
            }
        };
        for consumer in consumers {
            let committed = match admin.committed_offsets(&group_id(consumer)).await {
                Ok(committed) => committed,
                Err(error) => {
                    tracing::warn!(consumer = key(consumer), %error, "lag is unknown");
                    self.forget(consumer);
                    continue;
                }
            };
            let now = Instant::now();
            let mut readings = self.lock();
            let before = readings.get(&key(consumer));
            let rate = before.and_then(|before| {
                let seconds = now.duration_since(before.at).as_secs_f64();
                rate(&before.committed, &committed, seconds)
            });
            let reading = Reading {
                lag: lag(
                    &consumer.spec.topics,
                    consumer.spec.start_from,
                    &state,
                    &committed,
                ),
                rate,
                committed,
                at: now,
            };
            readings.insert(key(consumer), reading);
        }
    }
}

/// What a cluster says of the topics that its consumers carry.
struct State {
    partitions: BTreeMap<String, i32>,
    starts: Offsets,
    ends: Offsets,
}

impl State {
    async fn read(
        admin: &Admin,
        consumers: &[Arc<TelemetryConsumer>],
    ) -> Result<Self, bt_kafka::Error> {
        let topics: BTreeSet<&str> = consumers
            .iter()
            .flat_map(|consumer| &consumer.spec.topics)
            .map(String::as_str)
            .collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let partitions: BTreeMap<String, i32> = admin
            .describe_topics(&topics)
            .await?
            .into_iter()
            .filter_map(|(name, topic)| Some((name, topic.ok()?.partitions)))
            .collect();
        let all: Vec<(String, i32)> = partitions
            .iter()
            .flat_map(|(name, count)| (0..*count).map(move |partition| (name.clone(), partition)))
            .collect();
        Ok(Self {
            starts: admin.log_start_offsets(all.clone()).await?,
            ends: admin.log_end_offsets(all).await?,
            partitions,
        })
    }
}

/// `None` where any partition's state is not known.
fn lag(
    topics: &[String],
    start_from: StartFrom,
    state: &State,
    committed: &Offsets,
) -> Option<Lag> {
    let mut lag = Lag::default();
    for topic in topics {
        let partitions = *state.partitions.get(topic)?;
        let mut of_topic = 0;
        for partition in 0..partitions {
            let partition = (topic.clone(), partition);
            let (start, end) = (*state.starts.get(&partition)?, *state.ends.get(&partition)?);
            of_topic += partition_lag(start, end, committed.get(&partition).copied(), start_from);
        }
        lag.total += of_topic;
        lag.topics.push(TopicLag {
            topic: topic.clone(),
            partitions,
            lag: of_topic,
        });
    }
    Some(lag)
}

fn partition_lag(start: i64, end: i64, committed: Option<i64>, start_from: StartFrom) -> i64 {
    match (committed, start_from) {
        // An offset past the end belongs to a former topic of that name: the consumer will start anew.
        (Some(offset), _) if offset <= end => end - offset.max(start),
        (_, StartFrom::Earliest) => end - start,
        (_, StartFrom::Latest) => 0,
    }
}

/// Records per second; `None` where the partitions differ or went back, for then the difference means nothing.
fn rate(before: &Offsets, now: &Offsets, seconds: f64) -> Option<f64> {
    if seconds <= 0.0 || before.keys().ne(now.keys()) {
        return None;
    }
    let sum = |offsets: &Offsets| offsets.values().sum::<i64>();
    let records = sum(now) - sum(before);
    (records >= 0).then(|| (records as f64 / seconds * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_only_what_is_there_to_be_carried() {
        use StartFrom::{Earliest, Latest};
        for (start, end, committed, start_from, expected) in [
            (0, 10, Some(4), Earliest, 6),
            (0, 10, Some(10), Earliest, 0),
            (0, 10, None, Earliest, 10),
            (0, 10, None, Latest, 0),
            (7, 10, Some(4), Earliest, 3),
            (7, 10, None, Earliest, 3),
            (0, 10, Some(50), Earliest, 10),
            (0, 10, Some(50), Latest, 0),
        ] {
            let lag = partition_lag(start, end, committed, start_from);
            assert_eq!(lag, expected, "{start} {end} {committed:?} {start_from:?}");
        }
    }

    #[test]
    fn a_partition_that_is_not_known_makes_the_lag_unknown() {
        let state = State {
            partitions: BTreeMap::from([("t".into(), 2)]),
            starts: Offsets::from([(("t".into(), 0), 0), (("t".into(), 1), 0)]),
            ends: Offsets::from([(("t".into(), 0), 5)]),
        };
        let topics = ["t".to_owned()];
        assert_eq!(
            lag(&topics, StartFrom::Earliest, &state, &Offsets::new()),
            None
        );
        let known = State {
            ends: state.starts.keys().map(|p| (p.clone(), 5)).collect(),
            ..state
        };
        let found = lag(&topics, StartFrom::Earliest, &known, &Offsets::new()).expect("known");
        assert_eq!((found.total, found.topics[0].partitions), (10, 2));
    }

    #[test]
    fn the_rate_is_unknown_when_offsets_went_back() {
        let at = |offset| Offsets::from([(("t".to_owned(), 0), offset)]);
        assert_eq!(rate(&at(10), &at(40), 10.0), Some(3.0));
        assert_eq!(rate(&at(40), &at(10), 10.0), None);
        assert_eq!(rate(&Offsets::new(), &at(10), 10.0), None);
    }
}
