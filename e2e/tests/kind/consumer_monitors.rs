//! TelemetryConsumer with Prometheus' operator in the cluster, as far as its one kind goes.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, eventually, scenario, seconds};
use futures::FutureExt;
use serde_json::json;

/// What Prometheus' operator brings in full: all that is needed for such objects to be there.
const POD_MONITORS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, listKind: PodMonitorList, plural: podmonitors, singular: podmonitor}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"#;

#[tokio::test]
async fn pod_monitors_are_there_when_their_kind_is() -> Result<()> {
    scenario(async |e2e| {
        e2e.cluster.apply(DEFAULT, POD_MONITORS).await?;
        let outcome = AssertUnwindSafe(pod_monitors(e2e)).catch_unwind().await;
        let kind = ["delete", "crd", "podmonitors.monitoring.coreos.com"];
        e2e.cluster.kubectl(&kind).await?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
        // Without the kind again, consumers are as before.
        let namespace = e2e.namespace("monitors").await?;
        let spec = json!({"topics": ["none"], "sink": {"prometheus": {}}, "replicas": 0});
        e2e.cluster
            .apply_consumer(&namespace, "after", &spec)
            .await?;
        e2e.cluster
            .consumer_says(&namespace, "after", "Ready", "True", &[])
            .await
            .map(drop)
    })
    .await
}

async fn pod_monitors(e2e: &E2e) -> Result<()> {
    // Consumers that are there already get theirs, too; found within a minute.
    eventually(
        "consumer metrics has a PodMonitor",
        seconds(90),
        async || {
            let there = e2e.cluster.has_object(DEFAULT, "podmonitor/metrics");
            ensure!(there.await?, "it has none");
            Ok(())
        },
    )
    .await?;
    let monitor = e2e.cluster.object(DEFAULT, "podmonitor/metrics").await?;
    let spec = &monitor["spec"];
    let deployment = e2e.cluster.object(DEFAULT, "deployment/metrics").await?;
    assert_eq!(
        spec["selector"]["matchLabels"],
        deployment["spec"]["selector"]["matchLabels"]
    );
    let endpoints = spec["podMetricsEndpoints"]
        .as_array()
        .context("no endpoints")?;
    let of = |port: &str| endpoints.iter().find(|endpoint| endpoint["port"] == port);
    let series = of("metrics").context("no endpoint for the events' series")?;
    assert_eq!(
        series["honorLabels"], true,
        "the events' labels win: {series}"
    );
    ensure!(
        of("http").is_some(),
        "no endpoint for the pods' own: {spec}"
    );

    let delete = ["delete", "podmonitor", "metrics", "-n", DEFAULT];
    e2e.cluster.kubectl(&delete).await?;
    eventually("it is made again", seconds(60), async || {
        let there = e2e.cluster.has_object(DEFAULT, "podmonitor/metrics");
        ensure!(there.await?, "it is not");
        Ok(())
    })
    .await
}
