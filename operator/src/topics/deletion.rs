//! Deletion: by policy, by topic id, and never so that a namespace hangs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bt_kafka::{Admin, Error as KafkaError};
use kube::api::ListParams;
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};

use super::batch::{failed, side_by_side, uid};
use super::queue::Next;
use super::registry::{Registry, Uid};
use super::{Topics, desired, ownership};
use crate::api::{DeletionPolicy, KafkaTopic, is_paused};
use crate::clusters::Cluster;
use crate::finalizer::{self, Ensured, waited};
use crate::metrics::Reconcile;

/// Holds a resource back until its topic has been dealt with. Only resources whose policy may delete carry it.
pub const FINALIZER: &str = "monitoring.bt.dev/topic";

/// Whether a resource waits for us before it goes.
pub fn is_held(topic: &KafkaTopic) -> bool {
    finalizer::is_held(topic, FINALIZER)
}

/// Puts the finalizer on, or takes it off, where it is not as wanted. Whether the resource is still there.
pub async fn ensure_finalizer(
    topics: &Topics,
    topic: &KafkaTopic,
    wanted: bool,
) -> Result<bool, kube::Error> {
    match finalizer::ensure(&topics.context.client, topic, FINALIZER, wanted).await? {
        Ensured::Unchanged => Ok(true),
        Ensured::Written(written) => {
            topics.registry().wrote(written);
            Ok(true)
        }
        Ensured::Gone => Ok(false),
    }
}

/// What deletion comes to, in the words of the Event.
#[derive(Debug, Clone, PartialEq)]
enum End {
    Deleted(String),
    Left(String),
    /// Against the policy.
    LeftBehind(String),
}

/// Deals with the topics of resources that are being deleted, then lets the resources go.
pub async fn finish(
    topics: &Topics,
    cluster: &Cluster,
    deleting: Vec<Arc<KafkaTopic>>,
    timer: Reconcile<'_>,
) -> Vec<(Uid, Next)> {
    let (held, free): (Vec<_>, Vec<_>) = deleting.into_iter().partition(|topic| is_held(topic));
    let mut next: Vec<(Uid, Next)> = free.iter().map(|topic| (uid(topic), Next::Never)).collect();
    if held.is_empty() {
        return next;
    }
    let mut ends = settle(topics, cluster, &held).await;
    let bound = Duration::from_secs(topics.context.settings.deletion_bound_seconds);
    let released = held.into_iter().map(|topic| {
        let end = ends.remove(&uid(&topic));
        async move {
            let end = match end {
                Some(Ok(end)) => end,
                Some(Err(why)) if waited(topic.as_ref()) >= bound => {
                    let name = desired::name(&topic);
                    End::LeftBehind(format!("topic {name} was left behind in Kafka: {why}; delete it by hand if it is not wanted"))
                }
                Some(Err(why)) => return (uid(&topic), failed(topics, &topic, "the topic cannot be deleted yet", &why)),
                None => return (uid(&topic), Next::Never),
            };
            timer.outcome("deleted");
            (uid(&topic), release(topics, &topic, end).await)
        }
    });
    next.extend(side_by_side(released.collect()).await);
    next
}

async fn release(topics: &Topics, topic: &KafkaTopic, end: End) -> Next {
    let (kind, reason, note) = match end {
        End::Deleted(note) => (EventType::Normal, "TopicDeleted", note),
        End::Left(note) => (EventType::Normal, "TopicRetained", note),
        End::LeftBehind(note) => (EventType::Warning, "TopicLeftBehind", note),
    };
    // First told, then let go: afterwards nobody would come back to it, and its namespace may be gone.
    let about = topic.object_ref(&());
    topics
        .context
        .event(&about, kind, reason, "Delete", note)
        .await;
    match ensure_finalizer(topics, topic, false).await {
        Ok(_) => Next::Never,
        Err(error) => failed(topics, topic, "cannot take the finalizer off", &error),
    }
}

/// What becomes of each topic: done, or why it cannot be yet. A resource that is gone already is absent.
async fn settle(
    topics: &Topics,
    cluster: &Cluster,
    held: &[Arc<KafkaTopic>],
) -> HashMap<Uid, Result<End, String>> {
    let everybody = |why: String| {
        held.iter()
            .map(|topic| (uid(topic), Err(why.clone())))
            .collect()
    };
    // Asked anew rather than taken from the watch: a rival that it has not brought yet must count, and the id that was
    // recorded last.
    let fresh = match list(topics, held).await {
        Ok(fresh) => fresh,
        Err(error) => {
            return everybody(format!(
                "the KafkaTopics that may share the topic cannot be listed: {error}"
            ));
        }
    };
    let mut ends = HashMap::new();
    let mut doomed: BTreeMap<String, Vec<Doomed>> = BTreeMap::new();
    for topic in held.iter().filter_map(|topic| fresh.get(&uid(topic))) {
        match decide(&topic, &fresh) {
            Decision::Leave(note) => {
                ends.insert(uid(&topic), Ok(End::Left(note)));
            }
            Decision::Delete { name, id, policy } => {
                let uid = uid(&topic);
                doomed
                    .entry(name)
                    .or_default()
                    .push(Doomed { uid, id, policy });
            }
        }
    }
    if doomed.is_empty() {
        return ends;
    }
    let outcomes = match topics.context.clusters.connect_for_deletion(cluster).await {
        Ok(admin) => delete(&admin, &doomed)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    for one in doomed.into_values().flatten() {
        let outcome = match &outcomes {
            Ok(outcomes) => outcomes.get(&one.uid).cloned(),
            Err(why) => Some(Err(why.clone())),
        };
        ends.extend(outcome.map(|outcome| (one.uid, outcome)));
    }
    ends
}

/// A resource whose topic is to be deleted, if it is still the one with this id.
struct Doomed {
    uid: Uid,
    id: String,
    policy: DeletionPolicy,
}

/// The KafkaTopics of these topic names, of all namespaces and clusters, as the API server has them now. An id has one name for
/// ever, so whoever holds one of these topics is among them.
async fn list(topics: &Topics, held: &[Arc<KafkaTopic>]) -> Result<Registry, kube::Error> {
    let api = Api::<KafkaTopic>::all(topics.context.client.clone());
    let names: HashSet<String> = held.iter().map(|topic| desired::name(topic)).collect();
    let mut registry = Registry::new(&topics.context.settings.kafka_bootstrap);
    // Small pages, and only what matters of them: of thousands, a batch concerns few.
    let mut page = ListParams::default().limit(250);
    loop {
        let mut list = api.list(&page).await?;
        list.items
            .retain(|topic| names.contains(&desired::name(topic)));
        registry.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(registry),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Decision {
    Leave(String),
    Delete {
        name: String,
        id: String,
        policy: DeletionPolicy,
    },
}

/// Whether the topic may be deleted: by policy, only by its owner, and only the very one that the owner recorded.
fn decide(topic: &KafkaTopic, all: &Registry) -> Decision {
    if is_paused(topic) {
        return Decision::Leave("the resource was paused, so its topic was left as it is".into());
    }
    let Ok(desired) = desired::validate(topic) else {
        return Decision::Leave(
            "the resource was not valid, so its topic was left as it is".into(),
        );
    };
    let name = desired.name;
    let recorded = topic
        .status
        .as_ref()
        .and_then(|status| status.topic_id.clone());
    let Some(id) = recorded else {
        return Decision::Leave(format!("this resource never owned topic {name}"));
    };
    let (rivals, holders) = (all.rivals(topic), all.holders(topic, &id));
    if let Some(heir) = ownership::heir(&rivals, &holders) {
        let (namespace, heir) = (heir.namespace().unwrap_or_default(), heir.name_any());
        return Decision::Leave(format!("topic {name} goes over to {namespace}/{heir}"));
    }
    match desired.deletion {
        DeletionPolicy::Retain => Decision::Leave(format!(
            "topic {name} stays in Kafka (deletionPolicy: Retain)"
        )),
        policy => Decision::Delete { name, id, policy },
    }
}

/// Deletes the topics that are still those that were recorded.
async fn delete(
    admin: &Admin,
    doomed: &BTreeMap<String, Vec<Doomed>>,
) -> Result<HashMap<Uid, Result<End, String>>, KafkaError> {
    let names: Vec<&str> = doomed.keys().map(String::as_str).collect();
    let mut described = admin.describe_topics(&names).await?;
    let mut ends: HashMap<Uid, Result<End, String>> = HashMap::new();
    let mut there: BTreeMap<&str, (&Doomed, i32)> = BTreeMap::new();
    for (name, one) in doomed
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |one| (name, one)))
    {
        let end = match described.get(name) {
            Some(Ok(found)) if found.id == one.id => {
                there.insert(name, (one, found.partitions));
                continue;
            }
            Some(Ok(found)) => Ok(End::Left(format!(
                "topic {name} is another one (id {}) than this resource owned (id {}); it was left alone",
                found.id, one.id
            ))),
            Some(Err(error)) if !error.is_unknown_topic() => Err(error.to_string()),
            _ => Ok(End::Left(format!("topic {name} was gone already"))),
        };
        ends.insert(one.uid.clone(), end);
    }
    described.clear();
    for (name, outcome) in not_empty(admin, &there).await? {
        if let Some((one, _)) = there.remove(name) {
            ends.insert(one.uid.clone(), outcome);
        }
    }
    let names: Vec<&str> = there.keys().copied().collect();
    let mut outcomes = admin.delete_topics(&names).await?;
    for (name, (one, _)) in there {
        let end = match outcomes.remove(name) {
            Some(Err(error)) if error.is_deletion_disabled() => Ok(End::LeftBehind(format!(
                "topic {name} was left behind in Kafka: its brokers forbid deletion (delete.topic.enable=false); \
                 to have it deleted, allow that in the brokers' configuration and delete the topic by hand"
            ))),
            Some(Err(error)) if !error.is_unknown_topic() => Err(error.to_string()),
            _ => Ok(End::Deleted(format!(
                "topic {name} (id {}) was deleted",
                one.id
            ))),
        };
        ends.insert(one.uid.clone(), end);
    }
    Ok(ends)
}

/// Those that hold records and are retained for that, and those of which it is not known.
async fn not_empty<'a>(
    admin: &Admin,
    there: &BTreeMap<&'a str, (&Doomed, i32)>,
) -> Result<Vec<(&'a str, Result<End, String>)>, KafkaError> {
    let asked = there
        .iter()
        .filter(|(_, (one, _))| one.policy == DeletionPolicy::RetainIfNotEmpty);
    let partitions: Vec<(String, i32)> = asked
        .clone()
        .flat_map(|(name, (_, count))| (0..*count).map(|partition| ((*name).to_owned(), partition)))
        .collect();
    let starts = admin.log_start_offsets(partitions.clone()).await?;
    let ends = admin.log_end_offsets(partitions).await?;
    let mut kept = Vec::new();
    for (name, (_, count)) in asked {
        let mut empty = Ok(true);
        for partition in 0..*count {
            let partition = ((*name).to_owned(), partition);
            match (starts.get(&partition), ends.get(&partition)) {
                (Some(start), Some(end)) => empty = empty.map(|empty| empty && start == end),
                _ => {
                    empty = Err(format!(
                        "the offsets of partition {} of topic {name} are not known",
                        partition.1
                    ))
                }
            }
        }
        match empty {
            Ok(true) => {}
            Ok(false) => {
                let note = format!(
                    "topic {name} holds records and stays in Kafka (deletionPolicy: RetainIfNotEmpty)"
                );
                kept.push((*name, Ok(End::Left(note))));
            }
            Err(why) => kept.push((*name, Err(why))),
        }
    }
    Ok(kept)
}
