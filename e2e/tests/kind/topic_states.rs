//! How a KafkaTopic's state reaches people: paused, waited for, and in one line.

use anyhow::{Result, ensure};
use bt_operator::api::PAUSED_ANNOTATION;
use e2e::{E2e, beside_others, seconds};
use serde_json::json;
use tokio::time::sleep;

async fn pause(e2e: &E2e, namespace: &str, name: &str, paused: Option<&str>) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {PAUSED_ANNOTATION: paused}}});
    e2e.cluster.patch_topic(namespace, name, patch).await
}

#[tokio::test]
async fn a_paused_topic_is_left_alone_in_every_way() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("paused").await?;
        let topic = |case: &str| format!("e2e.paused.{case}.{}", e2e.run);
        let spec = "{partitions: 1, deletionPolicy: Delete, config: {retention.ms: 86400000}}";
        for case in ["altered", "deleted"] {
            e2e.cluster
                .apply_topic(&namespace, &topic(case), spec)
                .await?;
            let made = e2e
                .cluster
                .topic_becomes(&namespace, &topic(case), "Created")
                .await?;
            pause(e2e, &namespace, &topic(case), Some("true")).await?;
            let words = [PAUSED_ANNOTATION];
            let status = e2e
                .cluster
                .topic_says(&namespace, &topic(case), "Unknown Paused", &words)
                .await?;
            assert_eq!(
                status.topic_id, made.topic_id,
                "whose it is is not forgotten"
            );
        }
        // Neither what the spec says, nor what others do, nor a new resource.
        let patch = json!({"spec": {"partitions": 2, "config": {"retention.ms": 90_000_000}}});
        e2e.cluster
            .patch_topic(&namespace, &topic("altered"), patch)
            .await?;
        e2e.kafka
            .alter(&topic("altered"), &[("retention.ms", "1000")])
            .await?;
        let manifest = e2e::ktopic(&topic("new"), "{partitions: 1}");
        let paused = format!("annotations: {{{PAUSED_ANNOTATION}: 'true'}}, name:");
        e2e.cluster
            .apply(&namespace, &manifest.replace("name:", &paused))
            .await?;
        for case in ["altered", "new"] {
            e2e.cluster
                .topic_says(&namespace, &topic(case), "Unknown Paused", &[])
                .await?;
        }
        e2e.cluster
            .delete_topic(&namespace, &topic("deleted"))
            .await?;
        sleep(seconds(35)).await;
        assert_eq!(
            e2e.kafka.setting(&topic("altered"), "retention.ms").await?,
            "1000"
        );
        assert_eq!(e2e.kafka.partitions(&topic("altered"))?, 1);
        ensure!(
            !e2e.kafka.exists(&topic("new"))?,
            "a topic was made for a paused resource"
        );
        ensure!(
            e2e.kafka.exists(&topic("deleted"))?,
            "a topic was deleted for a paused resource"
        );

        pause(e2e, &namespace, &topic("altered"), None).await?;
        pause(e2e, &namespace, &topic("new"), Some("false")).await?;
        let status = e2e
            .cluster
            .topic_is_ready(&namespace, &topic("altered"))
            .await?
            .status
            .unwrap_or_default();
        assert_eq!(status.partitions, Some(2));
        assert_eq!(
            e2e.kafka.setting(&topic("altered"), "retention.ms").await?,
            "90000000"
        );
        e2e.cluster
            .topic_becomes(&namespace, &topic("new"), "Created")
            .await
            .map(drop)
    })
    .await
}

#[tokio::test]
async fn kubectl_waits_for_every_state_and_shows_it_in_one_line() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("states").await?;
        let topic = |case: &str| format!("e2e.states.{case}.{}", e2e.run);
        let wait = async |case: &str, condition: &str| {
            let (resource, condition) = (
                format!("ktopic/{}", topic(case)),
                format!("--for=condition={condition}"),
            );
            e2e.cluster
                .kubectl(&[
                    "wait",
                    &resource,
                    "-n",
                    &namespace,
                    &condition,
                    "--timeout=30s",
                ])
                .await
        };
        let config = "config: {retention.ms: 86400000, segment.ms: 3600000}";
        let cases = [
            (
                "made",
                format!("{{partitions: 2, replicas: 1, {config}}}"),
                "Ready",
            ),
            (
                "told",
                format!("{{partitions: 2, replicas: 1, driftPolicy: Report, {config}}}"),
                "Ready",
            ),
            (
                "refused",
                "{partitions: 1, config: {retention.ms: soon}}".into(),
                "Ready=False",
            ),
        ];
        for (case, spec, condition) in &cases {
            // At once after it was applied: there may be no status yet.
            e2e.cluster
                .apply_topic(&namespace, &topic(case), spec)
                .await?;
            wait(case, condition).await?;
        }
        // After a change, what was said before it does not count.
        e2e.cluster
            .patch_topic(
                &namespace,
                &topic("made"),
                json!({"spec": {"partitions": 3}}),
            )
            .await?;
        wait("made", "Ready").await?;
        let partitions = e2e
            .cluster
            .topic(&namespace, &topic("made"))
            .await?
            .status
            .unwrap_or_default()
            .partitions;
        assert_eq!(partitions, Some(3));
        e2e.cluster
            .patch_topic(
                &namespace,
                &topic("refused"),
                json!({"spec": {"config": {"retention.ms": 1}}}),
            )
            .await?;
        wait("refused", "Ready").await?;
        pause(e2e, &namespace, &topic("refused"), Some("true")).await?;
        wait("refused", "Ready=Unknown").await?;

        let spec = json!({"spec": {"config": {"retention.ms": 1, "segment.ms": 2_000_000}}});
        e2e.cluster
            .patch_topic(&namespace, &topic("told"), spec)
            .await?;
        e2e.cluster
            .topic_is_ready(&namespace, &topic("told"))
            .await?;
        let shown = e2e
            .cluster
            .kubectl(&["get", "ktopic", "-n", &namespace])
            .await?;
        let mut lines = shown.lines();
        let columns: Vec<_> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(
            columns,
            [
                "NAME",
                "TOPIC",
                "PARTITIONS",
                "REPLICAS",
                "READY",
                "REASON",
                "DRIFT",
                "AGE"
            ]
        );
        // Without the resource's name and its age.
        let story = |line| {
            let words = Vec::from_iter(str::split_whitespace(line));
            words[1..words.len() - 1].to_vec()
        };
        let stories: Vec<_> = lines.map(story).collect();
        let (made, refused, told) = (topic("made"), topic("refused"), topic("told"));
        let wanted: [&[&str]; 3] = [
            &[&made, "3", "1", "True", "Synced"],
            &[&refused, "1", "1", "Unknown", "Paused"],
            &[
                &told,
                "2",
                "1",
                "True",
                "Synced",
                "retention.ms,",
                "segment.ms",
            ],
        ];
        for (story, wanted) in stories.iter().zip(wanted) {
            // What was made or changed just now may still say so.
            let settled = |word: &str| word.replace("Created", "Synced");
            let story: Vec<_> = story.iter().map(|word| settled(word)).collect();
            assert_eq!(story, wanted, "{shown}");
        }
        assert_eq!(stories.len(), 3, "{shown}");
        Ok(())
    })
    .await
}
