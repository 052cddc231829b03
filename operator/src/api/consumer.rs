use bt_consumers::config::{ElasticsearchSink, PrometheusSink, StartFrom};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Condition, KafkaSpec};

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
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
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
        .message("groupId cannot be changed: the new group would start without the old one's offsets; make another TelemetryConsumer")
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
    /// Number of pods; more than the topics have partitions are idle.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// The Kafka cluster, where it is not the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSpec>,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,
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
    validation = Rule::new("[has(self.prometheus), has(self.elasticsearch)].filter(given, given).size() == 1")
        .message("give exactly one sink: prometheus or elasticsearch")
)]
pub struct Sink {
    /// Metrics, health and counts of events, scraped from the pods' port 9090.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSink>,
    /// Logs and business events as documents in Elasticsearch or OpenSearch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticsearch: Option<ElasticsearchSink>,
}

impl Sink {
    /// The sink's name as it stands in the spec.
    pub fn name(&self) -> &'static str {
        match self {
            Self {
                prometheus: Some(_),
                ..
            } => "prometheus",
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
