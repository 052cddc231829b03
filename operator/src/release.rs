//! What `helm uninstall` needs: before the operator goes, the release's resources deleted while somebody can finish them; after
//! it, nobody else's held back by a finalizer that nobody carries out.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::{KafkaTopic, TelemetryConsumer};
use crate::finalizer::is_held;
use crate::{consumers, topics};

/// How long the operator gets to finish the deletions.
const BOUND: Duration = Duration::from_secs(90);

/// Deletes the resources that a label selector finds in a namespace and waits for them to go; what is left after a bound is let go
/// without its topic being touched.
///
/// # Errors
/// When the Kubernetes API refuses.
pub async fn release(namespace: &str, selector: &str) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no Kubernetes API")?;
    let consumers = release_all::<TelemetryConsumer>(&client, namespace, selector).await?;
    if !consumers.is_empty() {
        // Their state topics go with them, by a finalizer of their own.
        let of_them = format!(
            "app.kubernetes.io/managed-by=bt-operator,monitoring.bt.dev/consumer in ({})",
            consumers.join(",")
        );
        release_all::<KafkaTopic>(&client, namespace, &of_them).await?;
    }
    release_all::<KafkaTopic>(&client, namespace, selector).await?;
    Ok(())
}

/// Takes the operator's finalizers off every KafkaTopic and TelemetryConsumer of the cluster. Topics and consumer groups stay in
/// Kafka; an operator that is installed again puts them back on.
///
/// # Errors
/// When the Kubernetes API refuses.
pub async fn let_go() -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no Kubernetes API")?;
    let_go_all::<TelemetryConsumer>(&client, consumers::FINALIZER).await?;
    let_go_all::<KafkaTopic>(&client, topics::FINALIZER).await
}

async fn let_go_all<K>(client: &Client, finalizer: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let kind = K::kind(&());
    let all = Api::<K>::all(client.clone())
        .list_metadata(&ListParams::default())
        .await;
    let all = match all {
        // The definitions are gone, and all resources with them.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        all => all.with_context(|| format!("cannot list {kind}s"))?,
    };
    for resource in all {
        if !is_held(&resource, finalizer) {
            continue;
        }
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.retain(|name| name != finalizer);
        let (namespace, name) = (
            resource.namespace().unwrap_or_default(),
            resource.name_any(),
        );
        tracing::info!(%kind, namespace, name, "let go; what it has in Kafka stays there");
        let patch = json!({"metadata": {"finalizers": finalizers}});
        match Api::<K>::namespaced(client.clone(), &namespace)
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            outcome => {
                outcome.with_context(|| format!("cannot let {kind} {namespace}/{name} go"))?;
            }
        }
    }
    Ok(())
}

/// The names of what was found.
async fn release_all<K>(
    client: &Client,
    namespace: &str,
    selector: &str,
) -> anyhow::Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let kind = K::kind(&());
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let chosen = ListParams::default().labels(selector);
    let found = api
        .list_metadata(&chosen)
        .await
        .with_context(|| format!("cannot list {kind}s"))?;
    let names = found.items.iter().map(ResourceExt::name_any).collect();
    for resource in &found {
        tracing::info!(%kind, name = resource.name_any(), "deleting");
        match api
            .delete(&resource.name_any(), &DeleteParams::default())
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            outcome => {
                outcome.with_context(|| format!("cannot delete {kind} {}", resource.name_any()))?;
            }
        }
    }
    let until = tokio::time::Instant::now() + BOUND;
    loop {
        let left = api.list_metadata(&chosen).await?;
        if left.items.is_empty() {
            return Ok(names);
        }
        if tokio::time::Instant::now() >= until {
            for resource in &left {
                tracing::warn!(%kind, name = resource.name_any(), "not finished in time: let go; what it has in Kafka stays there");
                let patch = json!({"metadata": {"finalizers": null}});
                api.patch(
                    &resource.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(&patch),
                )
                .await
                .with_context(|| format!("cannot let {kind} {} go", resource.name_any()))?;
            }
            return Ok(names);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
