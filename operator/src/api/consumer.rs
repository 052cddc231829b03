use bt_consumers::config::{HumanDuration, PrometheusSink, StartFrom};
use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Condition, KafkaSpec, SearchSink};

/// A group of consumer pods that carries topics into a sink.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "monitoring.bt.dev",
    version = "v1alpha1",
    kind = "TelemetryConsumer",
    plural = "telemetryconsumers",
    shortname = "tcon",
    category = "bt",
    namespaced,
    status = "TelemetryConsumerStatus",
    derive = "PartialEq",
    doc = "A group of consumer pods that carries Kafka topics into Prometheus or Elasticsearch.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Sink", type_ = "string", json_path = ".status.sink"),
    printcolumn(name = "Topics", type_ = "string", json_path = ".spec.topics"),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.desiredReplicas"
    ),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag.total"),
    printcolumn(name = "Rate", type_ = "number", json_path = ".status.consumeRate"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("has(self.groupId) == has(oldSelf.groupId) && (!has(self.groupId) || self.groupId == oldSelf.groupId)")
        .message("groupId cannot be changed: the new group would start without the old one's offsets; make another TelemetryConsumer"),
    // The scale subresource comes through here, too. 1 is what a manifest that leaves the field out asks for.
    validation = Rule::new("!has(self.autoscaling) || !has(oldSelf.autoscaling) || self.replicas == oldSelf.replicas || self.replicas == 1")
        .message("replicas cannot be changed while autoscaling is on, which sets the number of pods: change autoscaling.minReplicas and maxReplicas, or remove autoscaling")
)]
pub struct TelemetryConsumerSpec {
    /// The topics to carry, 1 to 64.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    #[schemars(inner(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$")))]
    pub topics: Vec<String>,
    /// Where to; exactly one.
    pub sink: Sink,
    /// The consumer group. Default: `bt.<namespace>.<name>`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub group_id: Option<String>,
    /// Where a partition starts that the group has no offset for.
    #[serde(default)]
    pub start_from: StartFrom,
    /// Number of pods, where `autoscaling` is off; more than the topics have partitions are idle.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// The operator sets the number of pods, from lag and rates; `replicas` has no effect then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// How long a rollout may go on without one more pod becoming ready, in seconds, before the pods go back to the last
    /// revision that was ready (a Deployment's field of that name).
    #[serde(default = "progress_deadline")]
    #[schemars(range(min = 10, max = 3600))]
    pub progress_deadline_seconds: i32,
    /// What becomes of the consumer group, and so of its offsets, when this resource is deleted.
    #[serde(default)]
    pub group_deletion_policy: GroupDeletionPolicy,
    /// The Kafka cluster, where it is not the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSpec>,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,
    /// A partial PodTemplateSpec, laid over what the operator builds by a strategic merge: node selectors, tolerations, spread,
    /// sidecars, labels, annotations, environment. The consumer's own container is the one named `consumer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod_template_schema")]
    pub pod_template: Option<serde_json::Value>,
}

/// When the operator sets the number of pods: enough to carry what arrives and to drain what is behind, at most one a partition.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not be more than maxReplicas")
)]
pub struct Autoscaling {
    /// The fewest pods. 0 lets the consumer sleep while nothing arrives.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,
    /// The most pods; never more than there are partitions are used.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Records that one pod may be behind.
    #[serde(default = "target_lag")]
    #[schemars(range(min = 1))]
    pub target_lag: i64,
    /// The time in which lag should be gone. Absent: only `targetLag` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_drain: Option<HumanDuration>,
    /// How long fewer pods must have been enough before one is taken away.
    #[serde(default = "scale_down_delay")]
    pub scale_down_delay: HumanDuration,
}

fn target_lag() -> i64 {
    1000
}

fn scale_down_delay() -> HumanDuration {
    HumanDuration::from_secs(300)
}

fn progress_deadline() -> i32 {
    300
}

/// What becomes of a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum GroupDeletionPolicy {
    /// It stays, with its offsets: a consumer made again goes on where this one ended.
    #[default]
    Retain,
    /// It is deleted once the pods are gone.
    Delete,
}

fn pod_template_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "A partial PodTemplateSpec, laid over what the operator builds by a strategic merge: node selectors, tolerations, spread, sidecars, labels, annotations, environment. The consumer's own container is the one named `consumer`.",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Requests and limits; the claims of dynamic resource allocation have no use here.
fn resources_schema(_: &mut SchemaGenerator) -> Schema {
    let quantities = json_schema!({
        "type": "object",
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        },
    });
    json_schema!({
        "type": "object",
        "description": "CPU and memory of a pod, as in a container. Default: requests of 20m and 64Mi, limits of 2 and 512Mi.",
        "properties": {"requests": quantities, "limits": quantities},
    })
}

fn one() -> i32 {
    1
}

/// Where events go; exactly one.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.prometheus), has(self.elasticsearch), has(self.custom)].filter(given, given).size() == 1")
        .message("give exactly one sink: prometheus, elasticsearch or custom")
)]
pub struct Sink {
    /// Metrics, health and counts of events, scraped from the pods' port 9090.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSink>,
    /// Logs and business events as documents in Elasticsearch or OpenSearch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticsearch: Option<SearchSink>,
    /// Your own consumer, in an image of yours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomSink>,
}

/// Your own consumer: an image that reads KAFKA_BOOTSTRAP, KAFKA_TOPICS and KAFKA_GROUP_ID from its environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomSink {
    /// The image.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Instead of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Instead of the image's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// More environment, as in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "env_schema")]
    pub env: Vec<EnvVar>,
    /// The port of `/metrics`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub metrics_port: Option<i32>,
}

fn env_schema(_: &mut SchemaGenerator) -> Schema {
    let key_of = json_schema!({
        "type": "object",
        "required": ["name", "key"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "key": {"type": "string", "minLength": 1},
            "optional": {"type": "boolean"},
        },
    });
    json_schema!({
        "type": "array",
        "description": "More environment, as in a container.",
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "value": {"type": "string"},
                // In full, since a value of another type would make the whole list of resources unreadable to the operator.
                "valueFrom": {
                    "type": "object",
                    "properties": {
                        "configMapKeyRef": key_of,
                        "secretKeyRef": key_of,
                        "fieldRef": {
                            "type": "object",
                            "required": ["fieldPath"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "fieldPath": {"type": "string"},
                            },
                        },
                        "resourceFieldRef": {
                            "type": "object",
                            "required": ["resource"],
                            "properties": {
                                "containerName": {"type": "string"},
                                "divisor": {"x-kubernetes-int-or-string": true},
                                "resource": {"type": "string"},
                            },
                        },
                    },
                },
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

impl Sink {
    /// The sink's name as it stands in the spec.
    pub fn name(&self) -> &'static str {
        match self {
            Self {
                prometheus: Some(_),
                ..
            } => "prometheus",
            Self {
                custom: Some(_), ..
            } => "custom",
            _ => "elasticsearch",
        }
    }
}

/// The consumer as last seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryConsumerStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The kind of sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// Number of pods that are wanted: `spec.replicas`, or what autoscaling decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Number of pods.
    #[serde(default)]
    pub replicas: i32,
    /// Number of pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The pods' label selector, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The consumer group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Records not yet carried. Absent when Kafka could not be asked: unknown is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// Records carried per second, between the last two looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consume_rate: Option<f64>,
    /// Time until nothing is behind, at the present rates. Absent when unknown, or when more arrives than is carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_eta: Option<String>,
    /// The revision of the pods that the spec asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The last revision of which all pods were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good_revision: Option<String>,
    /// The revision that did not become ready and was taken back; not tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_revision: Option<String>,
    /// A digest of what the sink's Secrets held then, where it has any: with others that revision is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_secrets: Option<String>,
    /// Conditions; `Ready` is the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Records between what is committed and the end of the partitions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lag {
    /// Over all topics.
    pub total: i64,
    /// By topic.
    #[serde(default)]
    pub topics: Vec<TopicLag>,
}

/// One topic's lag.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopicLag {
    /// The topic.
    pub topic: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// Records not yet carried.
    pub lag: i64,
}
