//! The work that is measured: the user's writes, and for the floor those that an operator cannot do without.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bt_operator::api::{DeletionPolicy, KafkaTopic, KafkaTopicSpec};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Partitions of each topic.
pub const PARTITIONS: i32 = 1;
/// Replicas of each topic.
pub const REPLICAS: i32 = 1;
/// The setting that is modified.
pub const SETTING: &str = "retention.ms";
/// What the operator holds a resource back with.
const FINALIZER: &str = "monitoring.bt.dev/topic";

/// What happens to all topics in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// They are made.
    Create,
    /// One setting is altered.
    Modify,
    /// They are deleted.
    Delete,
}

impl Step {
    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Modify => "modify",
            Self::Delete => "delete",
        }
    }

    /// The generation of a resource after it; none where the resource is gone.
    pub fn generation(self) -> Option<i64> {
        match self {
            Self::Create => Some(1),
            Self::Modify => Some(2),
            Self::Delete => None,
        }
    }
}

/// A topic's settings after a step.
pub fn config(step: Step) -> BTreeMap<String, String> {
    let retention = match step {
        Step::Create => "604800000",
        Step::Modify | Step::Delete => "86400000",
    };
    [(SETTING, retention), ("compression.type", "snappy")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Who writes to the resources of a namespace.
pub struct Writer {
    topics: Api<KafkaTopic>,
    parallel: usize,
}

impl Writer {
    /// Writes this many requests at a time.
    pub fn new(client: &Client, namespace: &str, parallel: usize) -> Self {
        Self {
            topics: Api::namespaced(client.clone(), namespace),
            parallel: parallel.max(1),
        }
    }

    /// The user's writes of a step, for all of these.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn user(&self, step: Step, names: &[String]) -> Result<()> {
        self.all(names, async |name| self.user_one(step, name).await)
            .await
    }

    /// The user's writes of a step and those that an operator adds at least: a finalizer and a status to what is made, a status to what
    /// is modified, the finalizer off what is deleted.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn floor(&self, step: Step, names: &[String]) -> Result<()> {
        self.all(names, async |name| {
            self.user_one(step, name).await?;
            if step != Step::Modify {
                let finalizers: &[&str] = if step == Step::Create {
                    &[FINALIZER]
                } else {
                    &[]
                };
                let patch = json!({"metadata": {"finalizers": finalizers}});
                let patch = Patch::Merge(&patch);
                self.topics
                    .patch(name, &PatchParams::default(), &patch)
                    .await?;
            }
            if let Some(generation) = step.generation() {
                let patch = json!({"status": status(name, generation)});
                let patch = Patch::Merge(&patch);
                self.topics
                    .patch_status(name, &PatchParams::default(), &patch)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    async fn user_one(&self, step: Step, name: &str) -> Result<()> {
        let config: BTreeMap<String, Value> = config(step)
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        match step {
            Step::Create => {
                let spec = KafkaTopicSpec {
                    partitions: Some(PARTITIONS),
                    replicas: Some(REPLICAS),
                    config,
                    deletion_policy: DeletionPolicy::Delete,
                    ..KafkaTopicSpec::default()
                };
                let topic = KafkaTopic::new(name, spec);
                self.topics.create(&PostParams::default(), &topic).await?;
            }
            Step::Modify => {
                let patch = json!({"spec": {"config": config}});
                let patch = Patch::Merge(&patch);
                self.topics
                    .patch(name, &PatchParams::default(), &patch)
                    .await?;
            }
            Step::Delete => {
                self.topics.delete(name, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    async fn all(&self, names: &[String], one: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
        let one = &one;
        stream::iter(names)
            .map(|name| async move {
                let written = one(name).await;
                written.with_context(|| format!("KafkaTopic {name}"))
            })
            .buffer_unordered(self.parallel)
            .try_collect()
            .await
    }
}

/// A status as the operator writes it when all is well.
fn status(name: &str, generation: i64) -> Value {
    json!({
        "observedGeneration": generation,
        "topicName": name,
        "topicId": "k2Vt0yGxTbOmJ4mJ4ZJ3xw",
        "partitions": PARTITIONS,
        "replicas": REPLICAS,
        "managedConfig": ["compression.type", SETTING],
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": if generation == 1 { "Created" } else { "Synced" },
            "message": format!("topic {name} is as wanted"),
            "observedGeneration": generation,
            "lastTransitionTime": Timestamp::now().to_string(),
        }],
    })
}
