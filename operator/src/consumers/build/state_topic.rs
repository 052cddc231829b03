//! The KafkaTopic in which a prometheus sink that counts exactly once keeps its series.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::Value;

use super::metadata;
use crate::api::{
    AdoptionPolicy, DeletionPolicy, DriftPolicy, GroupDeletionPolicy, KafkaTopic, KafkaTopicSpec,
    TelemetryConsumer,
};
use crate::consumers::desired::{group_id, state_topic_name};
use crate::consumers::owned::{Kind, LiveTopic};
use crate::consumers::source_topics::TopicShape;

/// From so many replicas on, two must have a record before it counts as written: one may then be away.
const REPLICAS_FOR_TWO_IN_SYNC: i32 = 3;
/// What makes a compacted topic stay small and quick to read. Segments of 8 MiB, and of an hour where little arrives, since the
/// last segment is never compacted; deletions are shown for a day, so that no reader misses one.
pub const CONFIG: [(&str, &str); 6] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("segment.bytes", "8388608"),
    ("segment.ms", "3600000"),
];

/// What the state topic is to be like: as many partitions as the largest of the topics consumed, never fewer than there are already,
/// and the replicas of the topics consumed, or those that it has. `None` while nothing is known to go by.
pub fn shape(sources: Option<TopicShape>, live: Option<&LiveTopic>) -> Option<TopicShape> {
    let there = live.and_then(|live| live.partitions);
    let wanted = sources.map(|sources| sources.partitions);
    let replicas = live.and_then(|live| live.replicas);
    Some(TopicShape {
        partitions: wanted.max(there)?,
        replicas: replicas
            .or(sources.map(|sources| sources.replicas))
            .unwrap_or(1),
    })
}

/// The resource.
pub fn resource(consumer: &TelemetryConsumer, shape: TopicShape) -> KafkaTopic {
    let name = Kind::KafkaTopic.object_name(&consumer.name_any());
    let mut config: BTreeMap<String, Value> = CONFIG
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    if shape.replicas >= REPLICAS_FOR_TWO_IN_SYNC {
        config.insert("min.insync.replicas".into(), "2".into());
    }
    let spec = KafkaTopicSpec {
        topic_name: Some(state_topic_name(&group_id(consumer))),
        partitions: Some(shape.partitions),
        replicas: Some(shape.replicas),
        config,
        adoption_policy: AdoptionPolicy::Adopt,
        drift_policy: DriftPolicy::Enforce,
        deletion_policy: deletion_policy(consumer.spec.group_deletion_policy),
        kafka: consumer.spec.kafka.clone(),
    };
    KafkaTopic {
        metadata: ObjectMeta {
            name: Some(name),
            ..metadata(consumer)
        },
        spec,
        status: None,
    }
}

/// State and offsets mean nothing without each other: they stay together, and go together.
pub fn deletion_policy(of_group: GroupDeletionPolicy) -> DeletionPolicy {
    match of_group {
        GroupDeletionPolicy::Retain => DeletionPolicy::Retain,
        GroupDeletionPolicy::Delete => DeletionPolicy::Delete,
    }
}
