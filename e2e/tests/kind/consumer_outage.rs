//! TelemetryConsumer: what is not known changes nothing.

use anyhow::{Context, Result, ensure};
use e2e::{E2e, condition, eventually, seconds};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::consumer_custom::IMAGE;

/// How long Kafka gives no answer, in seconds.
const AWAY: u64 = 120;
const NAME: &str = "slow";

/// A Kafka that gives no answer at high lag, which then comes back, and in the end is gone for good. Part of the test in
/// `consumer_scaling`, since it is mostly waiting.
pub async fn kafka_does_not_answer(e2e: &E2e) -> Result<()> {
    let namespace = &e2e.namespace("outage").await?;
    let kafka = e2e.second_kafka(namespace).await?;
    let address = kafka.address();
    let topic = format!("e2e.outage.{}", e2e.run);
    let declared = json!({"partitions": 4, "replicas": 1, "kafka": {"bootstrapServers": address}});
    e2e.cluster
        .apply_topic(namespace, &topic, &declared.to_string())
        .await?;
    e2e.cluster.topic_is_ready(namespace, &topic).await?;
    // Two pods' worth of lag, which takes these two pods a quarter of an hour.
    kafka.produce(&topic, 1900).await?;
    let env = json!([{"name": "WORK_MS", "value": "1000"}, {"name": "BATCH", "value": "5"}]);
    let spec = json!({
        "topics": [topic], "kafka": {"bootstrapServers": address}, "groupDeletionPolicy": "Delete",
        "sink": {"custom": {"image": IMAGE, "env": env}},
        "autoscaling": {"minReplicas": 1, "maxReplicas": 4, "targetLag": 1000, "scaleDownDelay": "15s"},
    });
    e2e.cluster.apply_consumer(namespace, NAME, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, NAME, 2).await?;
    let decides = async || {
        eventually("lag is known", seconds(150), async || {
            let status = e2e.cluster.consumer_status(namespace, NAME).await?;
            let active = condition(&status.conditions, "ScalingActive")?;
            let lag = status.lag.map(|lag| lag.total);
            ensure!(
                active.status == "True" && lag.is_some_and(|lag| lag > 1000),
                "lag {lag:?}, ScalingActive {} {}: {}",
                active.status,
                active.reason,
                active.message
            );
            Ok(())
        })
        .await
    };
    decides().await?;

    kafka.freeze().await?;
    let told = two_pods_stay(e2e, namespace, AWAY).await?;
    ensure!(
        told,
        "in {AWAY} s without Kafka, ScalingActive never said LagUnknown"
    );
    let status = e2e.cluster.consumer_status(namespace, NAME).await?;
    ensure!(
        status.lag.is_none(),
        "nobody can know the lag, and it is said to be {:?}",
        status.lag
    );
    kafka.thaw().await?;
    decides().await?;
    two_pods_stay(e2e, namespace, 25).await?;

    // A group that cannot be deleted any more does not hold up its consumer.
    kafka.destroy().await?;
    e2e.cluster.delete_consumer(namespace, NAME).await
}

/// For so many seconds two pods are wanted, all the time. Whether it was said meanwhile that lag is unknown.
async fn two_pods_stay(e2e: &E2e, namespace: &str, for_seconds: u64) -> Result<bool> {
    let (end, mut told) = (Instant::now() + seconds(for_seconds), false);
    while Instant::now() < end {
        let status = e2e.cluster.consumer_status(namespace, NAME).await?;
        let active = condition(&status.conditions, "ScalingActive")?;
        told |= active.reason == "LagUnknown";
        let deployment = format!("deployment/{NAME}");
        let deployment = e2e.cluster.object(namespace, &deployment).await?;
        let replicas = deployment["spec"]["replicas"].as_i64();
        let replicas = replicas.context("the Deployment has no replicas")?;
        ensure!(
            status.desired_replicas == Some(2) && replicas == 2,
            "{:?} are wanted, the Deployment has {replicas}: ScalingActive {} {}: {}",
            status.desired_replicas,
            active.status,
            active.reason,
            active.message
        );
        sleep(seconds(2)).await;
    }
    Ok(told)
}
