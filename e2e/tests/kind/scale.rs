//! `kubectl scale` while traffic goes on.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, eventually, scenario, seconds};

use crate::faults::all_arrived_once;

#[tokio::test]
async fn scaling_spreads_the_partitions_and_loses_and_repeats_nothing() -> Result<()> {
    scenario(async |e2e| {
        let before = e2e.cluster.consumer(DEFAULT, "logs").await?.spec.replicas;
        let outcome = scale_up_and_down(e2e, before).await;
        e2e.cluster
            .kubectl(&["scale", "tcon/logs", &format!("--replicas={before}")])
            .await?;
        outcome
    })
    .await
}

async fn scale_up_and_down(e2e: &E2e, before: i32) -> Result<()> {
    let run = format!("scale-{}", e2e.run);
    let mut traffic = e2e.traffic.steady(&run, 300).await?;

    e2e.cluster
        .kubectl(&["scale", "tcon/logs", "--replicas=3"])
        .await?;
    e2e.cluster.consumer_is_ready(DEFAULT, "logs", 3).await?;
    eventually(
        "each of the three pods has one partition",
        seconds(60),
        async || {
            let members = e2e.kafka.members("bt.default.logs")?;
            ensure!(
                members.len() == 3 && members.iter().all(|member| member.partitions == 1),
                "the group has {members:?}"
            );
            let pods = e2e.cluster.consumer_pods(DEFAULT, "logs").await?;
            for pod in pods {
                let address = pod
                    .status
                    .and_then(|status| status.pod_ip)
                    .context("a pod without an address")?;
                let owns = members
                    .iter()
                    .filter(|member| member.host.trim_start_matches('/') == address);
                ensure!(
                    owns.count() == 1,
                    "no member of the group is at {address}: {members:?}"
                );
            }
            Ok(())
        },
    )
    .await?;

    let up = traffic.more().await?;
    e2e.cluster
        .kubectl(&["scale", "tcon/logs", &format!("--replicas={before}")])
        .await?;
    e2e.cluster
        .consumer_is_ready(DEFAULT, "logs", before)
        .await?;
    while traffic.more().await?.logs < up.logs + 600 {}
    all_arrived_once(e2e, &run, traffic).await
}
