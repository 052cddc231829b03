//! Two operators, of which one works.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, OPERATOR, eventually, ktopic, scenario, seconds};
use kube::ResourceExt;
use tokio::time::Instant;

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
    e2e.cluster.operator_has(2).await?;
    let leader = e2e.cluster.lease_holder().await?;
    let pods = e2e.cluster.pods(DEFAULT, OPERATOR).await?;
    let is_leader = |name: &String| leader.contains(name.as_str());
    let pod = pods.iter().map(ResourceExt::name_any).find(is_leader);
    let pod =
        pod.with_context(|| format!("the Lease's holder {leader} is no pod of the operator"))?;

    let deleted = Instant::now();
    e2e.cluster
        .kubectl(&[&["delete", "pod", &pod, "--wait=false"], how].concat())
        .await?;
    let name = format!("e2e.leader.{}.{}", e2e.run, how.len());
    let topic = ktopic(&name, "{partitions: 1, replicas: 1}");
    e2e.cluster.apply(namespace, &topic).await?;
    let next = eventually(
        "another operator holds the Lease",
        seconds(15),
        async || {
            let next = e2e.cluster.lease_holder().await?;
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
    let pods = e2e.cluster.pods(DEFAULT, OPERATOR).await?;
    ensure!(
        pods.iter().any(|pod| next.contains(&pod.name_any())),
        "the new holder {next} is no pod of the operator"
    );
    Ok(())
}
