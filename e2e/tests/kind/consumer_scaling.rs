//! TelemetryConsumer: the number of pods follows the lag, and no record is lost or doubled by it.

use anyhow::{Context, Result, ensure};
use e2e::{E2e, condition, eventually, logs_into, scenario, seconds};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::consumer_outage::kafka_does_not_answer;

/// Records of the burst: many times what one pod may be behind.
const BURST: u64 = 24_000;

#[tokio::test]
async fn pods_come_with_lag_and_go_without_and_stay_when_kafka_does_not_answer() -> Result<()> {
    scenario(async |e2e| {
        // Each is mostly waiting.
        tokio::try_join!(
            burst(e2e),
            sleeps_and_wakes(e2e, "Earliest"),
            sleeps_and_wakes(e2e, "Latest"),
            replicas_are_other_peoples(e2e),
            kafka_does_not_answer(e2e),
        )
        .map(drop)
    })
    .await
}

/// Waits until that many pods are wanted, there and ready; notes each other number that was wanted on the way.
async fn comes_to(
    e2e: &E2e,
    namespace: &str,
    name: &str,
    wanted: i32,
    within: u64,
    seen: &mut Vec<i32>,
) -> Result<()> {
    let what = format!("consumer {name} has {wanted} pods");
    eventually(&what, seconds(within), async || {
        let status = e2e.cluster.consumer_status(namespace, name).await?;
        let desired = status.desired_replicas.context("no number is wanted yet")?;
        if seen.last() != Some(&desired) {
            println!("    consumer {name}: {desired} pods are wanted");
            seen.push(desired);
        }
        let why = condition(&status.conditions, "ScalingActive")?;
        ensure!(
            (desired, status.replicas, status.ready_replicas) == (wanted, wanted, wanted),
            "{desired} are wanted, {} there, {} ready; lag {:?}; ScalingActive {} {}: {}",
            status.replicas,
            status.ready_replicas,
            status.lag.map(|lag| lag.total),
            why.status,
            why.reason,
            why.message
        );
        Ok(())
    })
    .await
}

async fn burst(e2e: &E2e) -> Result<()> {
    let name = "burst";
    let namespace = e2e.namespace("burst").await?;
    let topic = e2e.topic(&namespace, "burst", 4).await?;
    let stream = format!("logs-bt-burst-{}", e2e.run);
    let mut sink = logs_into(&stream);
    // Slow enough that lag is there to be seen.
    sink["elasticsearch"]["bulk"] = json!({"maxDocs": 1, "concurrency": 1});
    let autoscaling =
        json!({"minReplicas": 1, "maxReplicas": 4, "targetLag": 500, "scaleDownDelay": "20s"});
    let spec = json!({"topics": [topic], "sink": sink, "autoscaling": autoscaling});
    e2e.cluster.apply_consumer(&namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(&namespace, name, 1).await?;

    let scale = ["scale", "tcon/burst", "-n", &namespace, "--replicas=3"];
    let refused = e2e.cluster.kubectl(&scale).await;
    let refused = refused.expect_err("the operator sets replicas").to_string();
    ensure!(
        refused.contains("while autoscaling is on") && refused.contains("maxReplicas"),
        "{refused}"
    );

    let steady_run = format!("burst-steady-{}", e2e.run);
    let feed = e2e.kafka.feed(&topic, &steady_run, 10);
    let run = format!("burst-{}", e2e.run);
    e2e.kafka.produce_logs(&topic, &run, BURST).await?;
    let produced = Instant::now();
    let mut seen = Vec::new();
    comes_to(e2e, &namespace, name, 4, 180, &mut seen).await?;
    println!(
        "    burst: four pods were ready {:.1} s after its end",
        produced.elapsed().as_secs_f32()
    );
    ensure!(seen.is_sorted(), "on the way up pods were taken: {seen:?}");

    // Something still arrives while pods go. The first may go while the index is looked at.
    let mut seen = Vec::new();
    tokio::try_join!(
        e2e.indexed_once(&stream, &run, BURST, 300),
        comes_to(e2e, &namespace, name, 1, 300, &mut seen),
    )?;
    assert_eq!(seen, [4, 2, 1], "one step at a time");
    let status = e2e.cluster.consumer_status(&namespace, name).await?;
    let active = condition(&status.conditions, "ScalingActive")?;
    assert_eq!(active.status, "True", "{}", active.message);
    let sent = feed.stop().await?;
    e2e.indexed_once(&stream, &steady_run, sent, 120).await?;
    e2e.indexed_once(&stream, &run, BURST, 1).await?;
    e2e.cluster.has_no_lag(&namespace, name).await?;

    // Without autoscaling the number is the spec's, and anybody may change it.
    let patch = json!({"spec": {"autoscaling": null, "replicas": 2}});
    e2e.cluster.patch_consumer(&namespace, name, patch).await?;
    e2e.cluster.consumer_is_ready(&namespace, name, 2).await?;
    Ok(())
}

/// From no pods at all, whatever the group did before its first record.
async fn sleeps_and_wakes(e2e: &E2e, start_from: &str) -> Result<()> {
    let name = start_from.to_lowercase();
    let namespace = e2e.namespace(&format!("asleep-{name}")).await?;
    let topic = e2e.topic(&namespace, &format!("asleep.{name}"), 2).await?;
    let stream = format!("logs-bt-asleep-{name}-{}", e2e.run);
    let autoscaling =
        json!({"minReplicas": 0, "maxReplicas": 2, "targetLag": 100, "scaleDownDelay": "10s"});
    let spec = json!({
        "topics": [topic], "sink": logs_into(&stream), "startFrom": start_from, "autoscaling": autoscaling,
    });
    e2e.cluster.apply_consumer(&namespace, &name, &spec).await?;
    let group = format!("bt.{namespace}.{name}");
    if start_from == "Latest" {
        // What comes before this would be skipped, as asked for; what comes after must not be, asleep or not.
        eventually("the group has its start", seconds(120), async || {
            let committed = e2e.kafka.committed(&group, &topic)?;
            ensure!(
                committed.values().all(Option::is_some),
                "committed are {committed:?}"
            );
            Ok(())
        })
        .await?;
    }
    let asleep = async || {
        comes_to(e2e, &namespace, &name, 0, 240, &mut Vec::new()).await?;
        let begins = "True ScaledToZero";
        e2e.cluster
            .consumer_says(&namespace, &name, "Ready", begins, &[])
            .await
    };
    asleep().await?;

    let run = format!("asleep-{name}-{}", e2e.run);
    e2e.kafka.produce_logs(&topic, &run, 50).await?;
    e2e.indexed_once(&stream, &run, 50, 120).await?;
    asleep().await?;
    // More than one pod may be behind.
    e2e.kafka.produce_logs(&topic, &run, 600).await?;
    e2e.indexed_once(&stream, &run, 600, 150).await
}

/// Without autoscaling an HPA may set `replicas`, and a manifest that leaves it out changes nothing about it.
async fn replicas_are_other_peoples(e2e: &E2e) -> Result<()> {
    let name = "hpa";
    let namespace = e2e.namespace("hpa").await?;
    let topic = e2e.topic(&namespace, "hpa", 2).await?;
    let spec = json!({"topics": [topic], "sink": {"prometheus": {}}});
    let manifest = e2e::tcon(name, &spec);
    e2e.cluster.apply_server_side(&namespace, &manifest).await?;
    e2e.cluster.consumer_is_ready(&namespace, name, 1).await?;
    // It knows no metrics here; its bounds hold nevertheless.
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": e2e::API_VERSION, "kind": "TelemetryConsumer", "name": name},
            "minReplicas": 2, "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    });
    e2e.cluster.apply(&namespace, &hpa.to_string()).await?;
    e2e.cluster.consumer_is_ready(&namespace, name, 2).await?;

    e2e.cluster.apply_server_side(&namespace, &manifest).await?;
    sleep(seconds(5)).await;
    let consumer = e2e.cluster.consumer(&namespace, name).await?;
    assert_eq!(
        consumer.spec.replicas, 2,
        "a manifest without replicas has changed them"
    );
    let deployment = e2e.cluster.object(&namespace, "deployment/hpa").await?;
    assert_eq!(deployment["spec"]["replicas"], 2);
    Ok(())
}
