use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::context::{Context, MANAGER};

/// Writes a status, and only if it changed: a write costs every watcher of the resource. The resource as it is then, if it was
/// written.
///
/// # Errors
/// Kubernetes' own; a resource that is gone, or is another one of that name, is none.
pub async fn write_status<K, S>(
    resource: &K,
    old: &S,
    new: &S,
    context: &Context,
) -> Result<Option<K>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
    S: Serialize + PartialEq,
{
    if old == new {
        return Ok(None);
    }
    let api = Api::<K>::namespaced(
        context.client.clone(),
        &resource.namespace().unwrap_or_default(),
    );
    // A merge patch rather than an apply: no one else writes the status, and the API server has half the work with it.
    let patch = json!({
        "metadata": {"uid": resource.uid()},
        "status": replaced(json!(old), json!(new)),
    });
    let parameters = PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    };
    let outcome = api
        .patch_status(&resource.name_any(), &parameters, &Patch::Merge(&patch))
        .await;
    match outcome {
        Ok(written) => Ok(Some(written)),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
            tracing::debug!(
                resource = resource.name_any(),
                "gone before its status was written"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A merge patch that makes `new` of whatever is there: what only the old one has is taken away (RFC 7386).
fn replaced(old: Value, mut new: Value) -> Value {
    if let (Value::Object(old), Value::Object(new)) = (old, &mut new) {
        for (key, value) in old {
            let replacement = match new.remove(&key) {
                Some(kept) => replaced(value, kept),
                None => Value::Null,
            };
            new.insert(key, replacement);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_there_is_taken_away() {
        let old = json!({"a": 1, "b": {"c": 1, "d": 2}, "list": [1, 2]});
        let new = json!({"b": {"d": 3}, "list": [], "e": 1});
        let expected = json!({"a": null, "b": {"c": null, "d": 3}, "list": [], "e": 1});
        assert_eq!(replaced(old, new), expected);
    }
}
