//! Several resources for one topic: the oldest owns it, and whoever goes, nothing is lost.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, OPERATOR, eventually, ktopic, scenario, seconds};
use tokio::time::sleep;

/// Creation times have seconds: what is made after this is younger.
async fn later() {
    sleep(std::time::Duration::from_millis(1100)).await;
}

async fn deletion_times(e2e: &E2e, namespace: &str) -> Result<String> {
    let path = "jsonpath={.items[*].metadata.deletionTimestamp}";
    e2e.cluster
        .kubectl(&["get", "ktopic", "-n", namespace, "-o", path])
        .await
}

#[tokio::test]
async fn a_topic_goes_from_the_oldest_to_the_next_whatever_the_deletion_policy() -> Result<()> {
    scenario(async |e2e| {
        let here = e2e.namespace("heirs").await?;
        let there = e2e.namespace("heirs-too").await?;
        let chain = [
            (
                "first",
                &here,
                "deletionPolicy: Delete, adoptionPolicy: Refuse",
            ),
            ("second", &there, "deletionPolicy: RetainIfNotEmpty"),
            ("third", &here, "deletionPolicy: Delete"),
        ];
        // One topic with a record and one without, which RetainIfNotEmpty would let go.
        let topics =
            ["full", "empty"].map(|topic| (topic, format!("e2e.heirs.{topic}.{}", e2e.run)));
        let mut ids = BTreeMap::new();
        for (at, (name, namespace, policies)) in chain.iter().enumerate() {
            let manifests = topics.iter().map(|(short, topic)| {
                let config = format!("config: {{retention.ms: {}}}", 86_400_001 + at);
                ktopic(
                    &format!("{short}-{name}"),
                    &format!("{{topicName: {topic}, {policies}, {config}}}"),
                )
            });
            e2e.cluster
                .apply(namespace, &manifests.collect::<String>())
                .await?;
            if at == 0 {
                for (short, topic) in &topics {
                    let status = e2e
                        .cluster
                        .topic_becomes(&here, &format!("{short}-first"), "Created")
                        .await?;
                    ids.insert(topic.clone(), status.topic_id.context("no id")?);
                }
            }
            later().await;
        }
        let in_kafka = e2e.cluster.topics_in_kafka().await?;
        for (topic, id) in &ids {
            assert_eq!(
                in_kafka.get(topic).map(|found| &found.id),
                Some(id),
                "{topic}"
            );
        }
        let (_, full) = &topics[0];
        e2e.kafka.produce(full, "key", Some(b"{}")).await?;

        // The youngest of all, and not the owner: its deletion is nobody's loss.
        for (short, topic) in &topics {
            let youngest = format!("{short}-youngest");
            e2e.cluster
                .apply_topic(
                    &there,
                    &youngest,
                    &format!("{{topicName: {topic}, deletionPolicy: Delete}}"),
                )
                .await?;
            let owner = format!("{here}/{short}-first");
            e2e.cluster
                .topic_says(&there, &youngest, "False ConflictingResource", &[&owner])
                .await?;
            e2e.cluster.delete_topic(&there, &youngest).await?;
        }

        for (at, (name, namespace, _)) in chain.iter().enumerate() {
            for (short, topic) in &topics {
                let owner = format!("{short}-{name}");
                let status = e2e
                    .cluster
                    .topic_is_ready(namespace, &owner)
                    .await?
                    .status
                    .unwrap_or_default();
                assert_eq!(
                    status.topic_id.as_ref(),
                    ids.get(topic),
                    "{owner}: the same topic"
                );
                let retention = e2e.kafka.setting(topic, "retention.ms").await?;
                assert_eq!(
                    retention,
                    (86_400_001 + at).to_string(),
                    "{owner}: what the owner wants, and only it"
                );
                for (heir, space, _) in &chain[at + 1..] {
                    let words = [topic.as_str(), &format!("{namespace}/{owner}")];
                    let heir = format!("{short}-{heir}");
                    e2e.cluster
                        .topic_says(space, &heir, "False ConflictingResource", &words)
                        .await?;
                }
            }
            assert_eq!(
                e2e.kafka.records(full)?.len(),
                1,
                "owner {name}: its record"
            );
            for (short, _) in &topics {
                e2e.cluster
                    .delete_topic(namespace, &format!("{short}-{name}"))
                    .await?;
            }
        }
        // The last one's policy is Delete, and nobody inherits.
        for (short, topic) in &topics {
            eventually(&format!("{topic} is gone"), seconds(30), async || {
                ensure!(!e2e.kafka.exists(topic)?, "it is there");
                Ok(())
            })
            .await?;
            let about = format!("KafkaTopic/{short}-third");
            e2e.cluster
                .event(&here, &about, "TopicDeleted", &[topic])
                .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_happens_while_a_deletion_waits_for_the_operator_counts() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("away").await?;
        let topic = |case: &str| format!("e2e.away.{case}.{}", e2e.run);
        for case in ["inherited", "made-anew", "shared", "alone"] {
            let spec = format!(
                "{{topicName: {}, partitions: 1, deletionPolicy: Delete}}",
                topic(case)
            );
            e2e.cluster.apply_topic(&namespace, case, &spec).await?;
            e2e.cluster.topic_is_ready(&namespace, case).await?;
            e2e.kafka.produce(&topic(case), "key", Some(b"{}")).await?;
        }
        let ids = e2e.cluster.topics_in_kafka().await?;
        later().await;
        let spec = format!("{{topicName: {}, deletionPolicy: Delete}}", topic("shared"));
        e2e.cluster
            .apply_topic(&namespace, "shared-too", &spec)
            .await?;
        let owner = format!("{namespace}/shared");
        e2e.cluster
            .topic_says(
                &namespace,
                "shared-too",
                "False ConflictingResource",
                &[&owner],
            )
            .await?;

        scale_operator(e2e, 0).await?;
        let meanwhile = async {
            let delete = ["delete", "ktopic", "-n", &namespace, "--wait=false"];
            let resources = ["inherited", "made-anew", "shared-too", "alone"];
            e2e.cluster
                .kubectl(&[&delete[..], &resources].concat())
                .await?;
            let waiting = deletion_times(e2e, &namespace).await?;
            // The superseded one has nothing to do in Kafka, so it may have gone at once.
            ensure!(
                waiting.split_whitespace().count() >= 3,
                "deletion waits for the operator: {waiting}"
            );
            // One is superseded while it is being deleted; the topic of another becomes somebody else's.
            let spec = format!(
                "{{topicName: {}, deletionPolicy: Retain}}",
                topic("inherited")
            );
            e2e.cluster.apply_topic(&namespace, "heir", &spec).await?;
            e2e.kafka
                .make_anew(&topic("made-anew"), 2, &[("retention.ms", "77777777")])
                .await
        };
        let meanwhile = meanwhile.await;
        scale_operator(e2e, 2).await?;
        meanwhile?;

        e2e.cluster.operator_has(2).await?;
        eventually("deletion is done", seconds(90), async || {
            let waiting = deletion_times(e2e, &namespace).await?;
            ensure!(waiting.trim().is_empty(), "some wait: {waiting}");
            Ok(())
        })
        .await?;
        let heir = e2e
            .cluster
            .topic_is_ready(&namespace, "heir")
            .await?
            .status
            .unwrap_or_default();
        let before = |case: &str| ids.get(&topic(case)).map(|topic| topic.id.clone());
        assert_eq!(
            heir.topic_id,
            before("inherited"),
            "the heir has the same topic"
        );
        assert_eq!(
            e2e.kafka.records(&topic("inherited"))?.len(),
            1,
            "with its record"
        );
        let now = e2e.cluster.topics_in_kafka().await?;
        let made_anew = now
            .get(&topic("made-anew"))
            .context("the topic that others made was deleted")?;
        ensure!(
            Some(&made_anew.id) != before("made-anew").as_ref(),
            "it is not theirs"
        );
        assert_eq!(made_anew.partitions, 2);
        assert_eq!(
            now.get(&topic("shared")).map(|topic| topic.id.clone()),
            before("shared"),
            "the owner stays"
        );
        ensure!(
            !now.contains_key(&topic("alone")),
            "the topic that nobody else has is to be deleted"
        );
        e2e.cluster
            .event(
                &namespace,
                "KafkaTopic/made-anew",
                "TopicRetained",
                &[&topic("made-anew")],
            )
            .await?;
        e2e.cluster
            .event(
                &namespace,
                "KafkaTopic/inherited",
                "TopicRetained",
                &["heir"],
            )
            .await?;
        Ok(())
    })
    .await
}

/// Scales the operator and waits: to none, until the last one has stopped working too.
async fn scale_operator(e2e: &E2e, replicas: usize) -> Result<()> {
    let to = format!("--replicas={replicas}");
    e2e.cluster
        .kubectl(&["scale", "deployment/bt-operator", "-n", DEFAULT, &to])
        .await?;
    if replicas > 0 {
        return e2e.cluster.operator_has(replicas).await;
    }
    eventually("the operator is away", seconds(60), async || {
        let pods = ["get", "pods", "-n", DEFAULT, "-l", OPERATOR, "-o", "name"];
        let pods = e2e.cluster.kubectl(&pods).await?;
        ensure!(pods.trim().is_empty(), "there are {pods}");
        Ok(())
    })
    .await
}
