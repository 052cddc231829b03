//! Where Kafka differs from the spec: told, set right, or nobody's business.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use bt_operator::api::{Drift, KafkaTopicStatus};
use e2e::{E2e, beside_others, eventually, ktopic, seconds};
use serde_json::json;
use tokio::time::sleep;

/// Waits until the status has these differences, in any order; the status.
async fn differs(
    e2e: &E2e,
    namespace: &str,
    name: &str,
    wanted: &[(&str, &str, &str)],
) -> Result<KafkaTopicStatus> {
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    eventually(
        &format!("the drift of {name} is {wanted:?}"),
        seconds(75),
        async || {
            let status = e2e
                .cluster
                .topic(namespace, name)
                .await?
                .status
                .unwrap_or_default();
            let found = |drift: &Drift| (drift.key.clone(), drift.want.clone(), drift.have.clone());
            let drift: Vec<_> = status.drift.iter().map(found).collect();
            let drift: BTreeSet<_> = drift
                .iter()
                .map(|(k, w, h)| (k.as_str(), w.as_str(), h.as_str()))
                .collect();
            ensure!(drift == wanted, "it is {drift:?}");
            Ok(status)
        },
    )
    .await
}

fn has_step(status: &KafkaTopicStatus, words: &[&str]) -> Result<()> {
    let found = status
        .plan
        .iter()
        .any(|step| words.iter().all(|word| step.contains(word)));
    ensure!(
        found,
        "no step of the plan has {words:?}: {:?}",
        status.plan
    );
    Ok(())
}

#[tokio::test]
async fn under_report_what_differs_is_told_and_left_until_the_policy_changes() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("report").await?;
        let (name, gone) = (format!("e2e.report.{}", e2e.run), format!("e2e.report.gone.{}", e2e.run));
        let spec = "{partitions: 1, driftPolicy: Report, config: {retention.ms: 86400000, segment.ms: 3600000}}";
        for name in [&name, &gone] {
            e2e.cluster.apply_topic(&namespace, name, spec).await?;
            e2e.cluster.topic_becomes(&namespace, name, "Created").await?;
        }
        e2e.kafka.alter(&name, &[("retention.ms", "1000"), ("flush.messages", "777")]).await?;
        e2e.kafka.delete(&gone).await?;
        let retention = ("retention.ms", "86400000", "1000");
        let status = differs(e2e, &namespace, &name, &[retention]).await?;
        assert_eq!(status.plan, ["set retention.ms=86400000"]);
        let missing = e2e.cluster.topic_says(&namespace, &gone, "False TopicMissing", &["deleted by others"]).await?;
        has_step(&missing, &["create topic", &gone])?;

        // The plan follows the spec, and says what growing does to keyed records.
        e2e.cluster.patch_topic(&namespace, &name, json!({"spec": {"partitions": 3}})).await?;
        let status = differs(e2e, &namespace, &name, &[retention, ("partitions", "3", "1")]).await?;
        has_step(&status, &["set retention.ms=86400000"])?;
        has_step(&status, &["grow from 1 to 3 partitions", "key"])?;
        let summary = e2e.cluster.drift_summary(&namespace, &name).await?;
        assert_eq!(summary, ["partitions", "retention.ms"].map(str::to_owned).into());

        // Longer than the time between two looks.
        sleep(seconds(35)).await;
        let still = e2e.cluster.topic(&namespace, &name).await?.status.unwrap_or_default();
        assert_eq!((still.drift, still.plan), (status.drift, status.plan), "it stays told");
        assert_eq!(e2e.kafka.setting(&name, "retention.ms").await?, "1000", "nothing was changed");
        assert_eq!(e2e.cluster.topics_in_kafka().await?.get(&name).map(|topic| topic.partitions), Some(1));
        ensure!(!e2e.kafka.exists(&gone)?, "the topic that others deleted was made again");

        for name in [&name, &gone] {
            e2e.cluster.patch_topic(&namespace, name, json!({"spec": {"driftPolicy": "Enforce"}})).await?;
            e2e.cluster.topic_is_ready(&namespace, name).await?;
            let status = differs(e2e, &namespace, name, &[]).await?;
            assert_eq!(status.plan, Vec::<String>::new(), "{name}: nothing is left to do");
            assert_eq!(e2e.cluster.drift_summary(&namespace, name).await?, BTreeSet::new());
            assert_eq!(e2e.kafka.setting(name, "retention.ms").await?, "86400000");
        }
        let topics = e2e.cluster.topics_in_kafka().await?;
        assert_eq!(topics.get(&name).map(|topic| topic.partitions), Some(3));
        assert_eq!(e2e.kafka.setting(&name, "flush.messages").await?, "777", "nobody's key");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_the_keys_that_the_spec_names_are_the_operators() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("keys").await?;
        let name = format!("e2e.keys.{}", e2e.run);
        let apply = async |config: &str| {
            let manifest = ktopic(&name, &format!("{{{config}}}"));
            e2e.cluster.apply_server_side(&namespace, &manifest).await?;
            e2e.cluster.topic_is_ready(&namespace, &name).await
        };
        let own = async || e2e.kafka.own_settings(&name).await;
        let settings = |of: &[(&str, &str)]| -> BTreeMap<String, String> {
            of.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let topic = apply(
            "config: {retention.ms: 1000, segment.ms: '3600000', preallocate: true, max.message.bytes: 5000}",
        )
        .await?;
        let mut wanted = settings(&[
            ("retention.ms", "1000"),
            ("segment.ms", "3600000"),
            ("preallocate", "true"),
            ("max.message.bytes", "5000"),
        ]);
        assert_eq!(own().await?, wanted);
        // What the spec leaves out is as the broker does it for everybody.
        let status = topic.status.unwrap_or_default();
        let default = async |key: &str| {
            anyhow::Ok(Some(e2e.kafka.broker_setting(key).await?.parse::<i32>()?))
        };
        assert_eq!(status.partitions, default("num.partitions").await?);
        assert_eq!(
            status.replicas,
            default("default.replication.factor").await?
        );
        assert_eq!(
            status.managed_config,
            [
                "max.message.bytes",
                "preallocate",
                "retention.ms",
                "segment.ms"
            ]
        );

        // One key is taken out, one handed back as it is, and others set keys of their own.
        let foreign = [("flush.messages", "777"), ("segment.bytes", "1048576")];
        e2e.kafka.alter(&name, &foreign).await?;
        wanted.extend(settings(&foreign));
        let status =
            apply("config: {retention.ms: null, preallocate: true, max.message.bytes: 6000}")
                .await?
                .status;
        wanted.remove("segment.ms");
        wanted.extend(settings(&[("max.message.bytes", "6000")]));
        assert_eq!(
            own().await?,
            wanted,
            "segment.ms is reset, retention.ms left as it was"
        );
        let managed = status.unwrap_or_default().managed_config;
        assert_eq!(managed, ["max.message.bytes", "preallocate"]);

        // By the time that what is owned has been set right, the rest has been looked at too.
        let changes = [
            ("preallocate", "false"),
            ("retention.ms", "2000"),
            ("segment.bytes", "2097152"),
        ];
        e2e.kafka.alter(&name, &changes).await?;
        wanted.extend(settings(&changes[1..]));
        eventually(
            "the owned key is set right, and nothing else is",
            seconds(75),
            async || {
                let own = own().await?;
                ensure!(own == wanted, "it is {own:?}, not {wanted:?}");
                Ok(())
            },
        )
        .await?;

        // Without any key left, nothing of the others' goes with them.
        apply("").await?;
        wanted.retain(|key, _| !["preallocate", "max.message.bytes"].contains(&key.as_str()));
        assert_eq!(own().await?, wanted);
        Ok(())
    })
    .await
}
