use std::fmt::Debug;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};

use super::build::Objects;
use crate::api::TelemetryConsumer;
use crate::context::{Context, MANAGER};

/// What became of the objects.
pub enum Outcome {
    /// They are as wanted; the Deployment as Kubernetes has it.
    Applied(Box<Deployment>),
    /// An object of that kind and name belongs to somebody else; nothing was changed.
    Foreign(&'static str),
    /// Kubernetes refused an object's content.
    Refused(String),
}

/// Makes the objects as wanted, by server-side apply.
pub async fn apply(
    consumer: &TelemetryConsumer,
    objects: &Objects,
    context: &Context,
) -> Result<Outcome, kube::Error> {
    // All three are looked at before any is changed.
    for (kind, foreign) in [
        (
            "ConfigMap",
            is_foreign(consumer, &objects.config_map, context).await?,
        ),
        (
            "Service",
            is_foreign(consumer, &objects.service, context).await?,
        ),
        (
            "Deployment",
            is_foreign(consumer, &objects.deployment, context).await?,
        ),
    ] {
        if foreign {
            return Ok(Outcome::Foreign(kind));
        }
    }
    let deployment = async {
        // All are tried first: what Kubernetes refuses in one must not have changed the others.
        patch(&objects.config_map, context, true).await?;
        patch(&objects.service, context, true).await?;
        patch(&objects.deployment, context, true).await?;
        patch(&objects.config_map, context, false).await?;
        patch(&objects.service, context, false).await?;
        patch(&objects.deployment, context, false).await
    };
    match deployment.await {
        Ok(deployment) => Ok(Outcome::Applied(Box::new(deployment))),
        Err(kube::Error::Api(status)) if is_refusal(status.code, &status.message) => Ok(
            Outcome::Refused(format!("Kubernetes refused it: {}", status.message)),
        ),
        Err(error) => Err(error),
    }
}

/// Whether an answer is about the object's content, or a policy on it, rather than about the API: only a change of the resource,
/// or of the policy, helps. A value that cannot even be read is answered with 500.
fn is_refusal(code: u16, message: &str) -> bool {
    matches!(code, 400 | 403 | 422) || (code == 500 && message.contains("unable to convert"))
}

async fn patch<K>(object: &K, context: &Context, dry_run: bool) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let params = PatchParams {
        dry_run,
        ..PatchParams::apply(MANAGER).force()
    };
    api::<K>(object, context)
        .patch(&object.name_any(), &params, &Patch::Apply(object))
        .await
}

/// Whether an object of that name exists that is not this consumer's.
async fn is_foreign<K>(
    consumer: &TelemetryConsumer,
    object: &K,
    context: &Context,
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let existing = api::<K>(object, context)
        .get_metadata_opt(&object.name_any())
        .await?;
    Ok(existing.is_some_and(|existing| {
        let owners = existing.owner_references();
        !owners
            .iter()
            .any(|owner| Some(&owner.uid) == consumer.uid().as_ref())
    }))
}

fn api<K>(object: &K, context: &Context) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    Api::namespaced(context.client.clone(), &namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_failures_of_the_api() {
        let unreadable = "unable to convert unstructured object to apps/v1, Kind=Deployment: quantities must match";
        for (code, message, refusal) in [
            (422, "Deployment.apps \"x\" is invalid", true),
            (403, "admission webhook denied the request", true),
            (400, "bad request", true),
            (500, unreadable, true),
            (500, "etcdserver: request timed out", false),
            (409, "conflict", false),
            (503, "unavailable", false),
        ] {
            assert_eq!(is_refusal(code, message), refusal, "{code} {message}");
        }
    }
}
