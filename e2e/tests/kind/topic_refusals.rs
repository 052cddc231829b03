//! What Kafka, or the operator for it, will not do: the condition says what and why, and what is good is done.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use e2e::{E2e, beside_others, eventually, seconds};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Kafka's own words.
const NOT_A_NUMBER: &str = "Not a number";
const UNKNOWN_KEY: &str = "Unknown topic config name";

async fn own(e2e: &E2e, topic: &str, wanted: &[(&str, &str)]) -> Result<()> {
    let wanted: BTreeMap<_, _> = wanted
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    eventually(
        &format!("{topic} has {wanted:?}"),
        seconds(30),
        async || {
            let own = e2e.kafka.own_settings(topic).await?;
            ensure!(own == wanted, "it has {own:?}");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_bad_key_is_named_and_keeps_no_good_one_from_being_set() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("bad-keys").await?;
        let name = format!("e2e.bad-keys.{}", e2e.run);
        let says = async |words: &[&str]| e2e.cluster.topic_says(&namespace, &name, "False InvalidConfig", words).await;
        let config = async |config| {
            let patch = json!({"spec": {"config": config}});
            e2e.cluster.patch_topic(&namespace, &name, patch).await
        };
        // When it is made: of each kind of mistake one.
        let spec = "{partitions: 2, config: {retention.ms: soon, no.such.key: 1, segment.ms: 3600000, preallocate: true}}";
        e2e.cluster.apply_topic(&namespace, &name, spec).await?;
        let status = says(&["retention.ms", NOT_A_NUMBER, "no.such.key", UNKNOWN_KEY]).await?;
        own(e2e, &name, &[("segment.ms", "3600000"), ("preallocate", "true")]).await?;
        let id = e2e.cluster.id_in_kafka(&name).await?;
        assert_eq!((status.topic_id.as_ref(), status.partitions), (Some(&id), Some(2)), "it was made, and is ours");

        // When it is altered: the good ones, and a good value beside a bad one.
        config(json!({"no.such.key": null, "segment.ms": 7_200_000, "preallocate": "perhaps", "flush.messages": 777})).await?;
        let status = says(&["retention.ms", NOT_A_NUMBER, "preallocate"]).await?;
        own(e2e, &name, &[("segment.ms", "7200000"), ("preallocate", "true"), ("flush.messages", "777")]).await?;
        let message = &e2e::condition(&status.conditions, "Ready")?.message;
        ensure!(!message.contains("no.such.key"), "it is not in the spec any more: {message}");
        assert_eq!(status.topic_id, Some(id.clone()));

        config(json!({"retention.ms": 86_400_000, "preallocate": null})).await?;
        let status = e2e.cluster.topic_is_ready(&namespace, &name).await?.status.unwrap_or_default();
        own(e2e, &name, &[("segment.ms", "7200000"), ("flush.messages", "777"), ("retention.ms", "86400000")]).await?;
        assert_eq!((status.topic_id, status.plan.len(), status.drift.len()), (Some(id), 0, 0));

        // A topic of which nothing is changed is asked about all the same.
        let report = json!({"spec": {"driftPolicy": "Report", "config": {"retention.ms": "later", "segment.ms": 1_000_000}}});
        e2e.cluster.patch_topic(&namespace, &name, report).await?;
        let status = says(&["retention.ms", NOT_A_NUMBER]).await?;
        ensure!(status.plan.contains(&"set segment.ms=1000000".to_owned()), "the plan is {:?}", status.plan);
        own(e2e, &name, &[("segment.ms", "7200000"), ("flush.messages", "777"), ("retention.ms", "86400000")]).await
    })
    .await
}

#[tokio::test]
async fn fewer_partitions_than_the_topic_has_are_refused_where_admission_could_not_see_it()
-> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("fewer").await?;
        let name = format!("e2e.fewer.{}", e2e.run);
        e2e.kafka.make(&name, 4, &[]).await?;
        let spec = "{partitions: 2, config: {retention.ms: 86400000}}";
        e2e.cluster.apply_topic(&namespace, &name, spec).await?;
        let words = ["has 4 partitions", "spec.partitions: 2", "new topic"];
        let status = e2e
            .cluster
            .topic_says(&namespace, &name, "False PartitionDecreaseRefused", &words)
            .await?;
        assert_eq!(
            (status.partitions, status.plan.len()),
            (Some(4), 0),
            "no step could do it: {:?}",
            status.plan
        );
        assert_eq!(e2e.kafka.partitions(&name)?, 4);
        own(e2e, &name, &[("retention.ms", "86400000")]).await?;
        e2e.cluster
            .patch_topic(&namespace, &name, json!({"spec": {"partitions": 4}}))
            .await?;
        e2e.cluster
            .topic_is_ready(&namespace, &name)
            .await
            .map(drop)
    })
    .await
}

#[tokio::test]
async fn more_replicas_than_brokers_are_a_condition_and_no_loop() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("replicas").await?;
        let name = format!("e2e.replicas.{}", e2e.run);
        let spec = "{partitions: 1, replicas: 3, config: {retention.ms: 86400000}}";
        e2e.cluster.apply_topic(&namespace, &name, spec).await?;
        let words = ["spec.replicas", "3", "1"];
        let status = e2e.cluster.topic_says(&namespace, &name, "False InvalidReplicationFactor", &words).await?;
        assert_eq!(status.topic_id, None);
        // It is tried again meanwhile, and nothing that comes of it is news.
        sleep(seconds(3)).await;
        let version = async || {
            let topic = e2e.cluster.topic(&namespace, &name).await?;
            anyhow::Ok(topic.metadata.resource_version)
        };
        let (before, started) = (version().await?, Instant::now());
        while started.elapsed() < seconds(10) {
            assert_eq!(version().await?, before, "the resource is written again and again");
            sleep(std::time::Duration::from_millis(250)).await;
        }
        ensure!(!e2e.kafka.exists(&name)?, "it was made with fewer replicas than the spec asks for");
        let about = format!("KafkaTopic/{name}");
        let events = e2e.cluster.events(&namespace).await?;
        let told = events.iter().filter(|said| said.about == about && said.reason == "InvalidReplicationFactor");
        assert_eq!(told.count(), 1, "{events:?}");

        e2e.cluster.patch_topic(&namespace, &name, json!({"spec": {"replicas": 1}})).await?;
        let status = e2e.cluster.topic_becomes(&namespace, &name, "Created").await?;
        assert_eq!(status.replicas, Some(1));

        // Of a topic that exists Kafka moves replicas only by a reassignment.
        let patch = json!({"spec": {"replicas": 2, "partitions": 3, "config": {"retention.ms": 90_000_000}}});
        e2e.cluster.patch_topic(&namespace, &name, patch).await?;
        let words = ["has 1 replica", "spec.replicas", "2", "kafka-reassign-partitions"];
        let status = e2e.cluster.topic_says(&namespace, &name, "False ReplicationChangeUnsupported", &words).await?;
        assert_eq!((status.partitions, status.replicas), (Some(3), Some(1)), "what can be done is done");
        own(e2e, &name, &[("retention.ms", "90000000")]).await?;
        e2e.cluster.patch_topic(&namespace, &name, json!({"spec": {"replicas": 1}})).await?;
        e2e.cluster.topic_is_ready(&namespace, &name).await.map(drop)
    })
    .await
}
