//! `helm upgrade`, `helm uninstall` and `helm install` again. Runs last: its name is the last in the alphabet.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::{API_VERSION, DEFAULT, E2e, eventually, scenario, seconds};
use serde_json::json;

const RELEASE: &str = "bt-monitoring";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");
const TOPICS: [&str; 4] = [
    "metrics.events",
    "logs.events",
    "order.events",
    "dead-letters",
];
/// Everything that the chart or the operator could leave behind in the namespace.
const KINDS: &str = "pods,services,configmaps,secrets,serviceaccounts,deployments,replicasets,statefulsets,daemonsets,jobs,\
    cronjobs,roles,rolebindings,leases,networkpolicies,poddisruptionbudgets,persistentvolumeclaims,ingresses,\
    horizontalpodautoscalers,kafkatopics,telemetryconsumers";

#[tokio::test]
async fn uninstall_leaves_nothing_and_a_new_install_finds_the_topics_with_their_data() -> Result<()>
{
    scenario(async |e2e| {
        let values = std::env::temp_dir().join(format!("bt-e2e-values-{}.json", e2e.run));
        let path = values.to_string_lossy().into_owned();
        let given = e2e
            .cluster
            .helm(&["get", "values", RELEASE, "-n", DEFAULT, "-o", "json"])
            .await?;
        std::fs::write(&values, given)?;
        let given = ["-f", &path, "-n", DEFAULT];

        let change = ["--set", "consumers.events.replicas=2"];
        e2e.cluster
            .helm(&[&["upgrade", RELEASE, CHART][..], &given, &change].concat())
            .await?;
        e2e.cluster.consumer_is_ready(DEFAULT, "events", 2).await?;
        let ids = all_ready(e2e).await?;
        let text =
            json!({"ts": 1, "service": "order", "type": "order.kept", "payload": {"run": e2e.run}})
                .to_string();
        e2e.kafka
            .produce("order.events", "order", Some(text.as_bytes()))
            .await?;

        // Somebody's own topic, which has nothing to do with the release.
        let strangers = e2e.namespace("strangers").await?;
        let stranger = format!("e2e.stranger.{}", e2e.run);
        let manifest = format!(
            "apiVersion: {API_VERSION}\nkind: KafkaTopic\nmetadata: {{name: {stranger}}}\n\
             spec: {{partitions: 1, replicas: 1, deletionPolicy: Delete}}\n"
        );
        e2e.cluster.apply(&strangers, &manifest).await?;
        e2e.cluster.topic_is_ready(&strangers, &stranger).await?;

        let uninstalled = uninstall(e2e).await;
        // With no operator to carry it out, its deletion must not hang.
        let delete = [
            "delete",
            "ktopic",
            &stranger,
            "-n",
            &strangers,
            "--timeout=30s",
        ];
        let let_go = e2e.cluster.kubectl(&delete).await;
        e2e.cluster
            .helm(&[&["install", RELEASE, CHART][..], &given].concat())
            .await?;
        std::fs::remove_file(&values)?;
        uninstalled?;
        let_go?;

        let again = all_ready(e2e).await?;
        assert_eq!(
            again, ids,
            "the topics are the same as before, by Kafka's ids"
        );
        let records = e2e.kafka.records("order.events")?;
        let kept = records
            .iter()
            .any(|record| record.value.as_deref() == Some(text.as_bytes()));
        ensure!(kept, "the record is not in order.events any more");
        Ok(())
    })
    .await
}

/// Waits for topics and consumers; the topics' ids.
async fn all_ready(e2e: &E2e) -> Result<BTreeMap<&'static str, String>> {
    eventually("Kafka is up", seconds(180), async || {
        e2e.kafka.exists(TOPICS[0]).map(drop)
    })
    .await?;
    let mut ids = BTreeMap::new();
    for name in TOPICS {
        let topic = e2e.cluster.topic_is_ready(DEFAULT, name).await?;
        let id = topic.status.and_then(|status| status.topic_id);
        ids.insert(name, id.with_context(|| format!("{name}: no topic id"))?);
    }
    for name in ["metrics", "logs", "events"] {
        let replicas = e2e.cluster.consumer(DEFAULT, name).await?.spec.replicas;
        e2e.cluster
            .consumer_is_ready(DEFAULT, name, replicas)
            .await?;
    }
    Ok(ids)
}

async fn uninstall(e2e: &E2e) -> Result<()> {
    e2e.cluster
        .helm(&[
            "uninstall",
            RELEASE,
            "-n",
            DEFAULT,
            "--wait",
            "--timeout",
            "3m",
        ])
        .await?;
    let expected = [
        "configmap/kube-root-ca.crt",
        // The data outlives the release, so that the topics do.
        "persistentvolumeclaim/data-elasticsearch-0",
        "persistentvolumeclaim/data-kafka-0",
        "persistentvolumeclaim/data-prometheus-0",
        "service/kubernetes",
        "serviceaccount/default",
    ];
    eventually(
        "nothing but the volumes is left in the namespace",
        seconds(90),
        async || {
            let listed = e2e
                .cluster
                .kubectl(&["get", KINDS, "-n", DEFAULT, "-o", "name"])
                .await?;
            let mut left: Vec<&str> = listed.lines().filter(|name| !name.is_empty()).collect();
            left.sort_unstable();
            ensure!(left == expected, "there are {left:?}");
            Ok(())
        },
    )
    .await?;
    let selector = format!("app.kubernetes.io/instance={RELEASE}");
    let kinds = "clusterroles,clusterrolebindings,priorityclasses,validatingwebhookconfigurations";
    let left = e2e
        .cluster
        .kubectl(&["get", kinds, "-l", &selector, "-o", "name"])
        .await?;
    ensure!(left.trim().is_empty(), "left outside the namespace: {left}");
    Ok(())
}
