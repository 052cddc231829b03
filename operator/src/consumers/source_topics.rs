//! What Kafka says of the topics that consumers carry. Each reading of lag brings it; what a new consumer needs is asked at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_kafka::{Error, Topic};
use futures::Stream;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::TelemetryConsumer;
use crate::clusters::{Cluster, Unconnected};
use crate::context::Context;

/// In which questions are put together into one.
const COLLECTED: Duration = Duration::from_millis(200);
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A topic's numbers of partitions and of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    pub partitions: i32,
    pub replicas: i32,
}

/// By name; `None` where there is no such topic.
pub type Topics = BTreeMap<String, Option<TopicShape>>;

/// The topics of all clusters, as Kafka last told. Cheap to clone.
#[derive(Clone)]
pub struct SourceTopics {
    known: Arc<Mutex<HashMap<Cluster, Topics>>>,
    ask: mpsc::UnboundedSender<Question>,
}

struct Question {
    cluster: Cluster,
    topics: Vec<String>,
    consumer: ObjectRef<TelemetryConsumer>,
}

/// Questions that were asked, for [`SourceTopics::keep_answering`].
pub struct Questions(mpsc::UnboundedReceiver<Question>);

impl SourceTopics {
    /// Knows nothing yet.
    pub fn new() -> (Self, Questions) {
        let (ask, asked) = mpsc::unbounded_channel();
        let known = Arc::default();
        (Self { known, ask }, Questions(asked))
    }

    /// The most partitions and the most replicas that any of these topics has, of those that are there. Where nothing is known, it
    /// is asked for once for each call, and `consumer` is told of when there is an answer to go by.
    pub fn largest(
        &self,
        cluster: &Cluster,
        topics: &[String],
        consumer: ObjectRef<TelemetryConsumer>,
    ) -> Option<TopicShape> {
        let known = self.lock();
        let known = known.get(cluster);
        let told: Vec<_> = topics
            .iter()
            .filter_map(|topic| known?.get(topic))
            .collect();
        let largest = largest(told.iter().filter_map(|told| **told));
        if largest.is_none() && told.len() < topics.len() {
            // Nobody answers only when the controller ends.
            let _ = self.ask.send(Question {
                cluster: cluster.clone(),
                topics: topics.to_vec(),
                consumer,
            });
        }
        largest
    }

    /// Takes notice of all topics of a cluster that are of interest now. One of which Kafka does not say is as it was.
    pub fn replace(&self, cluster: &Cluster, asked: &BTreeSet<String>, told: Topics) {
        let mut known = self.lock();
        let known = known.entry(cluster.clone()).or_default();
        known.retain(|topic, _| asked.contains(topic));
        known.extend(told);
    }

    /// Forgets clusters that no consumer names any more.
    pub fn keep_only<T>(&self, clusters: &HashMap<Cluster, T>) {
        self.lock()
            .retain(|cluster, _| clusters.contains_key(cluster));
    }

    /// Answers questions for ever. The stream has each consumer for whose question there is an answer.
    pub fn keep_answering(
        &self,
        mut questions: Questions,
        context: Arc<Context>,
    ) -> (
        impl Future<Output = ()> + Send + 'static,
        impl Stream<Item = ObjectRef<TelemetryConsumer>> + Send + 'static,
    ) {
        let (tell, told) = unbounded();
        let this = self.clone();
        let answering = async move {
            let mut tasks = JoinSet::new();
            while let Some(first) = questions.0.recv().await {
                tokio::time::sleep(COLLECTED).await;
                let mut asked: HashMap<Cluster, Vec<Question>> = HashMap::new();
                let mut next = Some(first);
                while let Some(question) = next {
                    asked
                        .entry(question.cluster.clone())
                        .or_default()
                        .push(question);
                    next = questions.0.try_recv().ok();
                }
                while tasks.try_join_next().is_some() {}
                // Clusters beside each other: one that does not answer holds up no other.
                for (cluster, questions) in asked {
                    let (this, context, tell) = (this.clone(), context.clone(), tell.clone());
                    tasks.spawn(
                        async move { this.answer(&context, cluster, questions, tell).await },
                    );
                }
            }
        };
        (answering, told)
    }

    async fn answer(
        &self,
        context: &Context,
        cluster: Cluster,
        questions: Vec<Question>,
        tell: UnboundedSender<ObjectRef<TelemetryConsumer>>,
    ) {
        let names: BTreeSet<&str> = questions
            .iter()
            .flat_map(|question| question.topics.iter().map(String::as_str))
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let described = async {
            let admin = context.clusters.connect(&cluster).await?;
            let described = admin.with_timeout(TIMEOUT).describe_topics(&names).await;
            described.map_err(Unconnected::from)
        };
        let topics = match described.await {
            Ok(described) => topics(&described),
            Err(error) => {
                // The next reading of lag tells of it, and brings what is missing.
                tracing::debug!(kafka = cluster.bootstrap_servers, %error, "topics are unknown");
                return;
            }
        };
        let is_there = |topic: &String| matches!(topics.get(topic), Some(Some(_)));
        let answered: BTreeSet<_> = questions
            .into_iter()
            .filter(|question| question.topics.iter().any(is_there))
            .map(|question| question.consumer)
            .map(|consumer| (consumer.namespace.clone(), consumer.name.clone()))
            .collect();
        self.lock().entry(cluster).or_default().extend(topics);
        for (namespace, name) in answered {
            let consumer = ObjectRef::new(&name).within(&namespace.unwrap_or_default());
            let _ = tell.unbounded_send(consumer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Cluster, Topics>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer tells: a topic that may not be seen, or cannot be told of now, is not in it.
pub fn topics(described: &BTreeMap<String, Result<Topic, Error>>) -> Topics {
    let told = |(name, topic): (&String, &Result<Topic, Error>)| {
        let shape = match topic {
            Ok(topic) => Some(TopicShape {
                partitions: topic.partitions,
                replicas: topic.replicas,
            }),
            Err(error) if error.is_unknown_topic() => None,
            Err(_) => return None,
        };
        Some((name.clone(), shape))
    };
    described.iter().filter_map(told).collect()
}

fn largest(shapes: impl Iterator<Item = TopicShape>) -> Option<TopicShape> {
    shapes.reduce(|one, other| TopicShape {
        partitions: one.partitions.max(other.partitions),
        replicas: one.replicas.max(other.replicas),
    })
}

#[cfg(test)]
#[path = "source_topics/tests.rs"]
mod tests;
