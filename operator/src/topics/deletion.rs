//! Deletion: by policy, by topic id, and never so that a namespace hangs.

use std::sync::Arc;
use std::time::Duration;

use bt_kafka::{Admin, Error as KafkaError};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::{Error, desired, key, ownership, reference};
use crate::api::{DeletionPolicy, KafkaTopic, is_paused};
use crate::context::Context;

/// Holds a resource back until its topic has been dealt with. Only resources whose policy may delete carry it.
pub const FINALIZER: &str = "monitoring.bt.dev/topic";

/// Puts the finalizer on, or takes it off, where it is not as wanted. Whether the resource is still there.
pub async fn ensure_finalizer(
    topic: &KafkaTopic,
    wanted: bool,
    context: &Context,
) -> Result<bool, kube::Error> {
    let held = |finalizers: &[String]| finalizers.iter().any(|name| name == FINALIZER);
    if held(topic.finalizers()) == wanted {
        return Ok(true);
    }
    let namespace = topic.namespace().unwrap_or_default();
    let api = Api::<KafkaTopic>::namespaced(context.client.clone(), &namespace);
    // The list as it is now: others may have put theirs on since the watch brought ours.
    let Some(current) = api.get_metadata_opt(&topic.name_any()).await? else {
        return Ok(false);
    };
    if current.uid() != topic.uid() {
        return Ok(false);
    }
    let mut finalizers = current.finalizers().to_vec();
    if held(&finalizers) == wanted {
        return Ok(true);
    }
    if wanted {
        finalizers.push(FINALIZER.into());
    } else {
        finalizers.retain(|name| name != FINALIZER);
    }
    // With the resource version it fails, and is tried again, if somebody changes the list meanwhile.
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": current.resource_version()}});
    match api
        .patch(
            &topic.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// What deletion came to, with the words for the Event.
enum End {
    Deleted(String),
    Left(String),
}

/// Deals with the topic of a resource that is being deleted, then lets the resource go.
pub async fn finish(topic: &KafkaTopic, context: &Context) -> Result<Action, Error> {
    if !topic.finalizers().iter().any(|name| name == FINALIZER) {
        context.reset_backoff(&key(topic));
        return Ok(Action::await_change());
    }
    let (kind, reason, note) = match settle(topic, context).await? {
        Ok(End::Deleted(note)) => (EventType::Normal, "TopicDeleted", note),
        Ok(End::Left(note)) => (EventType::Normal, "TopicRetained", note),
        Err(error) => {
            if waited(topic) < Duration::from_secs(context.settings.deletion_bound_seconds) {
                tracing::warn!(topic = key(topic), %error, "the topic cannot be deleted yet");
                return Ok(Action::requeue(context.backoff(&key(topic))));
            }
            let name = topic
                .spec
                .topic_name
                .clone()
                .unwrap_or_else(|| topic.name_any());
            let note = format!(
                "topic {name} was left behind in Kafka: {error}; delete it by hand if it is not wanted"
            );
            (EventType::Warning, "TopicLeftBehind", note)
        }
    };
    ensure_finalizer(topic, false, context)
        .await
        .map_err(Error::Finalizer)?;
    context
        .event(&reference(topic), kind, reason, "Delete", note)
        .await;
    context.reset_backoff(&key(topic));
    Ok(Action::await_change())
}

/// The outer error is Kubernetes', the inner one Kafka's.
async fn settle(topic: &KafkaTopic, context: &Context) -> Result<Result<End, KafkaError>, Error> {
    let left = |note: String| Ok(Ok(End::Left(note)));
    let default = context.settings.kafka();
    // Asked anew rather than read from the cache: a rival that the cache has not seen yet must count, and the id that
    // was recorded last.
    let all = Api::<KafkaTopic>::all(context.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(Error::Rivals)?;
    let all: Vec<_> = all.items.into_iter().map(Arc::new).collect();
    let fresh = all.iter().find(|other| other.uid() == topic.uid());
    let topic = fresh.map_or(topic, |fresh| fresh.as_ref());
    if is_paused(topic) {
        return left("the resource was paused, so its topic was left as it is".into());
    }
    let Ok(desired) = desired::validate(topic, &default) else {
        return left("the resource was never valid, so its topic was left as it is".into());
    };
    let name = &desired.name;
    let recorded = topic
        .status
        .as_ref()
        .and_then(|status| status.topic_id.clone());
    let Some(recorded) = recorded else {
        return left(format!("this resource never owned topic {name}"));
    };
    let heir = ownership::rivals(topic, &all, &default)
        .find(|rival| rival.meta().deletion_timestamp.is_none())
        .or_else(|| ownership::holders(topic, &recorded, &all).next().cloned());
    if let Some(heir) = heir {
        return left(format!(
            "topic {name} goes over to {}/{}",
            heir.namespace().unwrap_or_default(),
            heir.name_any()
        ));
    }
    if desired.deletion == DeletionPolicy::Retain {
        return left(format!(
            "topic {name} stays in Kafka (deletionPolicy: Retain)"
        ));
    }
    let admin = match context.admin(&desired.connection) {
        Ok(admin) => admin,
        Err(error) => return Ok(Err(error)),
    };
    Ok(delete(&admin, name, &recorded, desired.deletion).await)
}

async fn delete(
    admin: &Admin,
    name: &str,
    recorded: &str,
    policy: DeletionPolicy,
) -> Result<End, KafkaError> {
    let found = match admin.describe_topics(&[name]).await?.remove(name) {
        Some(Ok(found)) => found,
        Some(Err(error)) if !error.is_unknown_topic() => return Err(error),
        _ => return Ok(End::Left(format!("topic {name} was gone already"))),
    };
    if found.id != recorded {
        return Ok(End::Left(format!(
            "topic {name} is another one (id {}) than this resource owned (id {recorded}); it was left alone",
            found.id
        )));
    }
    if policy == DeletionPolicy::RetainIfNotEmpty {
        let partitions: Vec<_> = (0..found.partitions)
            .map(|p| (name.to_owned(), p))
            .collect();
        let starts = admin.log_start_offsets(partitions.clone()).await?;
        let ends = admin.log_end_offsets(partitions.clone()).await?;
        let mut empty = true;
        for partition in &partitions {
            match (starts.get(partition), ends.get(partition)) {
                (Some(start), Some(end)) => empty &= start == end,
                _ => {
                    let unknown = format!("the offsets of partition {} are not known", partition.1);
                    return Err(KafkaError::not_yet("ListOffsets", unknown));
                }
            }
        }
        if !empty {
            return Ok(End::Left(format!(
                "topic {name} holds records and stays in Kafka (deletionPolicy: RetainIfNotEmpty)"
            )));
        }
    }
    match admin.delete_topics(&[name]).await?.remove(name) {
        Some(Err(error)) if !error.is_unknown_topic() => Err(error),
        _ => Ok(End::Deleted(format!(
            "topic {name} (id {recorded}) was deleted"
        ))),
    }
}

/// How long the resource has been waiting for its deletion.
fn waited(topic: &KafkaTopic) -> Duration {
    topic
        .meta()
        .deletion_timestamp
        .as_ref()
        .and_then(|since| Duration::try_from(Timestamp::now().duration_since(since.0)).ok())
        .unwrap_or_default()
}
