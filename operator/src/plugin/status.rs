//! `kubectl bt status`: one screen.

mod problems;
pub mod screen;

use anyhow::Result;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::advice::Level;
use super::cluster::Cluster;
use super::prometheus::{Histories, Prometheus};
use super::text::words;
use super::{At, spark};
use crate::api::{Condition, KafkaTopic, TelemetryConsumer};
pub use problems::Problem;

/// How far the graph of lag goes back, in seconds, and how many columns it has.
const SPAN: f64 = 1800.0;
const COLUMNS: usize = 20;

/// All that is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When it was so.
    pub at: String,
    pub context: String,
    /// None: all.
    pub namespace: Option<String>,
    pub topics: Vec<TopicRow>,
    pub consumers: Vec<ConsumerRow>,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
    /// Why there is no history of lag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_history: Option<String>,
}

/// One KafkaTopic.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRow {
    pub namespace: String,
    pub name: String,
    pub topic: String,
    pub partitions: Option<i32>,
    pub replicas: Option<i32>,
    pub ready: bool,
    pub reason: String,
    pub drift: Option<String>,
    #[serde(skip)]
    pub level: Option<Level>,
}

/// One TelemetryConsumer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerRow {
    pub namespace: String,
    pub name: String,
    pub sink: &'static str,
    pub ready_pods: i32,
    pub desired_pods: Option<i32>,
    pub lag: Option<i64>,
    /// Of the last half hour; null where it is not known.
    pub lag_history: Vec<Option<f64>>,
    /// Records carried per second.
    pub rate: Option<f64>,
    pub drain_eta: Option<String>,
    pub ready: bool,
    pub reason: String,
    #[serde(skip)]
    pub level: Option<Level>,
}

/// Shows the screen. What is wrong there does not change the exit code: `doctor` is for that.
pub async fn run(at: &At) -> Result<bool> {
    let cluster = Cluster::connect(at).await?;
    let (topics, consumers, history) = tokio::join!(
        cluster.list::<KafkaTopic>(),
        cluster.list::<TelemetryConsumer>(),
        history(at, &cluster),
    );
    let now = Timestamp::now();
    let mut snapshot = Snapshot::of(&topics?, &consumers?, &history, now);
    snapshot.context = cluster.context.clone();
    snapshot.namespace = cluster.namespace.clone();
    match at.is_json() {
        true => println!("{}", serde_json::to_string_pretty(&snapshot)?),
        false => print!("{}", screen::render(&snapshot, at.style())),
    }
    Ok(true)
}

/// The history of lag, or why there is none.
pub async fn history(at: &At, cluster: &Cluster) -> Result<Histories, String> {
    let asked = async {
        let prometheus = Prometheus::find(at, cluster).await?;
        let end = Timestamp::now().as_second() as f64;
        prometheus
            .lags(end - SPAN, end, SPAN / COLUMNS as f64)
            .await
    };
    asked.await.map_err(|error| words(&error))
}

impl Snapshot {
    /// From what the resources say.
    pub fn of(
        topics: &[KafkaTopic],
        consumers: &[TelemetryConsumer],
        history: &Result<Histories, String>,
        now: Timestamp,
    ) -> Self {
        let mut problems: Vec<Problem> = topics
            .iter()
            .flat_map(|topic| problems::of_topic(topic, now))
            .chain(
                consumers
                    .iter()
                    .flat_map(|consumer| problems::of_consumer(consumer, now)),
            )
            .collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.level));
        Self {
            at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            context: String::new(),
            namespace: None,
            topics: topics.iter().map(topic_row).collect(),
            consumers: consumers
                .iter()
                .map(|c| consumer_row(c, history, now))
                .collect(),
            problems,
            no_history: history.as_ref().err().cloned(),
        }
    }
}

fn topic_row(topic: &KafkaTopic) -> TopicRow {
    let status = topic.status.clone().unwrap_or_default();
    let (ready, reason, level) = summary(&status.conditions, super::advice::of_topic);
    let name = topic.name_any();
    TopicRow {
        namespace: topic.namespace().unwrap_or_default(),
        topic: status
            .topic_name
            .or(topic.spec.topic_name.clone())
            .unwrap_or(name.clone()),
        name,
        partitions: status.partitions.or(topic.spec.partitions),
        replicas: status.replicas.or(topic.spec.replicas),
        ready,
        reason,
        drift: status.drift_summary.filter(|drift| !drift.is_empty()),
        level,
    }
}

fn consumer_row(
    consumer: &TelemetryConsumer,
    history: &Result<Histories, String>,
    now: Timestamp,
) -> ConsumerRow {
    let status = consumer.status.clone().unwrap_or_default();
    let of_ready = |reason: &str| super::advice::of_consumer("Ready", reason);
    let (ready, reason, level) = summary(&status.conditions, of_ready);
    let (namespace, name) = (
        consumer.namespace().unwrap_or_default(),
        consumer.name_any(),
    );
    let points = history.as_ref().ok().and_then(|all| {
        let named = all.get(&(namespace.clone(), name.clone()));
        named.or_else(|| all.get(&(String::new(), name.clone())))
    });
    let step = SPAN / COLUMNS as f64;
    ConsumerRow {
        lag_history: match points {
            Some(points) => spark::at_steps(points, now.as_second() as f64, step, COLUMNS),
            None => Vec::new(),
        },
        sink: consumer.spec.sink.name(),
        ready_pods: status.ready_replicas,
        desired_pods: status.desired_replicas,
        lag: status.lag.map(|lag| lag.total),
        rate: status.consume_rate,
        drain_eta: status.drain_eta,
        namespace,
        name,
        ready,
        reason,
        level,
    }
}

/// Whether it is ready, why, and how much that matters; where the operator has not looked yet, that.
fn summary(
    conditions: &[Condition],
    advice: impl Fn(&str) -> super::advice::Advice,
) -> (bool, String, Option<Level>) {
    match conditions
        .iter()
        .find(|condition| condition.kind == "Ready")
    {
        Some(ready) => {
            let is_ready = ready.status == "True";
            let level = advice(&ready.reason).level;
            (is_ready, ready.reason.clone(), Some(level))
        }
        None => (false, "NotSeenYet".to_owned(), None),
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
