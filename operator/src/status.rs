use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::context::{Context, MANAGER};

/// Writes a status by server-side apply, and only if it changed: a write costs every watcher of the resource.
///
/// # Errors
/// Kubernetes' own; a resource that is gone is none.
pub async fn write_status<K, S>(
    resource: &K,
    old: &S,
    new: &S,
    context: &Context,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
    S: Serialize + PartialEq,
{
    if old == new {
        return Ok(());
    }
    let api = Api::<K>::namespaced(
        context.client.clone(),
        &resource.namespace().unwrap_or_default(),
    );
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": resource.name_any(), "uid": resource.uid()},
        "status": new,
    });
    let outcome = api
        .patch_status(
            &resource.name_any(),
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&patch),
        )
        .await;
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
            tracing::debug!(
                resource = resource.name_any(),
                "gone before its status was written"
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}
