//! What the operator tells of itself.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, OPERATOR, Sample, eventually, ktopic, scenario, seconds};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

/// The series of a name that have these labels.
fn series<'a>(
    metrics: &'a [Sample],
    name: &str,
    labels: &[(&str, &str)],
) -> impl Iterator<Item = &'a Sample> {
    let has = |sample: &Sample, (label, value): (&str, &str)| {
        sample.labels.get(label).is_some_and(|found| found == value)
    };
    metrics.iter().filter(move |sample| {
        has(sample, ("__name__", name)) && labels.iter().all(|label| has(sample, *label))
    })
}

/// Their sum.
///
/// # Errors
/// When there is none.
fn sum(metrics: &[Sample], name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let values = series(metrics, name, labels).map(|sample| sample.value);
    let sum = values.reduce(|sum, value| sum + value);
    sum.with_context(|| format!("there is no {name} with {labels:?}"))
}

#[tokio::test]
async fn the_leader_tells_what_it_does_and_no_label_names_a_topic() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("metrics").await?;
        let leader = e2e.cluster.leader().await?;
        let metrics = async || e2e.cluster.operator_metrics(&leader).await;
        let of_topics = ("kind", "KafkaTopic");
        let count = |metrics: &[Sample], name: &str, labels: &[(&str, &str)]| {
            sum(metrics, name, labels).unwrap_or(0.0)
        };
        let before = metrics().await?;

        let name = |at: usize| format!("e2e.metrics.{at}.{}", e2e.run);
        let manifests = (0..10).map(|at| {
            ktopic(
                &name(at),
                "{partitions: 1, replicas: 1, deletionPolicy: Delete}",
            )
        });
        e2e.cluster
            .apply(&namespace, &manifests.collect::<String>())
            .await?;
        let bad = format!(
            "{{topicName: {}, config: {{retention.ms: soon}}}}",
            name(10)
        );
        e2e.cluster.apply_topic(&namespace, "bad", &bad).await?;
        for at in 0..10 {
            e2e.cluster.topic_is_ready(&namespace, &name(at)).await?;
        }
        e2e.cluster
            .topic_says(&namespace, "bad", "False InvalidConfig", &[])
            .await?;
        e2e.cluster.delete_topic(&namespace, &name(0)).await?;

        let after = metrics().await?;
        let grew = |name: &str, labels: &[(&str, &str)]| {
            count(&after, name, labels) - count(&before, name, labels)
        };
        let reconciles = "bt_operator_reconciles_total";
        assert_eq!(grew(reconciles, &[of_topics, ("outcome", "Created")]), 10.0);
        ensure!(grew(reconciles, &[of_topics, ("outcome", "InvalidConfig")]) >= 1.0);
        let batched = grew("bt_operator_topic_batch_size_sum", &[]);
        ensure!(
            batched >= 11.0,
            "{batched} topics were reconciled in batches"
        );
        ensure!(grew("bt_operator_topic_batch_size_count", &[]) >= 1.0);
        let calls = "bt_operator_kafka_admin_call_duration_seconds";
        for call in ["CreateTopics", "DeleteTopics"] {
            ensure!(
                grew(&format!("{calls}_count"), &[("call", call)]) >= 1.0,
                "{call} is not counted"
            );
            let seconds = grew(&format!("{calls}_sum"), &[("call", call)]);
            ensure!(seconds > 0.0 && seconds < 30.0, "{call} took {seconds} s");
        }
        ensure!(
            series(&after, &format!("{calls}_count"), &[])
                .all(|sample| sample.labels.contains_key("outcome"))
        );
        let clients = sum(&after, "bt_operator_kafka_clients", &[])?;
        ensure!(
            (1.0..=5.0).contains(&clients),
            "{clients} clients for one Kafka"
        );

        // Gauges come to what is the case.
        eventually(
            "the gauges agree with Kubernetes",
            seconds(45),
            async || {
                let metrics = metrics().await?;
                ensure!(
                    sum(&metrics, "bt_operator_topic_queue_depth", &[])? == 0.0,
                    "topics wait"
                );
                let topics = Api::<bt_operator::api::KafkaTopic>::all(e2e.cluster.client.clone());
                let topics = topics.list(&ListParams::default()).await?.items;
                let gauge = |labels: &[(&str, &str)]| count(&metrics, "bt_operator_topics", labels);
                let all = gauge(&[]);
                ensure!(
                    all == topics.len() as f64,
                    "{all} topics, and there are {}",
                    topics.len()
                );
                for status in ["True", "False", "Unknown"] {
                    let conditions = topics
                        .iter()
                        .filter_map(|topic| topic.status.as_ref())
                        .flat_map(|status| &status.conditions);
                    let there = conditions
                        .filter(|condition| condition.kind == "Ready" && condition.status == status)
                        .count();
                    let told = gauge(&[("ready", status)]);
                    ensure!(
                        told == there as f64,
                        "{told} are told to be {status}, and {there} are"
                    );
                }
                ensure!(
                    gauge(&[("ready", "False"), ("reason", "InvalidConfig")]) >= 1.0,
                    "none has InvalidConfig"
                );
                Ok(())
            },
        )
        .await?;

        let named = |sample: &&Sample| sample.labels.values().any(|value| value.contains(&e2e.run));
        let named: Vec<_> = after.iter().filter(named).collect();
        ensure!(named.is_empty(), "a label grows with the topics: {named:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_operator_says_that_it_leads() -> Result<()> {
    scenario(async |e2e| {
        e2e.cluster.operator_has(2).await?;
        let leader = e2e.cluster.leader().await?;
        for pod in e2e.cluster.pods(DEFAULT, OPERATOR).await? {
            let pod = pod.name_any();
            let says = sum(
                &e2e.cluster.operator_metrics(&pod).await?,
                "bt_operator_leader",
                &[],
            )?;
            assert_eq!(
                says == 1.0,
                pod == leader,
                "{pod} says {says}, the leader is {leader}"
            );
        }
        Ok(())
    })
    .await
}
