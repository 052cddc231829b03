use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::DynamicObject;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::Kind;
use super::topics::{LiveTopic, as_relayed};
use crate::api::TelemetryConsumer;
use crate::consumers::build::REVISION_ANNOTATION;

/// What is kept of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Its uid.
    pub uid: String,
    /// Its resource version, where that is a number, as it is in Kubernetes.
    pub version: u64,
    /// The TelemetryConsumer that controls it: name and uid.
    pub owner: Option<(String, String)>,
    /// Changes when anything does but the status, the managed fields and what the Deployment controller notes in annotations.
    pub fingerprint: u64,
    /// The data of a ConfigMap, the spec of a NetworkPolicy; else null.
    pub content: Value,
    /// For a Deployment.
    pub deployment: Option<LiveDeployment>,
    /// For a KafkaTopic.
    pub topic: Option<LiveTopic>,
}

/// A Deployment, as far as decisions need it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveDeployment {
    /// The revision of its pod template.
    pub revision: Option<String>,
    pub generation: i64,
    pub observed_generation: i64,
    /// Pods that it should have.
    pub wanted: i32,
    /// Pods that it has, of any revision.
    pub replicas: i32,
    /// Pods of its present template.
    pub updated: i32,
    pub ready: i32,
    pub available: i32,
    /// Whether its condition `Progressing` says `ProgressDeadlineExceeded`.
    pub deadline_exceeded: bool,
    /// Why pods cannot be made, if so.
    pub failure: Option<String>,
}

impl Live {
    /// What is kept of this object.
    pub fn of(kind: Kind, object: &DynamicObject) -> Self {
        let relayed = (kind == Kind::KafkaTopic).then(|| as_relayed(object));
        let object = relayed.as_ref().unwrap_or(object);
        let content = match kind {
            Kind::ConfigMap => object.data.get("data"),
            Kind::NetworkPolicy => object.data.get("spec"),
            _ => None,
        };
        let version = object.resource_version().unwrap_or_default();
        Self {
            uid: object.uid().unwrap_or_default(),
            version: version.parse().unwrap_or_default(),
            owner: owner(object.owner_references()),
            fingerprint: fingerprint(object),
            content: content.cloned().unwrap_or_default(),
            deployment: (kind == Kind::Deployment).then(|| LiveDeployment::of(object)),
            topic: (kind == Kind::KafkaTopic).then(|| LiveTopic::of(object)),
        }
    }
}

/// The TelemetryConsumer among the owners that is the controller: name and uid.
pub fn owner(references: &[OwnerReference]) -> Option<(String, String)> {
    let ours = |reference: &&OwnerReference| {
        reference.kind == TelemetryConsumer::kind(&())
            && reference.api_version == TelemetryConsumer::api_version(&())
            && reference.controller == Some(true)
    };
    let owner = references.iter().find(ours)?;
    Some((owner.name.clone(), owner.uid.clone()))
}

impl LiveDeployment {
    /// Whether the pods that it makes are of this revision.
    pub fn runs(&self, revision: &str) -> bool {
        self.revision.as_deref() == Some(revision)
    }

    fn of(object: &DynamicObject) -> Self {
        let (spec, status) = (&object.data["spec"], &object.data["status"]);
        let number = |value: &Value| -> i32 {
            let number = value.as_i64().unwrap_or(0);
            i32::try_from(number).unwrap_or(i32::MAX)
        };
        let conditions = status["conditions"].as_array();
        let condition = |kind: &str| conditions?.iter().find(|found| found["type"] == kind);
        let failure = condition("ReplicaFailure").filter(|found| found["status"] == "True");
        Self {
            revision: spec["template"]["metadata"]["annotations"][REVISION_ANNOTATION]
                .as_str()
                .map(Into::into),
            generation: object.metadata.generation.unwrap_or(0),
            observed_generation: status["observedGeneration"].as_i64().unwrap_or(0),
            wanted: number(&spec["replicas"]),
            replicas: number(&status["replicas"]),
            updated: number(&status["updatedReplicas"]),
            ready: number(&status["readyReplicas"]),
            available: number(&status["availableReplicas"]),
            deadline_exceeded: condition("Progressing")
                .is_some_and(|found| found["reason"] == "ProgressDeadlineExceeded"),
            failure: failure
                .and_then(|found| found["message"].as_str())
                .map(Into::into),
        }
    }
}

fn fingerprint(object: &DynamicObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    let metadata = &object.metadata;
    metadata.labels.hash(&mut hasher);
    for annotation in metadata.annotations.iter().flatten() {
        if !annotation.0.starts_with("deployment.kubernetes.io/") {
            annotation.hash(&mut hasher);
        }
    }
    for owner in metadata.owner_references.iter().flatten() {
        (&owner.kind, &owner.name, &owner.uid, owner.controller).hash(&mut hasher);
    }
    for (key, value) in object.data.as_object().into_iter().flatten() {
        if key != "status" {
            key.hash(&mut hasher);
            digest(value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// A digest of a value, the same wherever its maps are equal. Only for this process: another release of Rust may hash otherwise.
pub fn digest(value: &Value) -> u64 {
    fn add(value: &Value, hasher: &mut DefaultHasher) {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                ('{', entries.len()).hash(hasher);
                for (key, value) in entries {
                    key.hash(hasher);
                    add(value, hasher);
                }
            }
            Value::Array(items) => {
                ('[', items.len()).hash(hasher);
                for item in items {
                    add(item, hasher);
                }
            }
            Value::String(text) => ('"', text).hash(hasher),
            other => other.to_string().hash(hasher),
        }
    }
    let mut hasher = DefaultHasher::new();
    add(value, &mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(change: impl Fn(&mut Value)) -> Live {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "logs", "namespace": "shop", "uid": "d", "resourceVersion": "71", "generation": 3,
                "labels": {"a": "b"},
                "annotations": {"deployment.kubernetes.io/revision": "4"},
                "ownerReferences": [{
                    "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "TelemetryConsumer",
                    "name": "logs", "uid": "c", "controller": true, "blockOwnerDeletion": true,
                }],
                "managedFields": [],
            },
            "spec": {
                "replicas": 2,
                "template": {"metadata": {"annotations": {(REVISION_ANNOTATION): "r1"}}},
            },
            "status": {
                "observedGeneration": 3, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2,
                "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
                    {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"},
                ],
            },
        });
        change(&mut object);
        let object = serde_json::from_value(object).expect("an object");
        Live::of(Kind::Deployment, &object)
    }

    #[test]
    fn a_deployment_is_read_as_it_is() {
        let live = live(|_| {});
        assert_eq!(live.owner, Some(("logs".into(), "c".into())));
        assert_eq!((live.uid.as_str(), live.version), ("d", 71));
        let expected = LiveDeployment {
            revision: Some("r1".into()),
            generation: 3,
            observed_generation: 3,
            wanted: 2,
            replicas: 3,
            updated: 1,
            ready: 2,
            available: 2,
            deadline_exceeded: true,
            failure: Some("quota".into()),
        };
        assert_eq!(live.deployment, Some(expected));
    }

    #[test]
    fn the_fingerprint_tells_edits_from_what_controllers_write() {
        let before = live(|_| {}).fingerprint;
        type Change = fn(&mut Value);
        let cases: [(&str, Change, bool); 8] = [
            ("status", |o| o["status"]["replicas"] = json!(9), false),
            (
                "version",
                |o| o["metadata"]["resourceVersion"] = json!("72"),
                false,
            ),
            (
                "the controller's annotation",
                |o| o["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("5"),
                false,
            ),
            (
                "an annotation",
                |o| o["metadata"]["annotations"]["x"] = json!("y"),
                true,
            ),
            (
                "a label",
                |o| o["metadata"]["labels"]["a"] = json!("c"),
                true,
            ),
            (
                "an owner",
                |o| o["metadata"]["ownerReferences"][0]["uid"] = json!("x"),
                true,
            ),
            ("replicas", |o| o["spec"]["replicas"] = json!(1), true),
            (
                "the template",
                |o| o["spec"]["template"]["spec"] = json!({"nodeName": "x"}),
                true,
            ),
        ];
        for (what, change, differs) in cases {
            assert_eq!(live(change).fingerprint != before, differs, "{what}");
        }
    }

    #[test]
    fn a_digest_depends_on_content_only() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": [1, 2]}"#).expect("JSON");
        let two: Value = serde_json::from_str(r#"{"b": [1, 2], "a": 1}"#).expect("JSON");
        assert_eq!(digest(&one), digest(&two));
        assert_ne!(digest(&one), digest(&json!({"a": 1, "b": [2, 1]})));
        assert_ne!(digest(&json!(["1"])), digest(&json!([1])));
    }
}
