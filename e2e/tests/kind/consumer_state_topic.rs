//! TelemetryConsumer: the topic in which a prometheus sink that counts exactly once keeps its series.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::{E2e, beside_others, eventually, seconds};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::time::sleep;

/// What the state topic has of its own.
const CONFIG: [(&str, &str); 6] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("segment.bytes", "8388608"),
    ("segment.ms", "3600000"),
];

#[tokio::test]
async fn the_state_topic_follows_its_consumer() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("state").await?;
        tokio::try_join!(
            made_owned_and_growing(e2e, &namespace),
            waits_for_the_first_topic(e2e, &namespace),
            gone_with_the_group(e2e, &namespace),
            kept_with_the_group_of_a_paused_one(e2e, &namespace),
            somebody_elses_resource(e2e, &namespace),
            somebody_elses_topic(e2e, &namespace),
        )
        .map(drop)
    })
    .await
}

#[tokio::test]
async fn a_lost_state_topic_is_told_once() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("lost").await?;
        lost(e2e, &namespace).await
    })
    .await
}

fn metrics_of(topic: &str, replicas: i32) -> Value {
    json!({"topics": [topic], "sink": {"prometheus": {}}, "replicas": replicas})
}

fn state_topic(namespace: &str, name: &str) -> String {
    format!("bt.{namespace}.{name}.state")
}

/// Waits until a topic has so many partitions in Kafka.
async fn has_partitions(e2e: &E2e, topic: &str, wanted: usize) -> Result<()> {
    let what = format!("topic {topic} has {wanted} partitions");
    eventually(&what, seconds(60), async || {
        let found = e2e.kafka.all_topics()?.get(topic).copied();
        ensure!(found == Some(wanted), "it has {found:?}");
        Ok(())
    })
    .await
}

/// Waits until Kafka has a topic no longer.
async fn is_gone(e2e: &E2e, topic: &str) -> Result<()> {
    let what = format!("topic {topic} is gone");
    eventually(&what, seconds(60), async || {
        ensure!(!e2e.kafka.exists(topic)?, "it is there");
        Ok(())
    })
    .await
}

async fn made_owned_and_growing(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "made";
    let resource = "ktopic/made-state";
    let source = e2e.topic(namespace, "state.made", 2).await?;
    let topic = state_topic(namespace, name);
    e2e.cluster
        .apply_consumer(namespace, name, &metrics_of(&source, 1))
        .await?;
    let consumer = e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    e2e.cluster.topic_is_ready(namespace, "made-state").await?;
    has_partitions(e2e, &topic, 2).await?;
    let owner =
        e2e.cluster.object(namespace, resource).await?["metadata"]["ownerReferences"][0].clone();
    ensure!(
        owner["uid"] == json!(consumer.uid()) && owner["controller"] == true,
        "it is owned by {owner}"
    );
    let wanted = CONFIG.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(
        e2e.kafka.own_settings(&topic).await?,
        BTreeMap::from(wanted)
    );

    // It grows with what is carried, and nobody makes it smaller or other than declared.
    e2e.cluster
        .patch_topic(namespace, &source, json!({"spec": {"partitions": 5}}))
        .await?;
    has_partitions(e2e, &topic, 5).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let edit = json!({"spec": {"config": {"cleanup.policy": "delete"}}});
    e2e.cluster
        .patch_topic(namespace, "made-state", edit)
        .await?;
    eventually("the edit is undone", seconds(60), async || {
        let spec = e2e.cluster.object(namespace, resource).await?["spec"].clone();
        ensure!(
            spec["config"]["cleanup.policy"] == "compact" && spec["partitions"] == 5,
            "{spec}"
        );
        let policy = e2e.kafka.setting(&topic, "cleanup.policy").await?;
        ensure!(policy == "compact", "in Kafka it is {policy}");
        Ok(())
    })
    .await?;

    // Deleted by somebody, it is made again, and the topic is the one that it was.
    let id = e2e.cluster.id_in_kafka(&topic).await?;
    let uid = e2e.cluster.object(namespace, resource).await?["metadata"]["uid"].clone();
    e2e.cluster
        .kubectl(&["delete", resource, "-n", namespace, "--wait=false"])
        .await?;
    eventually("the KafkaTopic is made again", seconds(60), async || {
        let now = e2e.cluster.object(namespace, resource).await?["metadata"]["uid"].clone();
        ensure!(now != uid, "it is the old one");
        Ok(())
    })
    .await?;
    e2e.cluster.topic_is_ready(namespace, "made-state").await?;
    assert_eq!(e2e.cluster.id_in_kafka(&topic).await?, id);

    // Not wanted any more, the resource goes, and the topic stays as the group's offsets do.
    let off = json!({"spec": {"sink": {"prometheus": {"exactlyOnce": false}}}});
    e2e.cluster.patch_consumer(namespace, name, off).await?;
    e2e.cluster
        .object_is_there(namespace, resource, false)
        .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    ensure!(e2e.kafka.exists(&topic)?, "topic {topic} is gone");
    let on = json!({"spec": {"sink": {"prometheus": {"exactlyOnce": true}}}});
    e2e.cluster.patch_consumer(namespace, name, on).await?;
    e2e.cluster
        .object_is_there(namespace, resource, true)
        .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;

    // As when the whole consumer goes.
    e2e.cluster.delete_consumer(namespace, name).await?;
    e2e.cluster
        .object_is_there(namespace, resource, false)
        .await?;
    sleep(seconds(5)).await;
    ensure!(e2e.kafka.exists(&topic)?, "topic {topic} is gone");
    e2e.kafka.delete(&topic).await.map(drop)
}

/// How many partitions it needs is known only with the first of its topics.
async fn waits_for_the_first_topic(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "first";
    let source = format!("e2e.state.first.{}", e2e.run);
    let topic = state_topic(namespace, name);
    let spec = metrics_of(&source, 0);
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster
        .consumer_says(namespace, name, "Ready", "True ScaledToZero", &[])
        .await?;
    sleep(seconds(15)).await;
    ensure!(
        !e2e.cluster
            .has_object(namespace, "ktopic/first-state")
            .await?,
        "it is made without anything to go by"
    );
    e2e.cluster
        .apply_topic(
            namespace,
            &source,
            "{partitions: 3, replicas: 1, deletionPolicy: Delete}",
        )
        .await?;
    has_partitions(e2e, &topic, 3).await?;
    e2e.cluster.delete_consumer(namespace, name).await?;
    e2e.kafka.delete(&topic).await.map(drop)
}

/// `groupDeletionPolicy: Delete` is about both, the offsets and what stands for them.
async fn gone_with_the_group(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "both";
    let source = e2e.topic(namespace, "state.both", 1).await?;
    let mut spec = metrics_of(&source, 1);
    spec["groupDeletionPolicy"] = "Delete".into();
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let topic = state_topic(namespace, name);
    has_partitions(e2e, &topic, 1).await?;
    e2e.cluster.delete_consumer(namespace, name).await?;
    is_gone(e2e, &topic).await
}

async fn kept_with_the_group_of_a_paused_one(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "paused";
    let source = e2e.topic(namespace, "state.paused", 1).await?;
    let mut spec = metrics_of(&source, 0);
    spec["groupDeletionPolicy"] = "Delete".into();
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster
        .object_is_there(namespace, "ktopic/paused-state", true)
        .await?;
    e2e.cluster
        .topic_is_ready(namespace, "paused-state")
        .await?;
    let pause = [
        "annotate",
        "tcon",
        name,
        "-n",
        namespace,
        "monitoring.bt.dev/paused=true",
    ];
    e2e.cluster.kubectl(&pause).await?;
    e2e.cluster
        .consumer_says(namespace, name, "Ready", "Unknown Paused", &[])
        .await?;
    e2e.cluster.delete_consumer(namespace, name).await?;
    e2e.cluster
        .object_is_there(namespace, "ktopic/paused-state", false)
        .await?;
    let topic = state_topic(namespace, name);
    sleep(seconds(5)).await;
    ensure!(e2e.kafka.exists(&topic)?, "topic {topic} is gone");
    e2e.kafka.delete(&topic).await.map(drop)
}

/// A KafkaTopic of the name that ours would have.
async fn somebody_elses_resource(e2e: &E2e, namespace: &str) -> Result<()> {
    let (name, taken) = ("taken", "taken-state");
    let source = e2e.topic(namespace, "state.taken", 1).await?;
    let declared = format!(
        "{{topicName: e2e.state.mine.{}, partitions: 1, replicas: 1, deletionPolicy: Delete}}",
        e2e.run
    );
    e2e.cluster.apply_topic(namespace, taken, &declared).await?;
    let before = e2e.cluster.topic(namespace, taken).await?.spec;
    e2e.cluster
        .apply_consumer(namespace, name, &metrics_of(&source, 0))
        .await?;
    e2e.cluster
        .consumer_says(
            namespace,
            name,
            "Ready",
            "False Conflict",
            &["KafkaTopic", taken],
        )
        .await?;
    assert_eq!(e2e.cluster.topic(namespace, taken).await?.spec, before);
    e2e.cluster.delete_topic(namespace, taken).await?;
    e2e.cluster
        .consumer_says(namespace, name, "Ready", "True", &[])
        .await?;
    let topic = state_topic(namespace, name);
    has_partitions(e2e, &topic, 1).await?;
    e2e.cluster.delete_consumer(namespace, name).await?;
    e2e.kafka.delete(&topic).await.map(drop)
}

/// A KafkaTopic of another name that declares the same topic.
async fn somebody_elses_topic(e2e: &E2e, namespace: &str) -> Result<()> {
    let (name, rival) = ("claimed", "rival");
    let source = e2e.topic(namespace, "state.claimed", 2).await?;
    let topic = state_topic(namespace, name);
    let declared = format!("{{topicName: {topic}, partitions: 4, replicas: 1}}");
    e2e.cluster.apply_topic(namespace, rival, &declared).await?;
    e2e.cluster.topic_is_ready(namespace, rival).await?;
    // Creation times have no finer grain than seconds, and the older one owns the topic.
    sleep(seconds(2)).await;
    e2e.cluster
        .apply_consumer(namespace, name, &metrics_of(&source, 1))
        .await?;
    let words = ["KafkaTopic claimed-state", "ConflictingResource", rival];
    e2e.cluster
        .consumer_says(namespace, name, "Ready", "False StateTopicNotReady", &words)
        .await?;
    e2e.cluster.delete_topic(namespace, rival).await?;
    // It is taken over with the partitions that it has, and set right.
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let spec = e2e.cluster.topic(namespace, "claimed-state").await?.spec;
    assert_eq!((spec.partitions, spec.replicas), (Some(4), Some(1)));
    let policy = e2e.kafka.setting(&topic, "cleanup.policy").await?;
    assert_eq!(policy, "compact");
    e2e.cluster.delete_consumer(namespace, name).await?;
    e2e.kafka.delete(&topic).await.map(drop)
}

async fn lost(e2e: &E2e, namespace: &str) -> Result<()> {
    const REASON: &str = "StateLost";
    let name = "lost";
    let source = e2e.topic(namespace, "state.lost", 2).await?;
    let topic = state_topic(namespace, name);
    e2e.cluster
        .apply_consumer(namespace, name, &metrics_of(&source, 1))
        .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    count(e2e, &source, 300).await?;
    visible(e2e, 300.0).await?;

    // Under running pods nothing is lost: they write what they hold once more.
    let anew = async || {
        let config = [("cleanup.policy", "compact")];
        e2e.kafka.make_anew(&topic, 2, &config).await
    };
    anew().await?;
    eventually("the pods notice it", seconds(120), async || {
        let noticed = notices(e2e, namespace, name, "StateTopicRecreated").await?;
        ensure!(noticed > 0, "not noticed");
        Ok(())
    })
    .await?;
    visible(e2e, 300.0).await?;

    // Without pods there is nobody who has it.
    let scale = async |replicas: u32| {
        let replicas = format!("--replicas={replicas}");
        let resource = format!("tcon/{name}");
        let words = ["--namespace", namespace, "scale", &resource, &replicas];
        e2e.cluster.kubectl(&words).await.map(drop)
    };
    scale(0).await?;
    eventually("the pods are gone", seconds(90), async || {
        let pods = e2e.cluster.consumer_pods(namespace, name).await?;
        ensure!(pods.is_empty(), "{} pods", pods.len());
        Ok(())
    })
    .await?;
    anew().await?;
    scale(1).await?;
    let about = format!("TelemetryConsumer/{name}");
    let told = async || -> Result<usize> {
        let mut said = e2e.cluster.events(namespace).await?;
        said.retain(|said| said.about == about && said.reason == REASON);
        ensure!(
            said.iter().all(|said| said.kind == "Warning"),
            "not all are warnings: {said:?}"
        );
        Ok(said.len())
    };
    let agree = async || {
        let (told, noticed) = (told().await?, notices(e2e, namespace, name, REASON).await?);
        ensure!(
            told > 0 && told == noticed,
            "{told} Events, and the pods noticed it {noticed} times"
        );
        Ok(())
    };
    eventually("each notice is an Event", seconds(120), agree).await?;
    // Several more rounds: it stays at that.
    sleep(seconds(35)).await;
    agree().await?;

    // Nothing is stuck.
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    count(e2e, &source, 200).await?;
    let group = format!("bt.{namespace}.{name}");
    eventually("all is committed", seconds(120), async || {
        let committed = e2e.kafka.committed(&group, &source)?;
        let done: i64 = committed.values().flatten().sum();
        // The markers of transactions are in other topics; here an offset is a record.
        ensure!(done == 500, "{done} of 500: {committed:?}");
        Ok(())
    })
    .await?;
    e2e.cluster.delete_consumer(namespace, name).await?;
    e2e.kafka.delete(&topic).await.map(drop)
}

/// Sends so many increments of one.
async fn count(e2e: &E2e, topic: &str, events: usize) -> Result<()> {
    let event = json!({
        "ts": 1_767_323_045_678_u64, "service": "e2e", "instance": e2e.run,
        "name": "e2e_state_total", "kind": "counter", "value": 1, "labels": {"run": e2e.run},
    });
    let event = event.to_string().into_bytes();
    let records: Vec<_> = (0..events)
        .map(|number| (format!("e2e/{}", number % 64), event.clone()))
        .collect();
    e2e.kafka.produce_all(topic, &records).await
}

async fn visible(e2e: &E2e, wanted: f64) -> Result<()> {
    let query = format!("sum(e2e_state_total{{run=\"{}\"}})", e2e.run);
    eventually("the counter is in Prometheus", seconds(120), async || {
        let seen = e2e.prometheus.value(&query).await?;
        ensure!(seen == wanted, "{seen} of {wanted}");
        Ok(())
    })
    .await
}

/// How many notices of this reason the consumer's pods show.
async fn notices(e2e: &E2e, namespace: &str, name: &str, reason: &str) -> Result<usize> {
    let mut found = 0;
    for pod in e2e.cluster.consumer_pods(namespace, name).await? {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{}:8080/proxy/sink",
            pod.name_any()
        );
        let report = e2e.cluster.kubectl(&["get", "--raw", &path]).await?;
        let report: Value = serde_json::from_str(&report)?;
        let notices = report["notices"].as_array().context("no notices")?;
        found += notices
            .iter()
            .filter(|notice| notice["reason"] == reason)
            .count();
    }
    Ok(found)
}
