//! The custom resources: group `monitoring.bt.dev`, version `v1alpha1`. The files under `crds/` are generated from these types.

// clippy takes the printer columns' equal types for a repetition.
#![allow(clippy::duplicated_attributes)]

mod conditions;
mod consumer;
mod kafka;
mod search;
mod topic;

pub use conditions::{Condition, set_condition};
pub use consumer::{
    Autoscaling, CustomSink, GroupDeletionPolicy, Lag, Sink, TelemetryConsumer,
    TelemetryConsumerSpec, TelemetryConsumerStatus, TopicLag,
};
pub use kafka::{KafkaSpec, SaslSpec, SecretKeyRef, SecretRef, TlsSpec};
pub use search::{SearchAuth, SearchSink, SearchTls};
pub use topic::{
    AdoptionPolicy, DeletionPolicy, Drift, DriftPolicy, KafkaTopic, KafkaTopicSpec,
    KafkaTopicStatus,
};

use kube::ResourceExt;

/// Set to `"true"`, the resource is left alone: nothing is made, altered or deleted for it.
pub const PAUSED_ANNOTATION: &str = "monitoring.bt.dev/paused";

/// Whether a resource carries [`PAUSED_ANNOTATION`].
pub fn is_paused(resource: &impl ResourceExt) -> bool {
    resource
        .annotations()
        .get(PAUSED_ANNOTATION)
        .is_some_and(|value| value == "true")
}
