//! The objects of a consumer, from its checked spec. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecurityContext, Service, ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};

use super::desired::Desired;
use crate::api::TelemetryConsumer;

/// Selects what the operator made, so that it need not watch what others made.
pub const OWNED_SELECTOR: &str = "app.kubernetes.io/managed-by=bt-operator";

const CONFIG_DIRECTORY: &str = "/etc/bt-consumers";
const CONFIG_FILE: &str = "config.yaml";
const HTTP_PORT: i32 = 8080;
const METRICS_PORT: i32 = 9090;
/// In which a pod drains what it holds after SIGTERM; the consumer's own deadline is shorter.
const GRACE_SECONDS: i64 = 30;

/// Everything that a consumer owns.
pub struct Objects {
    pub config_map: ConfigMap,
    pub deployment: Deployment,
    pub service: Service,
}

pub fn objects(consumer: &TelemetryConsumer, desired: &Desired) -> Objects {
    let config = desired
        .config
        .to_yaml()
        .expect("a checked configuration can be written as YAML");
    Objects {
        deployment: deployment(consumer, desired, &config),
        service: service(consumer, desired),
        config_map: ConfigMap {
            metadata: metadata(consumer),
            data: Some(BTreeMap::from([(CONFIG_FILE.into(), config)])),
            ..ConfigMap::default()
        },
    }
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
        ("app.kubernetes.io/managed-by", "bt-operator"),
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

/// What a pod listens on.
fn ports(desired: &Desired) -> impl Iterator<Item = (&'static str, i32)> {
    let metrics = (desired.sink == "prometheus").then_some(("metrics", METRICS_PORT));
    std::iter::once(("http", HTTP_PORT)).chain(metrics)
}

fn service(consumer: &TelemetryConsumer, desired: &Desired) -> Service {
    let port = |(name, port): (&str, i32)| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        ..ServicePort::default()
    };
    Service {
        metadata: metadata(consumer),
        spec: Some(ServiceSpec {
            selector: Some(selector(&consumer.name_any())),
            ports: Some(ports(desired).map(port).collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn deployment(consumer: &TelemetryConsumer, desired: &Desired, config: &str) -> Deployment {
    let name = consumer.name_any();
    Deployment {
        metadata: metadata(consumer),
        spec: Some(DeploymentSpec {
            replicas: Some(desired.replicas),
            selector: LabelSelector {
                match_labels: Some(selector(&name)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(all_labels(consumer)),
                    // Pods read their configuration at start: another one makes other pods.
                    annotations: Some(labels([("monitoring.bt.dev/config-hash", &digest(config))])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(&name, desired)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn pod(name: &str, desired: &Desired) -> PodSpec {
    let volume = |name: &str| VolumeMount {
        name: name.into(),
        mount_path: CONFIG_DIRECTORY.into(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let port = |(name, port): (&str, i32)| ContainerPort {
        name: Some(name.into()),
        container_port: port,
        ..ContainerPort::default()
    };
    let probe = |path: &str, period: i32, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(3),
        ..Probe::default()
    };
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(65532),
            run_as_group: Some(65532),
            fs_group: Some(65532),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: "consumer".into(),
            image: Some(desired.image.clone()),
            image_pull_policy: Some(desired.image_pull_policy.clone()),
            command: Some(
                ["bt-consumers", "run", "--config"]
                    .map(Into::into)
                    .into_iter()
                    .chain([format!("{CONFIG_DIRECTORY}/{CONFIG_FILE}")])
                    .collect(),
            ),
            ports: Some(ports(desired).map(port).collect()),
            liveness_probe: Some(probe("/healthz", 10, 3)),
            readiness_probe: Some(probe("/readyz", 2, 3)),
            resources: Some(desired.resources.clone().unwrap_or_else(default_resources)),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                capabilities: Some(Capabilities {
                    drop: Some(vec!["ALL".into()]),
                    ..Capabilities::default()
                }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(vec![volume("config")]),
            ..Container::default()
        }],
        volumes: Some(vec![Volume {
            name: "config".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: name.into(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn default_resources() -> ResourceRequirements {
    let quantities = |pairs: [(&str, &str); 2]| {
        pairs
            .map(|(name, amount)| (name.to_owned(), Quantity(amount.into())))
            .into()
    };
    ResourceRequirements {
        requests: Some(quantities([("cpu", "20m"), ("memory", "64Mi")])),
        limits: Some(quantities([("cpu", "2"), ("memory", "512Mi")])),
        ..ResourceRequirements::default()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::consumers::desired::validate;
    use crate::settings::Settings;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn built(sink: serde_json::Value) -> Objects {
        let spec = serde_json::json!({"topics": ["t"], "replicas": 2, "sink": sink});
        let spec = serde_json::from_value(spec).expect("a spec");
        let mut consumer = TelemetryConsumer::new("metrics", spec);
        consumer.metadata.namespace = Some("shop".into());
        consumer.metadata.uid = Some("uid".into());
        let settings = Cli::parse_from(["test"]).settings;
        let desired = validate(&consumer, &settings).expect("valid");
        objects(&consumer, &desired)
    }

    fn pod_template(objects: &Objects) -> &PodTemplateSpec {
        &objects.deployment.spec.as_ref().expect("a spec").template
    }

    #[test]
    fn the_pods_get_the_configuration_that_was_checked() {
        let objects = built(serde_json::json!({"elasticsearch": {}}));
        let data = objects.config_map.data.expect("data");
        let config = bt_consumers::config::Config::parse(&data[CONFIG_FILE]).expect("parses");
        assert_eq!(config.group_id, "bt.shop.metrics");
        let urls = config.sink.elasticsearch.expect("the sink").urls;
        assert_eq!(urls, ["http://elasticsearch:9200"]);
    }

    #[test]
    fn only_the_prometheus_sink_has_a_metrics_port() {
        let ports = |objects: &Objects| -> Vec<i32> {
            let pod = pod_template(objects).spec.as_ref().expect("a pod");
            let ports = pod.containers[0].ports.iter().flatten();
            ports.map(|port| port.container_port).collect()
        };
        assert_eq!(
            ports(&built(serde_json::json!({"prometheus": {}}))),
            [8080, 9090]
        );
        assert_eq!(
            ports(&built(serde_json::json!({"elasticsearch": {}}))),
            [8080]
        );
    }

    #[test]
    fn another_configuration_makes_other_pods() {
        let hash = |sink| {
            let objects = built(sink);
            let metadata = pod_template(&objects).metadata.as_ref().expect("metadata");
            metadata.annotations.as_ref().expect("annotations")["monitoring.bt.dev/config-hash"]
                .clone()
        };
        let first = hash(serde_json::json!({"prometheus": {"maxSeries": 5}}));
        assert_eq!(
            first,
            hash(serde_json::json!({"prometheus": {"maxSeries": 5}}))
        );
        assert_ne!(
            first,
            hash(serde_json::json!({"prometheus": {"maxSeries": 6}}))
        );
    }
}
