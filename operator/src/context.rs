use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bt_consumers::Notice;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use sha2::{Digest, Sha256};

use crate::clusters::Clusters;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// The field manager of everything that the operator writes.
pub const MANAGER: &str = "bt-operator";

/// What both controllers share.
pub struct Context {
    /// The Kubernetes client.
    pub client: Client,
    /// The operator's configuration.
    pub settings: Settings,
    /// The operator's own metrics.
    pub metrics: Metrics,
    /// The clients of the Kafka clusters.
    pub clusters: Clusters,
    recorder: Recorder,
    failures: Mutex<HashMap<String, u32>>,
}

impl Context {
    pub fn new(client: Client, settings: Settings, metrics: Metrics) -> Self {
        let reporter = Reporter {
            controller: MANAGER.into(),
            instance: Some(settings.pod_name.clone()),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            clusters: Clusters::new(client.clone(), metrics.clone()),
            client,
            settings,
            metrics,
            failures: Mutex::default(),
        }
    }

    /// Publishes an Event about a resource, and logs it. A lost Event is logged, never an error: the status says the same.
    pub async fn event(
        &self,
        about: &ObjectReference,
        type_: EventType,
        reason: &str,
        action: &str,
        note: impl Into<String>,
    ) {
        let note = cut(note.into());
        let name = about.name.as_deref().unwrap_or_default();
        let namespace = about.namespace.as_deref().unwrap_or_default();
        let kind = about.kind.as_deref().unwrap_or_default();
        tracing::info!(kind, namespace, name, reason, "{note}");
        let event = Event {
            type_,
            reason: reason.into(),
            note: Some(note),
            action: action.into(),
            secondary: None,
        };
        let mut outcome = self.recorder.publish(&event, about).await;
        let lost = outcome.as_ref().err().is_some_and(is_namespace_going);
        if lost && type_ == EventType::Normal {
            return;
        }
        if lost {
            // A namespace that is being deleted takes no Events. Those about the namespace itself are kept in `default`.
            let whole = ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Namespace".into()),
                name: Some(namespace.into()),
                ..ObjectReference::default()
            };
            let note = format!(
                "{kind} {name}: {}",
                event.note.as_deref().unwrap_or_default()
            );
            // What has the same reason, action and related object is counted as one Event, with the note of the first.
            let event = Event {
                note: Some(cut(note)),
                secondary: Some(about.clone()),
                ..event
            };
            outcome = self.recorder.publish(&event, &whole).await;
        }
        if let Err(error) = outcome {
            tracing::warn!(%error, reason, "an Event could not be published");
        }
    }

    /// Publishes a Warning about something that happened once, and logs it. Its name is made of `identity`: told again, be it by
    /// another replica of the operator, it is the same Event. Others of the same reason are not counted into it. A lost one is logged.
    pub async fn event_once(
        &self,
        about: &ObjectReference,
        related: ObjectReference,
        identity: &str,
        what: &Notice,
    ) {
        let name = about.name.as_deref().unwrap_or_default();
        let namespace = about.namespace.as_deref().unwrap_or_default();
        let hash = Sha256::digest(identity.as_bytes());
        let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let at = what.at.parse().unwrap_or_else(|_| Timestamp::now());
        let event = k8s_openapi::api::events::v1::Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{hash}")),
                namespace: Some(namespace.into()),
                ..ObjectMeta::default()
            },
            type_: Some("Warning".into()),
            reason: Some(what.reason.clone()),
            note: Some(cut(what.message.clone())),
            action: Some("Consume".into()),
            event_time: Some(MicroTime(at)),
            regarding: Some(about.clone()),
            related: Some(related),
            reporting_controller: Some(MANAGER.into()),
            reporting_instance: Some(self.settings.pod_name.clone()),
            ..Default::default()
        };
        let api = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                tracing::warn!(namespace, name, reason = what.reason, "{}", what.message);
            }
            // It was told already.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                tracing::warn!(%error, namespace, name, reason = what.reason, "an Event could not be published: {}", what.message);
            }
        }
    }

    /// The time to wait after one more failure of this object: 1 s, 2 s, 4 s … 60 s.
    pub fn backoff(&self, object: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object.to_owned()).or_default();
        let wait = Duration::from_secs((1 << (*count).min(6)).min(60));
        *count += 1;
        wait
    }

    /// Forgets the failures of an object that is well again or gone.
    pub fn reset_backoff(&self, object: &str) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(object);
    }
}

/// Whether Kubernetes refuses to make something because its namespace is being deleted, or gone.
pub fn is_namespace_going(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let terminating = causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating");
    let gone = status.code == 404
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces");
    terminating || gone
}

/// A note that the API takes: it refuses those of more than 1 kB.
fn cut(mut note: String) -> String {
    if note.len() > 1000 {
        let end = (0..=997)
            .rev()
            .find(|end| note.is_char_boundary(*end))
            .unwrap_or(0);
        note.truncate(end);
        note.push_str("...");
    }
    note
}
