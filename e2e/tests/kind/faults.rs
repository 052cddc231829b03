//! What breaks in a cluster, while logs are produced: all arrive, none twice.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, Steady, eventually, exactly_once, scenario, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

const LOGS: &str = "logs-bt-default";

/// Stops the traffic and checks that the index has each line, once.
pub async fn all_arrived_once(e2e: &E2e, run: &str, traffic: Steady) -> Result<()> {
    let sent = traffic.stop().await?;
    eventually(
        &format!("all {} logs are in the index", sent.logs),
        seconds(120),
        async || {
            let count = e2e.search.count(LOGS, run).await?;
            ensure!(count >= sent.logs, "{count} of {}", sent.logs);
            Ok(())
        },
    )
    .await?;
    // What is sent again after a fault comes before the group has caught up.
    eventually("consumer logs has no lag", seconds(60), async || {
        let status = e2e.cluster.consumer(DEFAULT, "logs").await?.status;
        let lag = status.and_then(|status| status.lag);
        ensure!(
            lag.as_ref().is_some_and(|lag| lag.total == 0),
            "lag is {lag:?}"
        );
        Ok(())
    })
    .await?;
    exactly_once(&e2e.search.documents(LOGS, run).await?, sent.logs)
}

/// Waits until so many logs of the run have reached the index: the traffic flows.
async fn flows(e2e: &E2e, run: &str, at_least: u64) -> Result<()> {
    eventually("logs flow into the index", seconds(60), async || {
        let count = e2e.search.count(LOGS, run).await?;
        ensure!(count >= at_least, "{count} of {at_least}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_consumer_pod_killed_with_no_grace() -> Result<()> {
    scenario(async |e2e| {
        let run = format!("kill-{}", e2e.run);
        let mut traffic = e2e.traffic.steady(&run, 500).await?;
        flows(e2e, &run, 500).await?;
        let pods = e2e.cluster.consumer_pods(DEFAULT, "logs").await?;
        let victim = pods.first().context("consumer logs has no pod")?.name_any();
        e2e.cluster
            .kubectl(&["delete", "pod", &victim, "--grace-period=0", "--force"])
            .await?;
        e2e.cluster
            .consumer_is_ready(DEFAULT, "logs", pods.len() as i32)
            .await?;
        let now = traffic.more().await?.logs;
        flows(e2e, &run, now).await?;
        all_arrived_once(e2e, &run, traffic).await
    })
    .await
}

#[tokio::test]
async fn the_kafka_pod_deleted() -> Result<()> {
    scenario(async |e2e| {
        let run = format!("broker-{}", e2e.run);
        let mut traffic = e2e.traffic.steady(&run, 200).await?;
        flows(e2e, &run, 200).await?;
        let api = Api::<Pod>::namespaced(e2e.cluster.client.clone(), DEFAULT);
        let old = api.get("kafka-0").await?.uid().unwrap_or_default();
        e2e.cluster.kubectl(&["delete", "pod", "kafka-0"]).await?;
        e2e.cluster.pod_is_back(DEFAULT, "kafka-0", &old).await?;
        let now = traffic.more().await?.logs;
        flows(e2e, &run, now).await?;
        all_arrived_once(e2e, &run, traffic).await
    })
    .await
}

#[tokio::test]
async fn the_search_engine_away_for_a_minute() -> Result<()> {
    scenario(async |e2e| {
        let run = format!("search-{}", e2e.run);
        let traffic = e2e.traffic.steady(&run, 200).await?;
        flows(e2e, &run, 200).await?;
        let restarts = restarts(e2e).await?;
        scale_search(e2e, 0).await?;
        let outcome = a_minute_without(e2e, traffic).await;
        scale_search(e2e, 1).await?;
        let traffic = outcome?;
        eventually("the search engine is back", seconds(180), async || {
            e2e.search.count(LOGS, &run).await.map(drop)
        })
        .await?;
        all_arrived_once(e2e, &run, traffic).await?;
        assert_eq!(
            self::restarts(e2e).await?,
            restarts,
            "the consumers waited without being restarted"
        );
        e2e.cluster
            .consumer_says(DEFAULT, "logs", "SinkReady", "True Ready", &[])
            .await?;
        e2e.cluster
            .consumer_says(DEFAULT, "logs", "Ready", "True", &[])
            .await
            .map(drop)
    })
    .await
}

async fn scale_search(e2e: &E2e, replicas: u32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    e2e.cluster
        .kubectl(&["scale", "statefulset/elasticsearch", &replicas])
        .await
        .map(drop)
}

/// Produces for a minute after the engine's pod is gone; the consumers' lag grows meanwhile.
async fn a_minute_without(e2e: &E2e, mut traffic: Steady) -> Result<Steady> {
    let api = Api::<Pod>::namespaced(e2e.cluster.client.clone(), DEFAULT);
    eventually("the search engine is gone", seconds(120), async || {
        ensure!(
            api.get_opt("elasticsearch-0").await?.is_none(),
            "its pod is still there"
        );
        Ok(())
    })
    .await?;
    let end = Instant::now() + seconds(60);
    while Instant::now() < end {
        traffic.more().await?;
    }
    let status = e2e.cluster.consumer(DEFAULT, "logs").await?.status;
    let lag = status.and_then(|status| status.lag);
    let total = lag.as_ref().map_or(0, |lag| lag.total);
    ensure!(
        total > 1000,
        "nothing can be committed meanwhile, so the lag must have grown: {lag:?}"
    );
    // The operator has it from the pods: it need not reach the engine itself.
    let engine = &["elasticsearch"];
    e2e.cluster
        .consumer_says(DEFAULT, "logs", "SinkReady", "False Un", engine)
        .await?;
    e2e.cluster
        .consumer_says(DEFAULT, "logs", "Ready", "False SinkNotReady", &[])
        .await?;
    Ok(traffic)
}

/// How often containers of the consumers were restarted.
async fn restarts(e2e: &E2e) -> Result<i32> {
    let mut total = 0;
    for name in ["logs", "events"] {
        for pod in e2e.cluster.consumer_pods(DEFAULT, name).await? {
            let statuses = pod.status.and_then(|status| status.container_statuses);
            total += statuses
                .into_iter()
                .flatten()
                .map(|status| status.restart_count)
                .sum::<i32>();
        }
    }
    Ok(total)
}
