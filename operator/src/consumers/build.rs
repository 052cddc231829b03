//! The objects of a consumer, from its checked spec. No I/O.

mod check;
pub mod monitor;
mod network;
mod overlay;
mod pod;
mod security;
pub mod state_topic;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::DynamicObject;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::desired::Desired;
use super::source_topics::TopicShape;
use crate::api::{KafkaTopic, TelemetryConsumer};

pub use pod::{KAFKA_DIRECTORY, SINK_DIRECTORY, is_operators_env};

/// The label of what the operator made.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "bt-operator");
/// Selects what the operator made, so that it need not watch what others made.
pub const OWNED_SELECTOR: &str = "app.kubernetes.io/managed-by=bt-operator";
/// The pod template's annotation that names its revision.
pub const REVISION_ANNOTATION: &str = "monitoring.bt.dev/revision";
/// The pod template's annotation that changes with the Secrets that the pods read at start.
pub const CREDENTIALS_ANNOTATION: &str = "monitoring.bt.dev/credentials";

/// What the objects depend on besides the resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The ports that Kafka's brokers advertise. Absent: not known.
    pub kafka_ports: Option<BTreeSet<u16>>,
    /// Whether there is a kind PodMonitor.
    pub pod_monitors: bool,
    /// What the state topic is to be like. Absent: not known, or nobody needs one.
    pub state_topic: Option<TopicShape>,
}

/// Everything that a consumer owns, but the ConfigMap: see [`config_map`].
#[derive(Debug, Clone)]
pub struct Objects {
    /// Names the pods: another one makes other pods.
    pub revision: String,
    /// The pods' configuration, by its key in the ConfigMap. A custom sink has none.
    pub config: Option<(String, String)>,
    /// Without a number of replicas: see [`with_replicas`].
    pub deployment: Deployment,
    /// Absent where the pods have no port, since Kubernetes takes no Service without one.
    pub service: Option<Service>,
    pub disruption_budget: PodDisruptionBudget,
    pub network_policy: Option<NetworkPolicy>,
    pub pod_monitor: Option<DynamicObject>,
    pub state_topic: Option<KafkaTopic>,
    /// Whether the pods need a state topic.
    pub keeps_state: bool,
}

/// Builds the objects.
///
/// # Errors
/// Everything that is wrong with `spec.podTemplate`, or with what it makes of the pods.
pub fn objects(
    consumer: &TelemetryConsumer,
    desired: &Desired,
    surroundings: &Surroundings,
) -> Result<Objects, Vec<String>> {
    let config = desired.custom.is_none().then(|| {
        let yaml = desired
            .config
            .to_yaml()
            .expect("a checked configuration can be written as YAML");
        (format!("{}.yaml", digest(&yaml)), yaml)
    });
    let key = config.as_ref().map(|(key, _)| key.as_str());
    let mut template = pod_template(consumer, desired, key)?;
    let revision = revision(&template);
    annotate(&mut template, REVISION_ANNOTATION, revision.clone());
    Ok(Objects {
        service: service(consumer, desired),
        disruption_budget: disruption_budget(consumer),
        network_policy: desired
            .network_policies
            .then(|| network::policy(consumer, desired, &template, surroundings)),
        pod_monitor: surroundings
            .pod_monitors
            .then(|| monitor::pod_monitor(consumer, desired))
            .flatten(),
        state_topic: surroundings
            .state_topic
            .map(|shape| state_topic::resource(consumer, shape)),
        keeps_state: desired.config.state_topic.is_some(),
        deployment: deployment(consumer, desired, template),
        revision,
        config,
    })
}

/// The ConfigMap, with configurations by key. The pods of several revisions read from it at a time, each its own key.
pub fn config_map(consumer: &TelemetryConsumer, keys: BTreeMap<String, String>) -> ConfigMap {
    ConfigMap {
        metadata: metadata(consumer),
        data: Some(keys),
        ..ConfigMap::default()
    }
}

/// The Deployment with so many pods. Their revision is the same.
pub fn with_replicas(mut deployment: Deployment, replicas: i32) -> Deployment {
    if let Some(spec) = &mut deployment.spec {
        spec.replicas = Some(replicas);
    }
    deployment
}

/// The labels that select a consumer's pods. They never change: a Deployment's selector is immutable.
pub fn selector(name: &str) -> BTreeMap<String, String> {
    labels([
        ("app.kubernetes.io/name", "bt-consumer"),
        ("app.kubernetes.io/instance", name),
    ])
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.into(), value.into())).into()
}

fn all_labels(consumer: &TelemetryConsumer) -> BTreeMap<String, String> {
    let name = consumer.name_any();
    let mut all = selector(&name);
    all.extend(labels([
        MANAGED_BY,
        ("app.kubernetes.io/part-of", "bt-monitoring"),
        ("monitoring.bt.dev/consumer", &name),
        ("monitoring.bt.dev/sink", consumer.spec.sink.name()),
    ]));
    all
}

fn metadata(consumer: &TelemetryConsumer) -> ObjectMeta {
    ObjectMeta {
        name: Some(consumer.name_any()),
        namespace: consumer.namespace(),
        labels: Some(all_labels(consumer)),
        owner_references: Some(consumer.controller_owner_ref(&()).into_iter().collect()),
        ..ObjectMeta::default()
    }
}

fn label_selector(consumer: &TelemetryConsumer) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector(&consumer.name_any())),
        ..LabelSelector::default()
    }
}

/// The pods' template, with what the user lays over it, but without its revision.
fn pod_template(
    consumer: &TelemetryConsumer,
    desired: &Desired,
    config_key: Option<&str>,
) -> Result<PodTemplateSpec, Vec<String>> {
    let base = pod::template(consumer, desired, config_key);
    let mut template = match &desired.pod_template {
        None => base,
        Some(over) => {
            let mut merged = overlay::lay_over(&base, over)?;
            security::restrict_sidecars(&mut merged);
            let mut problems = check::problems(&base, &merged);
            problems.extend(security::violations(&merged));
            if !problems.is_empty() {
                return Err(problems);
            }
            merged
        }
    };
    if !desired.credentials.is_empty() {
        // Pods read credentials at start: others make other pods.
        annotate(
            &mut template,
            CREDENTIALS_ANNOTATION,
            credentials_digest(&desired.credentials),
        );
    }
    Ok(template)
}

/// Another one where any of these Secrets has another version.
pub fn credentials_digest(versions: &BTreeMap<String, String>) -> String {
    digest(&json(versions))
}

fn annotate(template: &mut PodTemplateSpec, key: &str, value: String) {
    let metadata = template.metadata.get_or_insert_default();
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(key.into(), value);
}

/// The template names its configuration by that one's digest, so the configuration is part of this.
fn revision(template: &PodTemplateSpec) -> String {
    digest(&json(template))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("objects can be written as JSON")
}

/// A short digest: 16 hexadecimal digits of SHA-256.
pub fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn deployment(
    consumer: &TelemetryConsumer,
    desired: &Desired,
    template: PodTemplateSpec,
) -> Deployment {
    Deployment {
        metadata: metadata(consumer),
        spec: Some(DeploymentSpec {
            selector: label_selector(consumer),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            progress_deadline_seconds: Some(desired.progress_deadline_seconds),
            min_ready_seconds: Some(min_ready_seconds(desired)),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// How long a pod has to be ready before the next one is replaced. A container without a readiness probe is ready as soon as it
/// starts: it gets more time to show that it crashes. Kubernetes wants less than the deadline, which is at least 10.
fn min_ready_seconds(desired: &Desired) -> i32 {
    match &desired.custom {
        Some(_) => (desired.progress_deadline_seconds / 2).min(10),
        None => 2,
    }
}

fn service(consumer: &TelemetryConsumer, desired: &Desired) -> Option<Service> {
    let port = |(name, port): (&str, i32)| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        ..ServicePort::default()
    };
    let ports: Vec<_> = pod::ports(desired).map(port).collect();
    (!ports.is_empty()).then(|| Service {
        metadata: metadata(consumer),
        spec: Some(ServiceSpec {
            selector: Some(selector(&consumer.name_any())),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

fn disruption_budget(consumer: &TelemetryConsumer) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(consumer),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(consumer)),
            // Pods that are broken anyway must not hold up the draining of a node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

#[cfg(test)]
mod tests;
