//! KafkaTopic: what is declared holds.

use anyhow::{Result, ensure};
use e2e::{E2e, beside_others, condition, eventually, ktopic, seconds};

#[tokio::test]
async fn a_topic_altered_behind_the_operators_back_is_set_right() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("drift").await?;
        let name = format!("e2e.drift.{}", e2e.run);
        let spec = "{partitions: 1, replicas: 1, config: {retention.ms: 86400000, cleanup.policy: delete}}";
        e2e.cluster.apply(&namespace, &ktopic(&name, spec)).await?;
        e2e.cluster.topic_is_ready(&namespace, &name).await?;
        assert_eq!(e2e.kafka.setting(&name, "retention.ms").await?, "86400000");

        // As a person would who does not know of the operator; segment.ms is nobody's and stays theirs.
        e2e.cluster
            .kubectl(&[
                "exec", "kafka-0", "--", "/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", "localhost:9092",
                "--alter", "--entity-type", "topics", "--entity-name", &name,
                "--add-config", "retention.ms=1000,segment.ms=3600000",
            ])
            .await?;
        assert_eq!(e2e.kafka.setting(&name, "retention.ms").await?, "1000");
        eventually("the retention is set right", seconds(90), async || {
            let retention = e2e.kafka.setting(&name, "retention.ms").await?;
            ensure!(retention == "86400000", "it is {retention}");
            Ok(())
        })
        .await?;
        assert_eq!(e2e.kafka.setting(&name, "segment.ms").await?, "3600000");
        e2e.cluster.topic_is_ready(&namespace, &name).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn partitions_grow_and_a_decrease_is_refused() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("partitions").await?;
        let name = format!("e2e.partitions.{}", e2e.run);
        let apply = async |partitions: u32| {
            let spec = format!("{{partitions: {partitions}, replicas: 1}}");
            e2e.cluster.apply(&namespace, &ktopic(&name, &spec)).await
        };
        apply(2).await?;
        e2e.cluster.topic_is_ready(&namespace, &name).await?;
        assert_eq!(e2e.kafka.partitions(&name)?, 2);

        apply(4).await?;
        let topic = e2e.cluster.topic_is_ready(&namespace, &name).await?;
        assert_eq!(topic.status.unwrap_or_default().partitions, Some(4));
        eventually("Kafka has four partitions", seconds(30), async || {
            let partitions = e2e.kafka.partitions(&name)?;
            ensure!(partitions == 4, "it has {partitions}");
            Ok(())
        })
        .await?;

        let refused = apply(1)
            .await
            .expect_err("Kafka cannot take any away")
            .to_string();
        ensure!(refused.contains("Kafka cannot take any away"), "{refused}");
        assert_eq!(e2e.kafka.partitions(&name)?, 4);

        apply(4).await?;
        e2e.cluster
            .topic_is_ready(&namespace, &name)
            .await
            .map(drop)
    })
    .await
}

#[tokio::test]
async fn deleting_the_resource_follows_its_policy() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("deletion").await?;
        // name, policy, whether a record is written, whether the topic stays
        let cases = [
            ("delete", "Delete", true, false),
            ("retain", "Retain", false, true),
            ("empty", "RetainIfNotEmpty", false, false),
            ("full", "RetainIfNotEmpty", true, true),
        ];
        let name = |case: &str| format!("e2e.{case}.{}", e2e.run);
        for (case, policy, record, _) in cases {
            let spec = format!("{{partitions: 2, replicas: 1, deletionPolicy: {policy}}}");
            e2e.cluster
                .apply(&namespace, &ktopic(&name(case), &spec))
                .await?;
            e2e.cluster.topic_is_ready(&namespace, &name(case)).await?;
            if record {
                e2e.kafka.produce(&name(case), "key", Some(b"{}")).await?;
            }
        }
        for (case, policy, record, stays) in cases {
            // kubectl waits until the resource is gone, its finalizer with it.
            let name = name(case);
            e2e.cluster
                .kubectl(&["delete", "ktopic", &name, "-n", &namespace, "--timeout=60s"])
                .await?;
            topic_exists(e2e, &name, stays, policy).await?;
            if stays {
                assert_eq!(
                    e2e.kafka.records(&name)?.len(),
                    usize::from(record),
                    "{policy}: its records"
                );
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_two_resources_for_one_topic_the_older_owns_it_and_hands_it_over() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("owners").await?;
        let topic = format!("e2e.owners.{}", e2e.run);
        // Refuse: the owner made the topic itself, and must go on knowing it for its own.
        let owner = format!(
            "{{topicName: {topic}, partitions: 2, replicas: 1, adoptionPolicy: Refuse, deletionPolicy: Delete}}"
        );
        e2e.cluster
            .apply(&namespace, &ktopic("owner", &owner))
            .await?;
        let owned = e2e.cluster.topic_is_ready(&namespace, "owner").await?;
        let id = owned.status.and_then(|status| status.topic_id);

        // Creation times have seconds: the heir is younger by more than one.
        eventually("a second has passed", seconds(10), async || {
            let heir = format!("{{topicName: {topic}, config: {{retention.ms: 1000}}}}");
            e2e.cluster.apply(&namespace, &ktopic("heir", &heir)).await?;
            let (owner, heir) = (
                e2e.cluster.topic(&namespace, "owner").await?.metadata,
                e2e.cluster.topic(&namespace, "heir").await?.metadata,
            );
            let younger = heir.creation_timestamp > owner.creation_timestamp;
            if !younger {
                let delete = ["delete", "ktopic", "heir", "-n", &namespace];
                e2e.cluster.kubectl(&delete).await?;
            }
            ensure!(younger, "both were made in the same second");
            Ok(())
        })
        .await?;
        eventually("the younger names the owner", seconds(30), async || {
            let status = e2e.cluster.topic(&namespace, "heir").await?.status;
            let status = status.unwrap_or_default();
            let ready = condition(&status.conditions, "Ready")?;
            ensure!(
                ready.reason == "ConflictingResource"
                    && ready.message.contains(&format!("{namespace}/owner")),
                "Ready is {} {}: {}",
                ready.status,
                ready.reason,
                ready.message
            );
            Ok(())
        })
        .await?;
        assert_ne!(e2e.kafka.setting(&topic, "retention.ms").await?, "1000");
        e2e.kafka.produce(&topic, "key", Some(b"{}")).await?;

        e2e.cluster
            .kubectl(&["delete", "ktopic", "owner", "-n", &namespace, "--timeout=60s"])
            .await?;
        let inherited = e2e.cluster.topic_is_ready(&namespace, "heir").await?;
        let status = inherited.status.unwrap_or_default();
        assert_eq!(status.topic_id, id, "the same topic, not another of its name");
        assert_eq!(e2e.kafka.records(&topic)?.len(), 1, "its record");
        assert_eq!(e2e.kafka.setting(&topic, "retention.ms").await?, "1000");
        Ok(())
    })
    .await
}

async fn topic_exists(e2e: &E2e, name: &str, wanted: bool, policy: &str) -> Result<()> {
    let what = if wanted { "stays" } else { "is gone" };
    eventually(
        &format!("with {policy} the topic {what}"),
        seconds(30),
        async || {
            ensure!(e2e.kafka.exists(name)? == wanted, "it does not");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_topic_that_cannot_be_made_says_why() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("invalid").await?;
        let name = format!("e2e.invalid.{}", e2e.run);
        let spec = "{partitions: 1, replicas: 1, config: {retention.ms: soon}}";
        e2e.cluster.apply(&namespace, &ktopic(&name, spec)).await?;
        eventually(
            "the condition says InvalidConfig",
            seconds(30),
            async || {
                let topic = e2e.cluster.topic(&namespace, &name).await?;
                let status = topic.status.unwrap_or_default();
                let ready = condition(&status.conditions, "Ready")?;
                ensure!(
                    (ready.status.as_str(), ready.reason.as_str()) == ("False", "InvalidConfig"),
                    "Ready is {} {}",
                    ready.status,
                    ready.reason
                );
                ensure!(
                    ready.message.contains("retention.ms"),
                    "the key is not named: {}",
                    ready.message
                );
                Ok(())
            },
        )
        .await?;

        let renamed = ktopic(&name, "{topicName: another, partitions: 1}");
        let refused = e2e.cluster.apply(&namespace, &renamed).await;
        let message = refused.expect_err("topicName is immutable").to_string();
        ensure!(message.contains("topicName cannot be changed"), "{message}");
        Ok(())
    })
    .await
}
