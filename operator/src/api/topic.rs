use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Condition, KafkaSpec};

/// A topic with its configuration.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "monitoring.bt.dev",
    version = "v1alpha1",
    kind = "KafkaTopic",
    plural = "kafkatopics",
    shortname = "ktopic",
    category = "bt",
    namespaced,
    status = "KafkaTopicStatus",
    derive = "PartialEq",
    doc = "A Kafka topic: made, adopted, altered and, where the policy says so, deleted by the operator.",
    validation = Rule::new("has(self.spec.topicName) || size(self.metadata.name) <= 249")
        .message("the resource's name is the topic's, and a topic's name has at most 249 characters: set spec.topicName, or use a shorter name"),
    validation = Rule::new(
        "!has(self.spec.partitions) || (has(oldSelf.spec.partitions) && self.spec.partitions >= oldSelf.spec.partitions) \
         || !has(self.status) || !has(self.status.topicId) || !has(self.status.partitions) || self.spec.partitions >= self.status.partitions"
    ).message("spec.partitions is less than the topic has (status.partitions), and Kafka cannot take any away: leave it as it is, or make a new topic and move the data"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topicName"),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Drift", type_ = "string", json_path = ".status.driftSummary"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("!has(self.topicName) || (self.topicName != '.' && self.topicName != '..')")
        .message("Kafka allows neither \".\" nor \"..\" as a topic's name"),
    validation = Rule::new("has(self.topicName) == has(oldSelf.topicName) && (!has(self.topicName) || self.topicName == oldSelf.topicName)")
        .message("topicName cannot be changed: a topic has no rename in Kafka; make another KafkaTopic and move the data")
)]
pub struct KafkaTopicSpec {
    /// The topic's name in Kafka. Default: the resource's name. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub topic_name: Option<String>,
    /// Number of partitions. May only grow, and growing moves keys to other partitions. Default: the broker's `num.partitions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub partitions: Option<i32>,
    /// Replication factor of a new topic. Default: the broker's `default.replication.factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32_767))]
    pub replicas: Option<i32>,
    /// Topic configuration that this resource owns: string, number or boolean. A key that is removed goes back to the broker's
    /// default, `null` leaves the key as it is, and a key never named is never touched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    pub config: BTreeMap<String, Value>,
    /// What to do about a topic that exists already.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// What to do when Kafka differs from this resource.
    #[serde(default)]
    pub drift_policy: DriftPolicy,
    /// What happens to the topic when this resource is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// The Kafka cluster, where it is not the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSpec>,
}

fn config_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "nullable": true,
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}

/// What to do about a topic that exists already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// Take it over and set it right.
    #[default]
    Adopt,
    /// Take it over only if it is as the resource wants it.
    AdoptIfEqual,
    /// Leave it alone.
    Refuse,
}

/// What to do when Kafka differs from the resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftPolicy {
    /// Set it right.
    #[default]
    Enforce,
    /// Say so in status, change nothing.
    Report,
}

/// What happens to the topic when the resource is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The topic and its data are deleted.
    Delete,
    /// The topic stays.
    #[default]
    Retain,
    /// The topic is deleted only when it holds no record.
    RetainIfNotEmpty,
}

/// The topic as last seen in Kafka.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The topic's name in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Kafka's id of the topic that this resource owns (KIP-516). A topic of the same name with another id is another topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Number of partitions that the topic has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Replication factor that the topic has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The keys that this resource has set, and resets when they leave the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_config: Vec<String>,
    /// Where Kafka differs from the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// The keys that differ, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_summary: Option<String>,
    /// What will be changed, or would be where policy or an error keeps it from being done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// Conditions; `Ready` is the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One difference between Kafka and the spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The setting, or `partitions`, or `replicas`.
    pub key: String,
    /// The value that the spec asks for.
    pub want: String,
    /// The value that Kafka has.
    pub have: String,
}
