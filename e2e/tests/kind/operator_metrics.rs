//! What the operator tells of itself.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, OPERATOR, Sample, eventually, ktopic, scenario, seconds};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

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
async fn the_leader_tells_what_it_does_and_how_each_topic_is() -> Result<()> {
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

        // Two series a topic, and none of one that is gone.
        eventually("each topic is told of", seconds(45), async || {
            let metrics = metrics().await?;
            let of = |topic: &str, name: &str| -> Vec<(String, f64)> {
                let labels = [("namespace", namespace.as_str()), ("topic", topic)];
                let told = series(&metrics, name, &labels);
                let reason = |sample: &Sample| sample.labels.get("reason").cloned();
                told.map(|sample| (reason(sample).unwrap_or_default(), sample.value))
                    .collect()
            };
            let ready = "bt_operator_topic_ready";
            let told = of(&name(1), ready);
            ensure!(told.len() == 1 && told[0].1 == 1.0, "{told:?}");
            let told = of("bad", ready);
            ensure!(told == [("InvalidConfig".to_owned(), 0.0)], "{told:?}");
            ensure!(of(&name(1), "bt_operator_topic_drift") == [(String::new(), 0.0)]);
            let named = metrics.iter().filter(|sample| {
                let values = sample.labels.values();
                values.filter(|value| value.contains(&e2e.run)).count() > 1
            });
            // The namespace has the run in its name, too.
            ensure!(
                named.count() == 2 * 9,
                "not two series for each of nine topics"
            );
            ensure!(of(&name(0), ready).is_empty(), "it was deleted");
            Ok(())
        })
        .await?;
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

#[tokio::test]
async fn the_leader_tells_how_each_consumer_is_until_it_is_gone() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("consumer-metrics").await?;
        let leader = e2e.cluster.leader().await?;
        let topic = format!("e2e.metrics.{}", e2e.run);
        let manifest = ktopic(&topic, "{partitions: 1, replicas: 1, deletionPolicy: Delete}");
        e2e.cluster.apply(&namespace, &manifest).await?;
        e2e.cluster.topic_is_ready(&namespace, &topic).await?;
        // Nobody carries them, and the operator knows of them all the same.
        for _ in 0..7 {
            e2e.kafka.produce(&topic, "a/b", Some(b"{}")).await?;
        }
        let spec = json!({"topics": [topic], "sink": {"prometheus": {"exactlyOnce": false}}, "replicas": 0});
        e2e.cluster.apply_consumer(&namespace, "waits", &spec).await?;
        let of = [("namespace", namespace.as_str()), ("consumer", "waits")];
        eventually("the consumer is told of", seconds(60), async || {
            let metrics = e2e.cluster.operator_metrics(&leader).await?;
            let lag = sum(&metrics, "bt_operator_consumer_lag_records", &of)?;
            ensure!(lag == 7.0, "lag is {lag}");
            for state in ["desired", "ready"] {
                let labels = [&of[..], &[("state", state)]].concat();
                let pods = sum(&metrics, "bt_operator_consumer_replicas", &labels)?;
                ensure!(pods == 0.0, "{pods} pods are {state}");
            }
            for (condition, reason, value) in [
                ("Ready", "ScaledToZero", 1.0),
                ("ConfigValid", "Valid", 1.0),
                ("SinkReady", "NoPods", -1.0),
            ] {
                let labels = [&of[..], &[("condition", condition), ("reason", reason)]].concat();
                let told = sum(&metrics, "bt_operator_consumer_condition", &labels)?;
                ensure!(told == value, "{condition} is {told}");
            }
            Ok(())
        })
        .await?;
        e2e.cluster.delete_consumer(&namespace, "waits").await?;
        eventually("nothing is told of it", seconds(30), async || {
            let metrics = e2e.cluster.operator_metrics(&leader).await?;
            let left = metrics.iter().find(|sample| sample.labels.get("consumer").is_some_and(|name| name == "waits"));
            ensure!(left.is_none(), "{left:?}");
            Ok(())
        })
        .await
    })
    .await
}
