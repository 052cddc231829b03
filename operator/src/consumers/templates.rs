//! The pod template of an earlier revision, from the ReplicaSet that keeps it.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::build::{REVISION_ANNOTATION, selector};
use crate::api::TelemetryConsumer;

/// The Deployment controller's own label.
const HASH_LABEL: &str = "pod-template-hash";
/// The Deployment controller's own count of templates.
const COUNT_ANNOTATION: &str = "deployment.kubernetes.io/revision";

/// The pod template of that revision; `None` where Kubernetes keeps it no longer.
pub async fn find(
    client: &Client,
    consumer: &TelemetryConsumer,
    deployment_uid: &str,
    revision: &str,
) -> Result<Option<Value>, kube::Error> {
    let namespace = consumer.namespace().unwrap_or_default();
    let api = Api::<ReplicaSet>::namespaced(client.clone(), &namespace);
    let selector = selector(&consumer.name_any());
    let selector: Vec<_> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let sets = api
        .list(&ListParams::default().labels(&selector.join(",")))
        .await?;
    Ok(template(sets.items, deployment_uid, revision))
}

/// Of the Deployment's ReplicaSets of that revision the one that was used last.
fn template(sets: Vec<ReplicaSet>, deployment_uid: &str, revision: &str) -> Option<Value> {
    let used = |set: &ReplicaSet| -> i64 {
        let count = set.annotations().get(COUNT_ANNOTATION);
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    let revision_of = |set: &ReplicaSet| {
        let template = set.spec.as_ref()?.template.as_ref()?;
        let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
        annotations.get(REVISION_ANNOTATION).cloned()
    };
    let set = sets
        .into_iter()
        .filter(|set| {
            let mut owners = set.owner_references().iter();
            owners.any(|owner| owner.uid == deployment_uid)
                && revision_of(set).as_deref() == Some(revision)
        })
        .max_by_key(used)?;
    let mut template = set.spec?.template?;
    if let Some(metadata) = &mut template.metadata {
        // The Deployment controller sets it, and nobody else may.
        if let Some(labels) = &mut metadata.labels {
            labels.remove(HASH_LABEL);
        }
        metadata.creation_timestamp = None;
    }
    serde_json::to_value(template).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(owner: &str, count: &str, revision: &str, image: &str) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {
                "name": image,
                "annotations": {(COUNT_ANNOTATION): count},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "logs", "uid": owner}],
            },
            "spec": {"selector": {}, "template": {
                "metadata": {
                    "labels": {"a": "b", (HASH_LABEL): "x"},
                    "annotations": {(REVISION_ANNOTATION): revision},
                },
                "spec": {"containers": [{"name": "consumer", "image": image}]},
            }},
        }))
        .expect("a ReplicaSet")
    }

    #[test]
    fn the_template_is_the_last_used_of_the_revision_without_the_controllers_label() {
        let sets = vec![
            set("d", "9", "good", "older"),
            set("d", "10", "good", "newer"),
            set("d", "11", "bad", "bad"),
            set("other", "12", "good", "foreign"),
        ];
        let found = template(sets.clone(), "d", "good").expect("there is one");
        assert_eq!(found["spec"]["containers"][0]["image"], "newer");
        assert_eq!(found["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(template(sets, "d", "gone"), None);
    }
}
