//! TelemetryConsumer: what becomes of pods, objects and the group's offsets when the resource is deleted.

use anyhow::{Result, ensure};
use e2e::{E2e, beside_others, eventually, logs_into, seconds};
use serde_json::{Value, json};

#[tokio::test]
async fn pods_drain_and_the_group_follows_its_policy() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("deleted").await?;
        tokio::try_join!(
            retained(e2e, &namespace),
            deleted(e2e, &namespace),
            never_used(e2e, &namespace),
        )
        .map(drop)
    })
    .await
}

struct Case {
    name: &'static str,
    topic: String,
    stream: String,
    group: String,
    spec: Value,
}

impl Case {
    async fn new(e2e: &E2e, namespace: &str, name: &'static str) -> Result<Self> {
        let topic = e2e.topic(namespace, &format!("deleted.{name}"), 2).await?;
        let stream = format!("logs-bt-deleted-{name}-{}", e2e.run);
        let spec = json!({"topics": [topic], "sink": logs_into(&stream), "replicas": 2});
        let group = format!("bt.{namespace}.{name}");
        Ok(Self {
            name,
            topic,
            stream,
            group,
            spec,
        })
    }

    async fn start(&self, e2e: &E2e, namespace: &str) -> Result<()> {
        e2e.cluster
            .apply_consumer(namespace, self.name, &self.spec)
            .await?;
        e2e.cluster
            .consumer_is_ready(namespace, self.name, 2)
            .await
            .map(drop)
    }

    /// Deletes it while logs come in, and waits until all that it owned is gone.
    async fn delete(&self, e2e: &E2e, namespace: &str) -> Result<()> {
        eventually("logs flow", seconds(120), async || {
            let count = e2e.search.count(&self.stream, &e2e.run).await?;
            ensure!(count > 100, "{count} of more than 100");
            Ok(())
        })
        .await?;
        e2e.cluster.delete_consumer(namespace, self.name).await?;
        let kinds = "deployment,replicaset,configmap,service,poddisruptionbudget,networkpolicy,pod";
        let labels = format!("monitoring.bt.dev/consumer={}", self.name);
        let look = ["get", kinds, "-n", namespace, "-l", &labels, "-o", "name"];
        eventually("nothing of it is left", seconds(120), async || {
            let left = e2e.cluster.kubectl(&look).await?;
            ensure!(left.trim().is_empty(), "{}", left.trim());
            Ok(())
        })
        .await
    }
}

async fn retained(e2e: &E2e, namespace: &str) -> Result<()> {
    let case = Case::new(e2e, namespace, "retained").await?;
    case.start(e2e, namespace).await?;
    let feed = e2e.kafka.feed(&case.topic, &e2e.run, 100);
    case.delete(e2e, namespace).await?;

    // What was carried is committed, and no more: the pods had the time to finish.
    let committed = e2e.kafka.committed(&case.group, &case.topic)?;
    let done: i64 = committed.values().flatten().sum();
    let count = e2e.search.count(&case.stream, &e2e.run).await?;
    ensure!(
        done > 0 && done as u64 == count,
        "{count} logs are in the index, committed are {committed:?}"
    );
    assert_eq!(
        e2e.kafka.group_state(&case.group)?.as_deref(),
        Some("Empty")
    );

    // Made again, it goes on where it was.
    case.start(e2e, namespace).await?;
    let sent = feed.stop().await?;
    e2e.indexed_once(&case.stream, &e2e.run, sent, 120).await
}

async fn deleted(e2e: &E2e, namespace: &str) -> Result<()> {
    let mut case = Case::new(e2e, namespace, "deleted").await?;
    case.spec["groupDeletionPolicy"] = "Delete".into();
    case.start(e2e, namespace).await?;
    let feed = e2e.kafka.feed(&case.topic, &e2e.run, 100);
    case.delete(e2e, namespace).await?;
    feed.stop().await?;
    no_group(e2e, &case.group).await
}

/// No pod, no group: nothing to wait for.
async fn never_used(e2e: &E2e, namespace: &str) -> Result<()> {
    let spec = json!({
        "topics": ["none"], "sink": {"prometheus": {}}, "replicas": 0, "groupDeletionPolicy": "Delete",
    });
    e2e.cluster
        .apply_consumer(namespace, "unused", &spec)
        .await?;
    e2e.cluster
        .consumer_says(namespace, "unused", "Ready", "True", &[])
        .await?;
    e2e.cluster.delete_consumer(namespace, "unused").await?;
    no_group(e2e, &format!("bt.{namespace}.unused")).await
}

async fn no_group(e2e: &E2e, group: &str) -> Result<()> {
    let what = format!("Kafka has no group {group}");
    eventually(&what, seconds(15), async || {
        let state = e2e.kafka.group_state(group)?;
        ensure!(state.is_none(), "it is {state:?}");
        Ok(())
    })
    .await
}
