//! After `kind create cluster`, `kubectl apply -f crds/` and `helm install`: what was declared is there.

use anyhow::{Result, ensure};
use e2e::{DEFAULT, eventually, scenario, seconds};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

const DAY: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn the_seven_topics_are_ready_and_are_in_kafka_what_the_contract_says() -> Result<()> {
    scenario(async |e2e| {
        let topics = [
            ("metrics.events", 3, 7 * DAY),
            ("logs.events", 3, 7 * DAY),
            ("health.events", 2, 7 * DAY),
            ("order.events", 2, 30 * DAY),
            ("customer.events", 2, 30 * DAY),
            ("employee.events", 2, 30 * DAY),
            ("driver.events", 2, 30 * DAY),
        ];
        for (name, partitions, retention) in topics {
            let topic = e2e.cluster.topic_is_ready(DEFAULT, name).await?;
            let status = topic.status.unwrap_or_default();
            assert_eq!(status.topic_name.as_deref(), Some(name));
            assert_eq!(status.partitions, Some(partitions));
            assert!(
                status.topic_id.is_some_and(|id| !id.is_empty()),
                "{name}: no topic id"
            );
            assert!(status.drift.is_empty(), "{name}: drift {:?}", status.drift);

            assert_eq!(
                e2e.kafka.partitions(name)?,
                partitions as usize,
                "{name}: partitions in Kafka"
            );
            let setting = async |key| e2e.kafka.setting(name, key).await;
            assert_eq!(
                setting("retention.ms").await?,
                retention.to_string(),
                "{name}: retention"
            );
            assert_eq!(
                setting("compression.type").await?,
                "snappy",
                "{name}: compression"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_three_consumers_are_ready_and_owned_by_their_resources() -> Result<()> {
    scenario(async |e2e| {
        for name in ["metrics", "logs", "events"] {
            let replicas = e2e.cluster.consumer(DEFAULT, name).await?.spec.replicas;
            let consumer = e2e
                .cluster
                .consumer_is_ready(DEFAULT, name, replicas)
                .await?;
            let status = consumer.status.unwrap_or_default();
            assert_eq!(status.group_id, Some(format!("bt.{DEFAULT}.{name}")));
            assert!(status.selector.is_some(), "{name}: no selector for /scale");
            eventually(
                &format!("consumer {name} has no lag"),
                seconds(60),
                async || {
                    let lag = e2e
                        .cluster
                        .consumer(DEFAULT, name)
                        .await?
                        .status
                        .and_then(|status| status.lag);
                    ensure!(
                        lag.as_ref().is_some_and(|lag| lag.total == 0),
                        "lag is {lag:?}"
                    );
                    Ok(())
                },
            )
            .await?;

            let deployments = Api::<Deployment>::namespaced(e2e.cluster.client.clone(), DEFAULT);
            let owners = deployments
                .get(name)
                .await?
                .metadata
                .owner_references
                .unwrap_or_default();
            let owner = owners.iter().find(|owner| owner.controller == Some(true));
            assert_eq!(
                owner.map(|owner| &owner.uid),
                consumer.metadata.uid.as_ref()
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_shows_both_kinds_at_a_glance() -> Result<()> {
    scenario(async |e2e| {
        let topics = e2e.cluster.kubectl(&["get", "ktopic"]).await?;
        let heads: Vec<&str> = topics
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let wanted = [
            "NAME",
            "TOPIC",
            "PARTITIONS",
            "REPLICAS",
            "READY",
            "REASON",
            "DRIFT",
            "AGE",
        ];
        assert_eq!(heads, wanted);

        let consumers = e2e.cluster.kubectl(&["get", "tcon"]).await?;
        let heads: Vec<&str> = consumers
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let wanted = [
            "NAME", "SINK", "TOPICS", "DESIRED", "READY", "LAG", "RATE", "STATUS", "AGE",
        ];
        assert_eq!(heads, wanted);
        for topic in [
            "order.events",
            "customer.events",
            "employee.events",
            "driver.events",
        ] {
            ensure!(
                consumers.contains(topic),
                "a topic of consumer events is not shown: {topic}"
            );
        }
        Ok(())
    })
    .await
}
