//! Topics that others made: taken over only where the policy says so.

use anyhow::{Result, ensure};
use e2e::{E2e, beside_others, eventually, seconds};
use serde_json::json;

async fn setting_becomes(e2e: &E2e, topic: &str, key: &str, wanted: &str) -> Result<()> {
    eventually(
        &format!("{key} of {topic} is {wanted}"),
        seconds(75),
        async || {
            let value = e2e.kafka.setting(topic, key).await?;
            ensure!(value == wanted, "it is {value}");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_topic_that_exists_is_taken_over_as_the_adoption_policy_says() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("adoption").await?;
        let topic = |case: &str| format!("e2e.adoption.{case}.{}", e2e.run);
        // case, policy, what Ready says, what its message tells
        let cases: [(&str, &str, &str, &[&str]); 4] = [
            ("adopt", "Adopt", "Adopted", &[]),
            ("equal", "AdoptIfEqual", "Adopted", &[]),
            ("unequal", "AdoptIfEqual", "False AdoptionRefused", &["retention.ms is 1111111", "adoptionPolicy"]),
            ("refuse", "Refuse", "False AdoptionRefused", &["adoptionPolicy"]),
        ];
        for (case, ..) in cases {
            let retention = if case == "equal" { "2222222" } else { "1111111" };
            let config = [("retention.ms", retention), ("flush.messages", "777")];
            ensure!(e2e.kafka.make(&topic(case), 2, &config).await?, "{case} is there already");
        }
        for (case, policy, ..) in cases {
            let spec = format!(
                "{{topicName: {}, partitions: 2, adoptionPolicy: {policy}, deletionPolicy: Delete, config: {{retention.ms: 2222222}}}}",
                topic(case)
            );
            e2e.cluster.apply_topic(&namespace, case, &spec).await?;
        }
        for (case, _, ready, words) in cases {
            let taken = ready == "Adopted";
            let status = if taken {
                e2e.cluster.topic_becomes(&namespace, case, ready).await?
            } else {
                e2e.cluster.topic_says(&namespace, case, ready, words).await?
            };
            let wanted = if taken { "2222222" } else { "1111111" };
            assert_eq!(e2e.kafka.setting(&topic(case), "retention.ms").await?, wanted, "{case}");
            assert_eq!(e2e.kafka.setting(&topic(case), "flush.messages").await?, "777", "{case}: nobody's key");
            assert_eq!(status.topic_id.is_some(), taken, "{case}: only a topic that is ours has its id in the status");
            let steps: Vec<_> = status.plan.iter().map(String::as_str).collect();
            if taken {
                assert!(steps.is_empty(), "{case}: {steps:?}");
            } else {
                assert_eq!(steps, ["set retention.ms=2222222"], "{case}: what it would do");
            }
        }

        // Whose adoption was refused has nothing to say in Kafka, its own deletion included.
        e2e.cluster.delete_topic(&namespace, "refuse").await?;
        ensure!(e2e.kafka.exists(&topic("refuse"))?, "a topic that was never its own is gone");
        // Once it is as wanted there is nothing that adoption would change.
        e2e.kafka.alter(&topic("unequal"), &[("retention.ms", "2222222")]).await?;
        let status = e2e.cluster.topic_becomes(&namespace, "unequal", "Adopted").await?;
        assert_eq!(status.plan, Vec::<String>::new());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_topic_that_others_made_anew_is_another_topic() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("anew").await?;
        let topic = |case: &str| format!("e2e.anew.{case}.{}", e2e.run);
        let cases = [("adopt", "Adopt"), ("refuse", "Refuse"), ("refuse-too", "Refuse"), ("equal", "AdoptIfEqual")];
        let mut old = Vec::new();
        for (case, policy) in cases {
            let spec = format!(
                "{{topicName: {}, partitions: 1, adoptionPolicy: {policy}, deletionPolicy: Delete, config: {{retention.ms: 2222222}}}}",
                topic(case)
            );
            e2e.cluster.apply_topic(&namespace, case, &spec).await?;
            let status = e2e.cluster.topic_becomes(&namespace, case, "Created").await?;
            old.push(status.topic_id);
        }
        for (case, _) in cases {
            e2e.kafka.make_anew(&topic(case), 1, &[("retention.ms", "1111111")]).await?;
            e2e.kafka.produce(&topic(case), "key", Some(b"{}")).await?;
        }
        let id = async |case: &str| e2e.cluster.id_in_kafka(&topic(case)).await;

        for case in ["refuse", "refuse-too", "equal"] {
            let words = ["made anew", "adoptionPolicy"];
            e2e.cluster.topic_says(&namespace, case, "False TopicRecreated", &words).await?;
            assert_eq!(e2e.kafka.setting(&topic(case), "retention.ms").await?, "1111111", "{case}: not touched");
            e2e.cluster.event(&namespace, &format!("KafkaTopic/{case}"), "TopicRecreated", &[&topic(case)]).await?;
        }
        setting_becomes(e2e, &topic("adopt"), "retention.ms", "2222222").await?;
        let new = Some(id("adopt").await?);
        ensure!(new != old[0], "Kafka gives a new topic a new id");
        eventually("the status has the new topic's id", seconds(15), async || {
            let adopted = e2e.cluster.topic(&namespace, "adopt").await?.status.unwrap_or_default();
            ensure!(adopted.topic_id == new, "it has {:?}, not {new:?}", adopted.topic_id);
            Ok(())
        })
        .await?;
        e2e.cluster.topic_becomes(&namespace, "adopt", "Adopted").await?;

        // A delete acts only on the id that the status recorded.
        let theirs = id("refuse").await?;
        e2e.cluster.delete_topic(&namespace, "refuse").await?;
        assert_eq!(id("refuse").await?, theirs);
        assert_eq!(e2e.kafka.records(&topic("refuse"))?.len(), 1, "and its record");

        let spec = json!({"spec": {"adoptionPolicy": "Adopt"}});
        e2e.cluster.patch_topic(&namespace, "refuse-too", spec).await?;
        let status = e2e.cluster.topic_becomes(&namespace, "refuse-too", "Adopted").await?;
        assert_eq!(status.topic_id, Some(id("refuse-too").await?));
        assert_eq!(e2e.kafka.setting(&topic("refuse-too"), "retention.ms").await?, "2222222");
        assert_eq!(e2e.kafka.records(&topic("refuse-too"))?.len(), 1, "with its record");
        Ok(())
    })
    .await
}
