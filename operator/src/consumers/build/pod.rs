//! The pod template as the operator makes it, before the user's is laid over.

use bt_consumers::config::{Kafka, StartFrom};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, ObjectFieldSelector, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile,
    SecretProjection, SecurityContext, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::{all_labels, labels};
use crate::api::{CustomSink, TelemetryConsumer};
use crate::consumers::desired::{CredentialFile, Desired};

/// The container of the consumer itself.
pub const CONTAINER: &str = "consumer";
/// A custom sink's volume for temporary files.
pub const TEMPORARY: &str = "tmp";
/// Where the pods find Kafka's credentials.
pub const KAFKA_DIRECTORY: &str = "/etc/bt-consumers/kafka";
/// Where the operator's own consumers find the sink's credentials.
pub const SINK_DIRECTORY: &str = "/etc/bt-consumers/sink";

const CONFIG_DIRECTORY: &str = "/etc/bt-consumers";
const CONFIG_FILE: &str = "config.yaml";
/// By which the pods of a sink that counts exactly once are known to Kafka.
const POD_NAME: &str = "POD_NAME";
const HTTP_PORT: i32 = 8080;
const METRICS_PORT: i32 = 9090;
/// In which a pod drains what it holds after SIGTERM; the consumer's own deadline is shorter.
const GRACE_SECONDS: i64 = 30;
/// Not root; the group owns the volumes, so that the files of credentials need not be open to all.
const USER: i64 = 65532;
/// The mode of the files of credentials: for the owner and the group.
const CREDENTIAL_MODE: i32 = 0o440;

/// What a pod of a custom sink gets in its environment, besides what the user names.
const ENVIRONMENT: [&str; 11] = [
    "KAFKA_BOOTSTRAP",
    "KAFKA_TOPICS",
    "KAFKA_GROUP_ID",
    "KAFKA_AUTO_OFFSET_RESET",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SSL_CA_FILE",
    "KAFKA_SSL_CERTIFICATE_FILE",
    "KAFKA_SSL_KEY_FILE",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD_FILE",
];

/// Whether a variable of a custom sink's pods is the operator's to set: another group or topic than the resource's would be
/// neither measured nor scaled.
pub fn is_operators_env(name: &str) -> bool {
    ENVIRONMENT.contains(&name)
}

/// What the consumer's container listens on.
pub fn ports(desired: &Desired) -> impl Iterator<Item = (&'static str, i32)> {
    let ours = desired.custom.is_none();
    let metrics = match &desired.custom {
        Some(custom) => custom.metrics_port,
        None => (desired.sink == "prometheus").then_some(METRICS_PORT),
    };
    let metrics = metrics.map(|port| ("metrics", port));
    ours.then_some(("http", HTTP_PORT))
        .into_iter()
        .chain(metrics)
}

/// The template; `config_key` is the ConfigMap's key of the configuration, where there is one.
pub fn template(
    consumer: &TelemetryConsumer,
    desired: &Desired,
    config_key: Option<&str>,
) -> PodTemplateSpec {
    let volume = files(consumer, desired, config_key);
    let mut container = match &desired.custom {
        Some(custom) => custom_container(custom, desired),
        None => own_container(desired),
    };
    let mut volumes = Vec::new();
    if let Some(files) = volume {
        let path = match config_key {
            Some(_) => CONFIG_DIRECTORY,
            None => KAFKA_DIRECTORY,
        };
        mount(&mut container, &files.name, path, true);
        volumes.push(files);
    }
    if desired.custom.is_some() {
        // Libraries of many languages want a place for temporary files, and the root is read-only.
        mount(&mut container, TEMPORARY, "/tmp", false);
        volumes.push(Volume {
            name: TEMPORARY.into(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity("64Mi".into())),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all_labels(consumer)),
            // For `kubectl logs` and `exec`, where there are sidecars.
            annotations: Some(labels([(
                "kubectl.kubernetes.io/default-container",
                CONTAINER,
            )])),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".into(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container],
            volumes: (!volumes.is_empty()).then_some(volumes),
            ..PodSpec::default()
        }),
    }
}

/// What the consumer's container has, whatever the sink.
fn container(desired: &Desired) -> Container {
    let port = |(name, port): (&str, i32)| ContainerPort {
        name: Some(name.into()),
        container_port: port,
        // Said, since it is part of what a list of ports is merged by.
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    let ports: Vec<_> = ports(desired).map(port).collect();
    Container {
        name: CONTAINER.into(),
        image: Some(desired.image.clone()),
        image_pull_policy: desired.image_pull_policy.clone(),
        ports: (!ports.is_empty()).then_some(ports),
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
        // The last lines of a crash's log are the reason that a rollback tells.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn own_container(desired: &Desired) -> Container {
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
    Container {
        command: Some(
            ["bt-consumers", "run", "--config"]
                .map(Into::into)
                .into_iter()
                .chain([format!("{CONFIG_DIRECTORY}/{CONFIG_FILE}")])
                .collect(),
        ),
        env: desired
            .config
            .state_topic
            .is_some()
            .then(|| vec![pod_name()]),
        liveness_probe: Some(probe("/healthz", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        ..container(desired)
    }
}

fn pod_name() -> EnvVar {
    EnvVar {
        name: POD_NAME.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".into()),
                field_path: "metadata.name".into(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn custom_container(custom: &CustomSink, desired: &Desired) -> Container {
    let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let env = environment(desired).map(|(name, value)| EnvVar {
        name: name.into(),
        value: Some(value),
        ..EnvVar::default()
    });
    Container {
        command: given(&custom.command),
        args: given(&custom.args),
        // The user's come last, so that they can be put together from ours: $(KAFKA_GROUP_ID).
        env: Some(env.chain(custom.env.iter().cloned()).collect()),
        ..container(desired)
    }
}

fn environment(desired: &Desired) -> impl Iterator<Item = (&'static str, String)> {
    let config = &desired.config;
    let Kafka {
        bootstrap_servers,
        tls,
        sasl,
    } = &config.kafka;
    let protocol = match (tls, sasl) {
        (None, None) => "PLAINTEXT",
        (Some(_), None) => "SSL",
        (None, Some(_)) => "SASL_PLAINTEXT",
        (Some(_), Some(_)) => "SASL_SSL",
    };
    let reset = match config.start_from {
        StartFrom::Earliest => "earliest",
        StartFrom::Latest => "latest",
    };
    let file = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    let tls = tls.clone().unwrap_or_default();
    let sasl = sasl.as_ref();
    let values = [
        Some(bootstrap_servers.clone()),
        Some(config.topics.join(",")),
        Some(config.group_id.clone()),
        Some(reset.into()),
        Some(protocol.into()),
        file(&tls.ca_file),
        file(&tls.certificate_file),
        file(&tls.key_file),
        sasl.map(|sasl| sasl.mechanism.as_str().into()),
        sasl.map(|sasl| sasl.username.clone()),
        sasl.map(|sasl| sasl.password_file.display().to_string()),
    ];
    ENVIRONMENT
        .into_iter()
        .zip(values)
        // Kubernetes takes $(NAME) for a variable, and two $ for one.
        .filter_map(|(name, value)| Some((name, value?.replace('$', "$$"))))
}

/// The one volume of files: configuration and credentials. One, since a mount point within a read-only mount is asking for trouble.
fn files(
    consumer: &TelemetryConsumer,
    desired: &Desired,
    config_key: Option<&str>,
) -> Option<Volume> {
    let config = config_key.map(|key| VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: consumer.name_any(),
            items: Some(vec![KeyToPath {
                key: key.into(),
                path: CONFIG_FILE.into(),
                mode: Some(0o444),
            }]),
            ..ConfigMapProjection::default()
        }),
        ..VolumeProjection::default()
    });
    let (name, kafka) = match config_key {
        Some(_) => ("config", "kafka/"),
        None => ("kafka", ""),
    };
    // Without subPath, which would keep a file as it was when the pod started.
    let credential = |directory: &str, file: &CredentialFile| VolumeProjection {
        secret: Some(SecretProjection {
            name: file.secret.clone(),
            items: Some(vec![KeyToPath {
                key: file.key.clone(),
                path: format!("{directory}{}", file.file),
                mode: Some(CREDENTIAL_MODE),
            }]),
            ..SecretProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let of_kafka = desired.kafka.iter().map(|file| credential(kafka, file));
    let of_sink = desired.sink_files.iter();
    let of_sink = of_sink.map(|file| credential("sink/", file));
    let sources: Vec<_> = config.into_iter().chain(of_kafka).chain(of_sink).collect();
    (!sources.is_empty()).then(|| Volume {
        name: name.into(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    })
}

fn mount(container: &mut Container, volume: &str, path: &str, read_only: bool) {
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(VolumeMount {
        name: volume.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    });
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
