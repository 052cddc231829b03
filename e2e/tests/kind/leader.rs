//! Two operators, of which one works.

use anyhow::{Context, Result, ensure};
use e2e::{API_VERSION, DEFAULT, E2e, eventually, scenario, seconds};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

const LABELS: &str = "app.kubernetes.io/name=bt-operator";

#[tokio::test]
async fn when_the_leader_is_deleted_the_other_operator_takes_over() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("leader").await?;
        // Killed, so that it can give nothing back; then asked to stop.
        fail_over(e2e, &namespace, &["--grace-period=0", "--force"]).await?;
        fail_over(e2e, &namespace, &[]).await
    })
    .await
}

async fn fail_over(e2e: &E2e, namespace: &str, how: &[&str]) -> Result<()> {
    eventually("two operators are ready", seconds(120), async || {
        let pods = e2e.cluster.pods(DEFAULT, LABELS).await?;
        ensure!(pods.len() == 2, "{} pods", pods.len());
        let ready = e2e
            .cluster
            .kubectl(&[
                "get",
                "deployment",
                "bt-operator",
                "-o",
                "jsonpath={.status.readyReplicas}",
            ])
            .await?;
        ensure!(ready == "2", "{ready:?} are ready");
        Ok(())
    })
    .await?;
    let leader = holder(e2e).await?;
    let pods = e2e.cluster.pods(DEFAULT, LABELS).await?;
    let is_leader = |name: &String| leader.contains(name.as_str());
    let pod = pods.iter().map(ResourceExt::name_any).find(is_leader);
    let pod =
        pod.with_context(|| format!("the Lease's holder {leader} is no pod of the operator"))?;

    let deleted = Instant::now();
    e2e.cluster
        .kubectl(&[&["delete", "pod", &pod, "--wait=false"], how].concat())
        .await?;
    let name = format!("e2e.leader.{}.{}", e2e.run, how.len());
    let topic = format!(
        "apiVersion: {API_VERSION}\nkind: KafkaTopic\nmetadata: {{name: {name}}}\nspec: {{partitions: 1, replicas: 1}}\n"
    );
    e2e.cluster.apply(namespace, &topic).await?;
    let next = eventually(
        "another operator holds the Lease",
        seconds(15),
        async || {
            let next = holder(e2e).await?;
            ensure!(!next.is_empty() && next != leader, "it is still {leader}");
            Ok(next)
        },
    )
    .await?;
    ensure!(
        deleted.elapsed() < seconds(15),
        "it took {:?}",
        deleted.elapsed()
    );
    e2e.cluster.topic_is_ready(namespace, &name).await?;
    ensure!(e2e.kafka.exists(&name)?, "the topic is not in Kafka");
    let pods = e2e.cluster.pods(DEFAULT, LABELS).await?;
    ensure!(
        pods.iter().any(|pod| next.contains(&pod.name_any())),
        "the new holder {next} is no pod of the operator"
    );
    Ok(())
}

async fn holder(e2e: &E2e) -> Result<String> {
    let leases = Api::<Lease>::namespaced(e2e.cluster.client.clone(), DEFAULT);
    let lease = leases.get("bt-operator").await?;
    Ok(lease
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default())
}
