//! Topics of a second Kafka, which cannot delete topics, and which then dies.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, OPERATOR, SecondKafka, eventually, ktopic, scenario, seconds};
use futures::future::try_join;
use kube::ResourceExt;
use tokio::time::{Instant, sleep};

/// What a topic of the living Kafka may take while another is dead, and what it takes that a namespace goes.
const UNDELAYED: u64 = 10;
const BOUND: u64 = 120;

fn on(kafka: &SecondKafka<'_>, policies: &str) -> String {
    let servers = kafka.address();
    format!("{{partitions: 1, replicas: 1, {policies}, kafka: {{bootstrapServers: '{servers}'}}}}")
}

#[tokio::test]
async fn a_topic_is_made_on_the_kafka_that_its_resource_names() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("second").await?;
        let kafka = e2e.second_kafka(&namespace).await?;
        let name = format!("e2e.second.{}", e2e.run);
        // The same name in both: two topics, and nobody's conflict.
        let there = on(
            &kafka,
            "deletionPolicy: Delete, config: {retention.ms: 86400000}",
        );
        e2e.cluster
            .apply_topic(&namespace, "there", &with_name(&there, &name))
            .await?;
        let status = e2e
            .cluster
            .topic_becomes(&namespace, "there", "Created")
            .await?;
        let topics = kafka.topics().await?;
        let found = topics
            .get(&name)
            .context("the second Kafka does not have it")?;
        assert_eq!(status.topic_id.as_ref(), Some(&found.id));
        ensure!(!e2e.kafka.exists(&name)?, "the first Kafka has it");

        let here = "{partitions: 3, deletionPolicy: Delete}";
        e2e.cluster
            .apply_topic(&namespace, "here", &with_name(here, &name))
            .await?;
        let status = e2e
            .cluster
            .topic_becomes(&namespace, "here", "Created")
            .await?;
        ensure!(
            status.topic_id.as_ref() != Some(&found.id),
            "one topic for two Kafkas"
        );
        assert_eq!(e2e.kafka.partitions(&name)?, 3);
        assert_eq!(
            kafka.topics().await?.get(&name),
            Some(found),
            "the first one's does not touch it"
        );

        // What Kafka will never do is not waited for.
        let started = Instant::now();
        e2e.cluster.delete_topic(&namespace, "there").await?;
        let took = started.elapsed();
        ensure!(took < seconds(20), "the resource went after {took:?}");
        let words = [name.as_str(), "delete.topic.enable"];
        let said = e2e
            .cluster
            .event(&namespace, "KafkaTopic/there", "TopicLeftBehind", &words)
            .await?;
        assert_eq!(said.kind, "Warning");
        ensure!(
            kafka.topics().await?.contains_key(&name),
            "it was deleted after all"
        );
        ensure!(
            e2e.kafka.exists(&name)?,
            "the first Kafka's topic of that name was deleted instead"
        );
        Ok(())
    })
    .await
}

fn with_name(spec: &str, name: &str) -> String {
    spec.replacen('{', &format!("{{topicName: {name}, "), 1)
}

#[tokio::test]
async fn a_dead_kafka_delays_no_other_and_holds_up_no_namespace() -> Result<()> {
    scenario(async |e2e| {
        let (dead, alive) = (e2e.namespace("dead").await?, e2e.namespace("alive").await?);
        let kafka = e2e.second_kafka(&dead).await?;
        let owned = ["Delete", "RetainIfNotEmpty"].map(|policy| {
            let name = format!("e2e.dead.{}.{}", policy.to_lowercase(), e2e.run);
            (name, on(&kafka, &format!("deletionPolicy: {policy}")))
        });
        for (name, spec) in &owned {
            e2e.cluster.apply_topic(&dead, name, spec).await?;
            e2e.cluster.topic_is_ready(&dead, name).await?;
        }

        // The worst way to be dead: connections are taken, and nothing is answered.
        kafka.freeze().await?;
        let pending = |at: usize| {
            ktopic(
                &format!("e2e.pending.{at}.{}", e2e.run),
                &on(&kafka, "deletionPolicy: Delete"),
            )
        };
        e2e.cluster
            .apply(&dead, &(0..50).map(pending).collect::<String>())
            .await?;
        undelayed(e2e, &alive, "frozen").await?;
        for (name, _) in &owned {
            let words = [kafka.address()];
            e2e.cluster
                .topic_says(&dead, name, "False KafkaUnreachable", &[&words[0]])
                .await?;
        }
        e2e.cluster
            .topic_says(
                &dead,
                &format!("e2e.pending.49.{}", e2e.run),
                "False KafkaUnreachable",
                &[],
            )
            .await?;

        kafka.destroy().await?;
        undelayed(e2e, &alive, "gone").await?;
        for (name, _) in &owned {
            e2e.cluster
                .topic_says(&dead, name, "False KafkaUnreachable", &[])
                .await?;
        }

        // Kubernetes lets nobody write an Event into a namespace that goes.
        e2e.cluster
            .kubectl(&["delete", "namespace", &dead, "--wait=false"])
            .await?;
        try_join(
            namespace_is_gone(e2e, &dead),
            undelayed(e2e, &alive, "going"),
        )
        .await?;
        for (name, _) in &owned {
            let about = format!("Namespace/{dead}");
            let said = e2e
                .cluster
                .event(DEFAULT, &about, "TopicLeftBehind", &[name])
                .await?;
            assert_eq!(said.kind, "Warning");
        }
        Ok(())
    })
    .await
}

async fn namespace_is_gone(e2e: &E2e, namespace: &str) -> Result<()> {
    eventually("the namespace is gone", seconds(BOUND), async || {
        let args = [
            "get",
            "namespace",
            namespace,
            "--ignore-not-found",
            "-o",
            "jsonpath={.status.conditions[*].message}{.status.phase}",
        ];
        let left = e2e.cluster.kubectl(&args).await?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await
}

/// For a few seconds: a new topic on the living Kafka is made within the time, one after the other, while the operators answer
/// their probes.
async fn undelayed(e2e: &E2e, namespace: &str, when: &str) -> Result<()> {
    let pods = e2e.cluster.pods(DEFAULT, OPERATOR).await?;
    for at in 0..4 {
        let name = format!("e2e.undelayed.{when}.{at}.{}", e2e.run);
        let started = Instant::now();
        e2e.cluster
            .apply_topic(namespace, &name, "{partitions: 1, deletionPolicy: Delete}")
            .await?;
        e2e.cluster.topic_is_ready(namespace, &name).await?;
        let took = started.elapsed();
        println!(
            "    {when}: a topic elsewhere is ready after {:.1} s",
            took.as_secs_f32()
        );
        ensure!(
            took < seconds(UNDELAYED),
            "{name} was ready after {took:?}: another Kafka's death delays it"
        );
        for pod in &pods {
            e2e.cluster
                .operator_answers(&pod.name_any(), "/healthz")
                .await?;
        }
        sleep(seconds(1)).await;
    }
    Ok(())
}
