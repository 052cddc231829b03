//! Lag: read for all consumers of a cluster together, once an interval, by a task of its own.

mod measure;
mod round;

#[cfg(all(test, feature = "broker"))]
mod broker_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use kube::runtime::reflector::{ObjectRef, Store};

use self::measure::Look;
use self::round::Round;
use super::desired::{cluster, group_id};
use super::key;
use super::source_topics::SourceTopics;
use crate::api::{Lag, TelemetryConsumer};
use crate::clusters::{Cluster, Unconnected};
use crate::context::Context;

/// The last reading of one consumer. What Kafka did not say is absent: unknown is not zero.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Records not yet carried.
    pub lag: Option<Lag>,
    /// Records carried (committed) per second since the reading before.
    pub rate: Option<f64>,
    /// Records that arrived per second since the reading before.
    pub produced: Option<f64>,
    /// Number of partitions of all topics.
    pub partitions: Option<i32>,
    /// Number of partitions that have lag.
    pub behind: Option<i32>,
    /// Whether a partition has no committed offset.
    pub uncommitted: bool,
    /// Whether no rebalance goes on in the group. Only of autoscaled consumers.
    pub group: Option<bool>,
    /// Time until nothing is behind, at the present rates. Absent, too, when more arrives than is carried.
    pub drain_eta: Option<Duration>,
    /// When it was read.
    pub at: Instant,
}

/// The readings of all consumers, by [`key`].
#[derive(Clone)]
pub struct LagReader {
    known: Arc<Mutex<Known>>,
    /// Told what each round finds of them.
    topics: SourceTopics,
    read: UnboundedSender<ObjectRef<TelemetryConsumer>>,
}

#[derive(Default)]
struct Known {
    readings: HashMap<String, (Reading, Look)>,
    ports: HashMap<Cluster, BTreeSet<u16>>,
}

impl LagReader {
    /// Knows nothing yet. The stream has a reference for each consumer that a round has read, or found unreadable.
    pub fn new(
        topics: SourceTopics,
    ) -> (
        Self,
        impl Stream<Item = ObjectRef<TelemetryConsumer>> + Send + 'static,
    ) {
        let (read, refs) = unbounded();
        let reader = Self {
            known: Arc::default(),
            topics,
            read,
        };
        (reader, refs)
    }

    /// The last reading of a consumer, unless it is too old to be true.
    pub fn of(&self, consumer: &TelemetryConsumer, no_older_than: Duration) -> Option<Reading> {
        let known = self.lock();
        let (reading, _) = known.readings.get(&key(consumer))?;
        (reading.at.elapsed() <= no_older_than).then(|| reading.clone())
    }

    /// The ports that the cluster's brokers advertise, as the last round found them; kept while Kafka does not answer.
    pub fn kafka_ports(&self, cluster: &Cluster) -> Option<BTreeSet<u16>> {
        self.lock().ports.get(cluster).cloned()
    }

    /// Drops what is known of a consumer that is gone.
    pub fn forget(&self, consumer: &TelemetryConsumer) {
        self.lock().readings.remove(&key(consumer));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads for ever, once an interval.
    pub async fn keep_reading(self, context: Arc<Context>, store: Store<TelemetryConsumer>) {
        let mut interval = tokio::time::interval(context.settings.lag_interval());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Clusters beside each other: one that does not answer holds up no other.
        let mut reads = FuturesUnordered::new();
        let mut reading = HashSet::new();
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                Some(cluster) = reads.next() => {
                    reading.remove(&cluster);
                    continue;
                }
            }
            let consumers = store.state();
            let mut clusters: HashMap<Cluster, Vec<Arc<TelemetryConsumer>>> = HashMap::new();
            let alive: BTreeSet<String> = consumers.iter().map(|consumer| key(consumer)).collect();
            for consumer in consumers {
                let cluster = cluster(&consumer, &context.settings);
                clusters.entry(cluster).or_default().push(consumer);
            }
            self.keep_only(&alive, &clusters);
            for (cluster, consumers) in clusters {
                // Its last round is still going on.
                if !reading.insert(cluster.clone()) {
                    continue;
                }
                let (reader, context) = (self.clone(), context.clone());
                reads.push(async move {
                    reader.read_cluster(&context, &cluster, &consumers).await;
                    cluster
                });
            }
        }
    }

    fn keep_only<T>(&self, consumers: &BTreeSet<String>, clusters: &HashMap<Cluster, T>) {
        self.topics.keep_only(clusters);
        let mut known = self.lock();
        known.readings.retain(|key, _| consumers.contains(key));
        known
            .ports
            .retain(|cluster, _| clusters.contains_key(cluster));
    }

    async fn read_cluster(
        &self,
        context: &Context,
        cluster: &Cluster,
        consumers: &[Arc<TelemetryConsumer>],
    ) {
        let started = Instant::now();
        let (topics, groups) = asked(consumers);
        let wanted = topics.clone();
        let limit = context.settings.lag_interval().max(Duration::from_secs(5));
        let round = async {
            let admin = context.clusters.connect(cluster).await?;
            let round = Round::read(admin, topics, groups, limit).await;
            round.map_err(Unconnected::from)
        };
        match round.await {
            Ok(mut round) => {
                let topics = std::mem::take(&mut round.topics);
                self.topics.replace(cluster, &wanted, topics);
                let failed = self.take(cluster, consumers, &round);
                context.metrics.lag_unknown("group", failed);
                context.metrics.lag_round(started.elapsed());
            }
            Err(error) => {
                tracing::warn!(kafka = cluster.bootstrap_servers, %error, "lag is unknown");
                context.metrics.lag_unknown("cluster", 1);
                for consumer in consumers {
                    self.forget(consumer);
                }
            }
        }
        for consumer in consumers {
            // Nobody listens any more when the controller ends.
            let _ = self.read.unbounded_send(ObjectRef::from_obj(consumer));
        }
    }

    /// Keeps what a round found, and counts the groups that it could not read.
    fn take(
        &self,
        cluster: &Cluster,
        consumers: &[Arc<TelemetryConsumer>],
        round: &Round,
    ) -> usize {
        let mut failed = 0;
        let mut known = self.lock();
        if let Some(ports) = &round.ports {
            known.ports.insert(cluster.clone(), ports.clone());
        }
        for consumer in consumers {
            let (key, group) = (key(consumer), group_id(consumer));
            let committed = match round.committed.get(&group) {
                Some(Ok(committed)) => committed.clone(),
                unread => {
                    let error = unread.and_then(|unread| unread.as_ref().err());
                    tracing::warn!(
                        consumer = key,
                        error = error.map(tracing::field::display),
                        "lag is unknown"
                    );
                    known.readings.remove(&key);
                    failed += 1;
                    continue;
                }
            };
            let now = Look {
                log: round.log.clone(),
                committed,
            };
            let before = known.readings.get(&key).map(|(_, look)| look);
            let stable = round.stable.get(&group).copied();
            let reading = measure::reading((&consumer.spec).into(), &now, before, stable);
            known.readings.insert(key, (reading, now));
        }
        failed
    }
}

/// The topics of these consumers, and their groups: of some, whether they are stable is of interest.
fn asked(consumers: &[Arc<TelemetryConsumer>]) -> (BTreeSet<String>, BTreeMap<String, bool>) {
    let topics = consumers
        .iter()
        .flat_map(|consumer| consumer.spec.topics.iter().cloned())
        .collect();
    let mut groups = BTreeMap::new();
    for consumer in consumers {
        let describe = groups.entry(group_id(consumer)).or_default();
        *describe |= consumer.spec.autoscaling.is_some();
    }
    (topics, groups)
}
