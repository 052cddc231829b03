//! Deletion: the objects go by their owner references; the consumer group, and the state topic with it, only where the spec says so,
//! and then after its pods.

use std::time::Duration;

use bt_kafka::Error as KafkaError;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::build::{selector, state_topic};
use super::desired::{cluster, group_id};
use super::owned::{Kind, owner};
use crate::api::{GroupDeletionPolicy, KafkaTopic, TelemetryConsumer, is_paused};
use crate::clusters::Unconnected;
use crate::context::Context;
use crate::finalizer::{self, Ensured};

/// Holds a resource back until its consumer group is deleted. Only those with `groupDeletionPolicy: Delete` carry it.
pub const FINALIZER: &str = "monitoring.bt.dev/consumer-group";

/// How soon it is tried again while pods are leaving the group.
const SOON: Duration = Duration::from_secs(2);

/// Puts the finalizer on, or takes it off, as the spec wants. Whether the resource is still there to be reconciled.
///
/// # Errors
/// Kubernetes' own.
pub async fn prepare(consumer: &TelemetryConsumer, context: &Context) -> Result<bool, kube::Error> {
    let wanted = consumer.spec.group_deletion_policy == GroupDeletionPolicy::Delete;
    let ensured = finalizer::ensure(&context.client, consumer, FINALIZER, wanted).await?;
    Ok(!matches!(ensured, Ensured::Gone))
}

/// Deletes the group of a resource that goes, then lets the resource go. When to try again, if it is not over.
///
/// # Errors
/// Kubernetes' own.
pub async fn finish(
    consumer: &TelemetryConsumer,
    context: &Context,
) -> Result<Option<Duration>, kube::Error> {
    if !finalizer::is_held(consumer, FINALIZER) {
        return Ok(None);
    }
    let group = group_id(consumer);
    let deletes = consumer.spec.group_deletion_policy == GroupDeletionPolicy::Delete;
    let (kind, reason, note) = if is_paused(consumer) || !deletes {
        let why = if deletes {
            "the resource was paused"
        } else {
            "groupDeletionPolicy is Retain"
        };
        let note = format!("consumer group {group} stays in Kafka with its offsets: {why}");
        (EventType::Normal, "GroupRetained", note)
    } else {
        delete_pods(consumer, context).await?;
        let left = pods_left(consumer, context).await?;
        if left && finalizer::waited(consumer) < bound(context) {
            return Ok(Some(SOON));
        }
        match delete_group(consumer, &group, context).await {
            Ok(()) => (
                EventType::Normal,
                "GroupDeleted",
                format!("consumer group {group} was deleted"),
            ),
            Err(why) if finalizer::waited(consumer) < bound(context) => {
                tracing::info!(group, why, "the consumer group cannot be deleted yet");
                return Ok(Some(SOON));
            }
            Err(why) => {
                let note = format!(
                    "consumer group {group} was left behind in Kafka: {why}; delete it by hand if it is not wanted"
                );
                (EventType::Warning, "GroupLeftBehind", note)
            }
        }
    };
    state_topic_follows(consumer, reason == "GroupDeleted", context).await?;
    // First told, then let go: afterwards nobody would come back to it, and its namespace may be gone.
    context
        .event(&consumer.object_ref(&()), kind, reason, "Delete", note)
        .await;
    finalizer::ensure(&context.client, consumer, FINALIZER, false).await?;
    Ok(None)
}

/// The state topic goes, or stays, with the group: the series that it holds stand for the group's offsets.
async fn state_topic_follows(
    consumer: &TelemetryConsumer,
    goes: bool,
    context: &Context,
) -> Result<(), kube::Error> {
    let namespace = consumer.namespace().unwrap_or_default();
    let api = Api::<KafkaTopic>::namespaced(context.client.clone(), &namespace);
    let name = Kind::KafkaTopic.object_name(&consumer.name_any());
    let Some(topic) = api.get_opt(&name).await? else {
        return Ok(());
    };
    let wanted = state_topic::deletion_policy(match goes {
        true => GroupDeletionPolicy::Delete,
        false => GroupDeletionPolicy::Retain,
    });
    let ours = owner(topic.owner_references()).map(|(_, uid)| uid) == consumer.uid();
    if !ours || topic.spec.deletion_policy == wanted {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": topic.uid()}, "spec": {"deletionPolicy": wanted}});
    match api
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        // Gone meanwhile, or another one of that name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        outcome => outcome.map(drop),
    }
}

fn bound(context: &Context) -> Duration {
    Duration::from_secs(context.settings.deletion_bound_seconds)
}

/// The pods finish what they hold, commit, and leave the group; Kafka deletes no group that has members.
async fn delete_pods(consumer: &TelemetryConsumer, context: &Context) -> Result<(), kube::Error> {
    let namespace = consumer.namespace().unwrap_or_default();
    let api = Api::<Deployment>::namespaced(context.client.clone(), &namespace);
    let Some(deployment) = api.get_metadata_opt(&consumer.name_any()).await? else {
        return Ok(());
    };
    let owners = deployment.owner_references();
    let ours = owners
        .iter()
        .any(|owner| Some(&owner.uid) == consumer.uid().as_ref());
    if !ours || deployment.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    match api
        .delete(&consumer.name_any(), &DeleteParams::background())
        .await
    {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

/// Whether there are pods yet. One that has just started is no member, and would make the group anew.
async fn pods_left(consumer: &TelemetryConsumer, context: &Context) -> Result<bool, kube::Error> {
    let namespace = consumer.namespace().unwrap_or_default();
    let selector = selector(&consumer.name_any());
    let selector: Vec<_> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let one = ListParams::default().labels(&selector.join(",")).limit(1);
    let pods = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    Ok(!pods.list_metadata(&one).await?.items.is_empty())
}

async fn delete_group(
    consumer: &TelemetryConsumer,
    group: &str,
    context: &Context,
) -> Result<(), String> {
    let deleted = async {
        let cluster = cluster(consumer, &context.settings);
        let admin = context.clusters.connect_for_deletion(&cluster).await?;
        Ok::<_, Unconnected>(admin.delete_group(group).await?)
    };
    deleted.await.map_err(|error| match error {
        Unconnected::Client(error) if KafkaError::is_group_not_empty(&error) => {
            "it still has members; its pods may be finishing what they hold, or somebody else uses it".into()
        }
        error => error.to_string(),
    })
}
