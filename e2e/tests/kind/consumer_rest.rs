//! TelemetryConsumer: where nothing happens nothing is written.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::{E2e, eventually, scenario, seconds, tcon};
use serde_json::json;
use tokio::time::sleep;

#[tokio::test]
async fn at_rest_nothing_is_written() -> Result<()> {
    scenario(async |e2e| {
        // Two rounds of lag.
        let window = seconds(21);
        eventually("a time without writes", seconds(240), async || {
            let before = writes(e2e).await?;
            sleep(window).await;
            let after = writes(e2e).await?;
            let more: Vec<_> = after.difference(&before).collect();
            ensure!(more.is_empty(), "within {window:?}: {more:?}");
            Ok(())
        })
        .await?;
        // Which says nothing unless writes would be seen.
        let namespace = e2e.namespace("rest").await?;
        let before = writes(e2e).await?;
        let spec = json!({"topics": ["none"], "sink": {"prometheus": {}}, "replicas": 0});
        e2e.cluster.apply(&namespace, &tcon("one", &spec)).await?;
        e2e.cluster
            .consumer_says(&namespace, "one", "Ready", "True", &[])
            .await?;
        let after = writes(e2e).await?;
        for kind in ["telemetryconsumers", "deployments", "services"] {
            ensure!(
                after
                    .difference(&before)
                    .any(|series| series.contains(kind)),
                "a new consumer is no write to {kind}: {:?}",
                after.difference(&before).collect::<Vec<_>>()
            );
        }
        Ok(())
    })
    .await
}

/// How often the API server was asked to write what the consumer controller owns or reports in: `verb resource/sub … times`.
async fn writes(e2e: &E2e) -> Result<BTreeSet<String>> {
    const RESOURCES: [&str; 8] = [
        "telemetryconsumers",
        "deployments",
        "configmaps",
        "services",
        "poddisruptionbudgets",
        "networkpolicies",
        "podmonitors",
        "kafkatopics",
    ];
    const VERBS: [&str; 5] = ["APPLY", "PATCH", "POST", "PUT", "DELETE"];
    let samples = e2e.cluster.api_requests().await?;
    let mut writes = BTreeSet::new();
    for sample in samples {
        let label = |name: &str| sample.labels.get(name).map_or("", String::as_str);
        if RESOURCES.contains(&label("resource")) && VERBS.contains(&label("verb")) {
            writes.insert(format!(
                "{} {}/{} {} {}: {} times",
                label("verb"),
                label("resource"),
                label("subresource"),
                label("scope"),
                label("code"),
                sample.value
            ));
        }
    }
    ensure!(!writes.is_empty(), "the API server counts no requests");
    Ok(writes)
}
