use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use bt_operator::api::KafkaTopicStatus;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use crate::cluster::{Cluster, condition};
use crate::wait::{eventually, seconds};

/// The manifest of a KafkaTopic; `spec` in YAML's flow style, which JSON is too.
pub fn ktopic(name: &str, spec: &str) -> String {
    let version = crate::API_VERSION;
    format!(
        "---\napiVersion: {version}\nkind: KafkaTopic\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// An Event about an object.
#[derive(Debug, Clone)]
pub struct Said {
    /// `Kind/name` of the object.
    pub about: String,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Why, for programs.
    pub reason: String,
    /// Why, for people.
    pub note: String,
}

impl Cluster {
    /// Applies one KafkaTopic.
    ///
    /// # Errors
    /// When it is refused, with the API server's words.
    pub async fn apply_topic(&self, namespace: &str, name: &str, spec: &str) -> Result<()> {
        let applied = self.apply(namespace, &ktopic(name, spec)).await;
        applied.map(drop)
    }

    /// Changes a KafkaTopic by a merge patch: `null` takes a field away.
    ///
    /// # Errors
    /// When it is refused, with the API server's words.
    pub async fn patch_topic(&self, namespace: &str, name: &str, patch: Value) -> Result<()> {
        let patch = patch.to_string();
        let args = ["patch", "ktopic", name, "-n", namespace, "--type=merge"];
        let patched = self.kubectl(&[&args[..], &["-p", &patch]].concat()).await;
        patched.map(drop)
    }

    /// Deletes a KafkaTopic and waits until it is gone, its finalizer with it.
    ///
    /// # Errors
    /// When it is not gone within a minute.
    pub async fn delete_topic(&self, namespace: &str, name: &str) -> Result<()> {
        let args = ["delete", "ktopic", name, "-n", namespace, "--timeout=60s"];
        self.kubectl(&args).await.map(drop)
    }

    /// Waits until `Ready` of the present generation is as given, status and reason, and its message has these words; the
    /// resource's status.
    ///
    /// # Errors
    /// When it does not come to that; says what it is instead.
    pub async fn topic_says(
        &self,
        namespace: &str,
        name: &str,
        ready: &str,
        words: &[&str],
    ) -> Result<KafkaTopicStatus> {
        eventually(
            &format!("topic {name} says {ready}"),
            seconds(75),
            async || {
                let topic = self.topic(namespace, name).await?;
                let status = topic.status.unwrap_or_default();
                let found = condition(&status.conditions, "Ready")?;
                let missing: Vec<_> = words
                    .iter()
                    .filter(|word| !found.message.contains(**word))
                    .collect();
                ensure!(
                    format!("{} {}", found.status, found.reason) == ready
                        && missing.is_empty()
                        && found.observed_generation == topic.metadata.generation,
                    "Ready is {} {} (generation {:?} of {:?}), without {missing:?}: {}",
                    found.status,
                    found.reason,
                    found.observed_generation,
                    topic.metadata.generation,
                    found.message
                );
                Ok(status)
            },
        )
        .await
    }

    /// Waits until a topic is ready and an Event has said how it came to that: `Created` or `Adopted`, which the condition
    /// says only until the next look. The resource's status.
    ///
    /// # Errors
    /// When it does not.
    pub async fn topic_becomes(
        &self,
        namespace: &str,
        name: &str,
        reason: &str,
    ) -> Result<KafkaTopicStatus> {
        let about = format!("KafkaTopic/{name}");
        let topic = self.topic_is_ready(namespace, name).await?;
        self.event(namespace, &about, reason, &[]).await?;
        topic.status.context("it is ready without a status")
    }

    /// The keys in a KafkaTopic's `status.driftSummary`.
    ///
    /// # Errors
    /// When the resource is not there.
    pub async fn drift_summary(&self, namespace: &str, name: &str) -> Result<BTreeSet<String>> {
        let path = "jsonpath={.status.driftSummary}";
        let summary = self
            .kubectl(&["get", "ktopic", name, "-n", namespace, "-o", path])
            .await?;
        let keys = summary.split(", ").map(str::to_owned);
        Ok(keys.filter(|key| !key.is_empty()).collect())
    }

    /// The Events in a namespace.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn events(&self, namespace: &str) -> Result<Vec<Said>> {
        let api = Api::<Event>::namespaced(self.client.clone(), namespace);
        let events = api.list(&ListParams::default()).await?.items;
        let said = |event: Event| {
            let about = event.regarding.unwrap_or_default();
            Said {
                about: format!(
                    "{}/{}",
                    about.kind.unwrap_or_default(),
                    about.name.unwrap_or_default()
                ),
                kind: event.type_.unwrap_or_default(),
                reason: event.reason.unwrap_or_default(),
                note: event.note.unwrap_or_default(),
            }
        };
        Ok(events.into_iter().map(said).collect())
    }

    /// Waits for an Event of this reason about an object (`Kind/name`) whose note has these words.
    ///
    /// # Errors
    /// When there is none; says which there are about the object.
    pub async fn event(
        &self,
        namespace: &str,
        about: &str,
        reason: &str,
        words: &[&str],
    ) -> Result<Said> {
        eventually(
            &format!("an Event {reason} about {about}"),
            seconds(15),
            async || {
                let mut said = self.events(namespace).await?;
                said.retain(|said| said.about == about);
                let fits = |said: &&Said| {
                    said.reason == reason && words.iter().all(|word| said.note.contains(word))
                };
                let found = said.iter().find(fits).cloned();
                found.with_context(|| format!("none has the words {words:?}; there are {said:?}"))
            },
        )
        .await
    }
}
