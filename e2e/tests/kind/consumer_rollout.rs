//! TelemetryConsumer: new pods take over while the old ones work, and a revision that does not get ready is taken back.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{E2e, beside_others, eventually, logs_into, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The annotation of pods that says by which revision they were made.
const REVISION: &str = "monitoring.bt.dev/revision";

#[tokio::test]
async fn a_revision_that_does_not_get_ready_is_taken_back_and_not_tried_again() -> Result<()> {
    beside_others(async |e2e| {
        let namespace = e2e.namespace("rollout").await?;
        tokio::try_join!(
            taken_back_under_traffic(e2e, &namespace),
            an_image_that_does_not_exist(e2e, &namespace),
            nothing_to_go_back_to(e2e, &namespace),
        )
        .map(drop)
    })
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The ids of the consumer's pods that are ready.
async fn ready_pods(e2e: &E2e, namespace: &str, name: &str) -> Result<BTreeSet<String>> {
    let pods = e2e.cluster.consumer_pods(namespace, name).await?;
    let ready = pods.iter().filter(|pod| is_ready(pod));
    Ok(ready.filter_map(ResourceExt::uid).collect())
}

/// The revision that the Deployment's pods are made by.
async fn revision_of_pods(e2e: &E2e, namespace: &str, name: &str) -> Result<String> {
    let deployment = format!("deployment/{name}");
    let deployment = e2e.cluster.object(namespace, &deployment).await?;
    let revision = &deployment["spec"]["template"]["metadata"]["annotations"][REVISION];
    let revision = revision.as_str();
    Ok(revision
        .with_context(|| format!("the pod template has no {REVISION}"))?
        .to_owned())
}

fn anywhere_but_here() -> Value {
    json!({"spec": {"podTemplate": {"spec": {"nodeSelector": {"e2e.bt.dev/nowhere": "yes"}}}}})
}

async fn taken_back_under_traffic(e2e: &E2e, namespace: &str) -> Result<()> {
    let (name, run) = ("logs", format!("rollout-{}", e2e.run));
    let stream = format!("logs-bt-rollout-{}", e2e.run);
    let topic = e2e.topic(namespace, "rollout", 2).await?;
    let spec = json!({
        "topics": [topic], "sink": logs_into(&stream), "replicas": 2, "progressDeadlineSeconds": 20,
    });
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 2).await?;
    let good = revision_of_pods(e2e, namespace, name).await?;
    eventually(
        "the first revision is the good one",
        seconds(60),
        async || {
            let status = e2e.cluster.consumer_status(namespace, name).await?;
            ensure!(
                status.last_good_revision.as_ref() == Some(&good),
                "it is {:?}, not {good}",
                status.last_good_revision
            );
            Ok(())
        },
    )
    .await?;
    let before = ready_pods(e2e, namespace, name).await?;
    let feed = e2e.kafka.feed(&topic, &run, 50);

    e2e.cluster
        .patch_consumer(namespace, name, anywhere_but_here())
        .await?;
    let rolled_back = "False RolledBack";
    let consumer = e2e
        .cluster
        .consumer_says(namespace, name, "Progressing", rolled_back, &[])
        .await?;
    let about = format!("TelemetryConsumer/{name}");
    let said = e2e
        .cluster
        .event(namespace, &about, "RolledBack", &[])
        .await?;
    assert_eq!(said.kind, "Warning");
    let status = consumer.status.context("a status")?;
    ensure!(
        status.revision.is_some() && status.failed_revision == status.revision,
        "failed is {:?}, wanted {:?}",
        status.failed_revision,
        status.revision
    );
    assert_eq!(status.last_good_revision.as_ref(), Some(&good));
    eventually("the good revision is back", seconds(60), async || {
        let now = revision_of_pods(e2e, namespace, name).await?;
        ensure!(now == good, "it is {now}, not {good}");
        Ok(())
    })
    .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 2).await?;
    let after = ready_pods(e2e, namespace, name).await?;
    assert_eq!(before, after, "the pods that worked are the same all along");

    // What fails is not tried again, whatever else happens to the resource.
    let deployment = async || e2e.cluster.object(namespace, "deployment/logs").await;
    let generation = deployment().await?["metadata"]["generation"].clone();
    let annotate = ["annotate", "tcon", name, "-n", namespace, "e2e=looked-at"];
    e2e.cluster.kubectl(&annotate).await?;
    sleep(seconds(12)).await;
    assert_eq!(
        deployment().await?["metadata"]["generation"],
        generation,
        "the Deployment was changed after the rollback"
    );

    // A spec that works is rolled out, and there are never less than two pods that are ready.
    // It has the time that pods take on a slow machine.
    let good_one = json!({"spec": {
        "progressDeadlineSeconds": 120,
        "podTemplate": {"spec": {"nodeSelector": null}, "metadata": {"labels": {"e2e": "new"}}},
    }});
    e2e.cluster
        .patch_consumer(namespace, name, good_one)
        .await?;
    never_fewer_until_replaced(e2e, namespace, name, &before).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 2).await?;
    eventually(
        "the new revision is the good one",
        seconds(60),
        async || {
            let status = e2e.cluster.consumer_status(namespace, name).await?;
            ensure!(
                status.last_good_revision == status.revision
                    && status.failed_revision != status.revision
                    && status.revision.as_ref() != Some(&good),
                "wanted {:?}, good {:?}, failed {:?}",
                status.revision,
                status.last_good_revision,
                status.failed_revision
            );
            Ok(())
        },
    )
    .await?;
    let sent = feed.stop().await?;
    e2e.indexed_once(&stream, &run, sent, 120).await
}

/// Looks at the pods until none of the old ones is left: there are always two that are ready and stay.
async fn never_fewer_until_replaced(
    e2e: &E2e,
    namespace: &str,
    name: &str,
    old: &BTreeSet<String>,
) -> Result<()> {
    let end = Instant::now() + seconds(180);
    loop {
        let ready = ready_pods(e2e, namespace, name).await?;
        ensure!(
            ready.len() >= 2,
            "in the rollout {} pods are ready",
            ready.len()
        );
        if ready.is_disjoint(old) {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "old pods are there after 180 s: {ready:?}"
        );
        sleep(seconds(1) / 4).await;
    }
}

async fn an_image_that_does_not_exist(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "image";
    let topic = e2e.topic(namespace, "image", 1).await?;
    let image = e2e.cluster.consumer_image().await?;
    let sink = |image: &str| json!({"custom": {"image": image, "command": ["sleep", "3600"]}});
    let spec = json!({
        "topics": [topic], "sink": sink(&image), "replicas": 1, "progressDeadlineSeconds": 25,
    });
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let before = ready_pods(e2e, namespace, name).await?;

    let nosuch = format!("bt-monitoring/nosuch:{}", e2e.run);
    let patch = json!({"spec": {"sink": sink(&nosuch)}});
    e2e.cluster.patch_consumer(namespace, name, patch).await?;
    // The kubelet says ErrImagePull or, between its tries, ImagePullBackOff.
    e2e.cluster
        .consumer_says(
            namespace,
            name,
            "Progressing",
            "False RolledBack",
            &["ImagePull"],
        )
        .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    assert_eq!(before, ready_pods(e2e, namespace, name).await?);

    // Back to what the good pods run already: nothing has to be rolled out.
    let patch = json!({"spec": {"sink": sink(&image)}});
    e2e.cluster.patch_consumer(namespace, name, patch).await?;
    eventually("nothing is failed any more", seconds(60), async || {
        let status = e2e.cluster.consumer_status(namespace, name).await?;
        ensure!(
            status.revision == status.last_good_revision,
            "wanted {:?}, good {:?}",
            status.revision,
            status.last_good_revision
        );
        Ok(())
    })
    .await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    assert_eq!(before, ready_pods(e2e, namespace, name).await?);
    Ok(())
}

async fn nothing_to_go_back_to(e2e: &E2e, namespace: &str) -> Result<()> {
    let name = "first";
    let topic = e2e.topic(namespace, "first", 1).await?;
    let spec = json!({
        "topics": [topic], "sink": {"prometheus": {}}, "replicas": 1, "progressDeadlineSeconds": 15,
        "podTemplate": anywhere_but_here()["spec"]["podTemplate"],
    });
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    let exceeded = "False ProgressDeadlineExceeded";
    let consumer = e2e
        .cluster
        .consumer_says(namespace, name, "Progressing", exceeded, &[])
        .await?;
    let status = consumer.status.context("a status")?;
    ensure!(
        status.last_good_revision.is_none(),
        "no revision was ever good, and one is said to be: {:?}",
        status.last_good_revision
    );
    let patch = json!({"spec": {"podTemplate": null}});
    e2e.cluster.patch_consumer(namespace, name, patch).await?;
    e2e.cluster
        .consumer_is_ready(namespace, name, 1)
        .await
        .map(drop)
}
