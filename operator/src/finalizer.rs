//! Finalizers: what holds a resource back until the operator has dealt with what it stands for.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What became of a resource whose finalizer was to be put on or taken off.
pub enum Ensured<K> {
    /// It was so already.
    Unchanged,
    /// It was written; the resource as it is now.
    Written(K),
    /// The resource is gone, or goes already and cannot be held back any more.
    Gone,
}

/// Whether a resource carries the finalizer.
pub fn is_held(resource: &impl Resource, finalizer: &str) -> bool {
    let finalizers = resource.meta().finalizers.iter().flatten();
    finalizers.into_iter().any(|name| name == finalizer)
}

/// How long a resource has been waiting to go.
pub fn waited(resource: &impl Resource) -> Duration {
    let since = resource.meta().deletion_timestamp.as_ref();
    since
        .and_then(|since| Duration::try_from(Timestamp::now().duration_since(since.0)).ok())
        .unwrap_or_default()
}

/// Puts a finalizer on, or takes it off, where it is not as wanted.
///
/// # Errors
/// Kubernetes' own.
pub async fn ensure<K>(
    client: &Client,
    resource: &K,
    finalizer: &str,
    wanted: bool,
) -> Result<Ensured<K>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    if is_held(resource, finalizer) == wanted {
        return Ok(Ensured::Unchanged);
    }
    let namespace = resource.namespace().unwrap_or_default();
    let api = Api::<K>::namespaced(client.clone(), &namespace);
    let name = resource.name_any();
    match set(&api, &name, resource.meta(), finalizer, wanted).await {
        // Somebody has changed it since we saw it: with what it is now.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        outcome => return outcome,
    }
    match api.get_metadata_opt(&name).await? {
        Some(current) if current.uid() == resource.uid() => {
            set(&api, &name, &current.metadata, finalizer, wanted).await
        }
        _ => Ok(Ensured::Gone),
    }
}

async fn set<K>(
    api: &Api<K>,
    name: &str,
    known: &ObjectMeta,
    finalizer: &str,
    wanted: bool,
) -> Result<Ensured<K>, kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut finalizers = known.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != finalizer);
    if wanted {
        if known.deletion_timestamp.is_some() {
            return Ok(Ensured::Gone);
        }
        finalizers.push(finalizer.into());
    }
    // With the resource version it fails if somebody changes the list meanwhile.
    let patch = json!({"metadata": {
        "uid": known.uid, "resourceVersion": known.resource_version, "finalizers": finalizers,
    }});
    match api
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(written) => Ok(Ensured::Written(written)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Ensured::Gone),
        Err(error) => Err(error),
    }
}
