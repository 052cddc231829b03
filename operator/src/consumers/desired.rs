use std::collections::BTreeMap;

use bt_consumers::config::{Config, HumanDuration, Kafka, SaslFiles, Sink, TlsFiles};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt;
use serde_json::Value;

use super::build::{KAFKA_DIRECTORY, digest, is_operators_env};
use super::search;
use crate::api::{CustomSink, KafkaSpec, TelemetryConsumer};
use crate::clusters::Cluster;
use crate::settings::Settings;

/// A spec that has been checked, with the operator's defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// What the pods will read. A custom sink's pods get its `kafka`, `topics`, `group_id` and `start_from` in their environment.
    pub config: Config,
    /// The consumer in an image of the user's.
    pub custom: Option<CustomSink>,
    pub sink: &'static str,
    pub replicas: i32,
    pub image: String,
    /// Absent: Kubernetes' default, by the image's tag.
    pub image_pull_policy: Option<String>,
    pub resources: Option<ResourceRequirements>,
    /// The files of Kafka's credentials, as `config.kafka` names them.
    pub kafka: Vec<CredentialFile>,
    /// The files of the sink's credentials, as `config.sink` names them.
    pub sink_files: Vec<CredentialFile>,
    /// The Secrets that the pods read at start, and the version of each that was checked.
    pub credentials: BTreeMap<String, String>,
    /// What the user lays over the pod template.
    pub pod_template: Option<Value>,
    pub progress_deadline_seconds: i32,
    /// Whether there is to be a NetworkPolicy.
    pub network_policies: bool,
    /// What is unwise in it.
    pub warning: Option<String>,
}

/// An entry of a Secret that the pods see as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFile {
    /// The Secret.
    pub secret: String,
    /// Its key.
    pub key: String,
    /// The file's name under [`KAFKA_DIRECTORY`], or under that of the sink.
    pub file: &'static str,
}

/// The consumer group of a resource.
pub fn group_id(consumer: &TelemetryConsumer) -> String {
    consumer.spec.group_id.clone().unwrap_or_else(|| {
        format!(
            "bt.{}.{}",
            consumer.namespace().unwrap_or_default(),
            consumer.name_any()
        )
    })
}

/// Where the series of an exact prometheus sink are kept: it belongs to the group, as its offsets do.
fn state_topic(sink: &Sink, group: &str) -> Option<String> {
    let exact = sink
        .prometheus
        .as_ref()
        .is_some_and(|prometheus| prometheus.exactly_once);
    exact.then(|| state_topic_name(group))
}

/// The state topic of a group: `<group>.state`. A group's name may have characters, and a length, that a topic's may not: then what
/// is left of it, with a digest so that it is no other group's.
pub fn state_topic_name(group: &str) -> String {
    const MAX: usize = 249;
    const END: &str = ".state";
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if group.chars().all(fits) && group.len() + END.len() <= MAX {
        return format!("{group}{END}");
    }
    let digest = digest(group);
    let room = MAX - END.len() - digest.len() - 1;
    let plain = group.chars().map(|c| if fits(c) { c } else { '-' });
    let plain: String = plain.take(room).collect();
    format!("{plain}.{digest}{END}")
}

/// The Kafka cluster of a resource.
pub fn cluster(consumer: &TelemetryConsumer, settings: &Settings) -> Cluster {
    let namespace = consumer.namespace().unwrap_or_default();
    Cluster::of(
        consumer.spec.kafka.as_ref(),
        &namespace,
        &settings.kafka_bootstrap,
    )
}

/// The configuration as the pods will get it, checked by the code that they check it with. `credentials` are the Secrets that the
/// pods read at start, by name, with a digest of what they read in each.
///
/// # Errors
/// Everything that is wrong, each with its field.
pub fn validate(
    consumer: &TelemetryConsumer,
    credentials: BTreeMap<String, String>,
    settings: &Settings,
) -> Result<Desired, Vec<String>> {
    let spec = &consumer.spec;
    let in_spec = spec.sink.elasticsearch.as_ref();
    let elasticsearch = in_spec.map(|sink| search::config(sink, &settings.elasticsearch_host));
    let (elasticsearch, sink_files) = elasticsearch.unzip();
    let sink = Sink {
        prometheus: spec.sink.prometheus.clone(),
        elasticsearch,
    };
    let dead_letter_topic = in_spec.and_then(|sink| sink.dead_letter_topic.clone());
    let dead_letter_topic = dead_letter_topic.unwrap_or_else(|| settings.dead_letter_topic.clone());
    let servers = cluster(consumer, settings).bootstrap_servers;
    let (kafka, files) = connection(spec.kafka.as_ref(), servers);
    let config = Config {
        consumer: format!(
            "{}/{}",
            consumer.namespace().unwrap_or_default(),
            consumer.name_any()
        ),
        kafka,
        group_id: group_id(consumer),
        topics: spec.topics.clone(),
        start_from: spec.start_from,
        session_timeout: HumanDuration::from_secs(15),
        dead_letter_topic,
        state_topic: state_topic(&sink, &group_id(consumer)),
        sink,
    };
    let named = in_spec.is_some_and(|sink| !sink.urls.is_empty());
    let in_resource = |problem: String| {
        search::in_resource(&problem, named).unwrap_or_else(|| in_resource(problem))
    };
    let mut problems = name_problem(&consumer.name_any());
    match &spec.sink.custom {
        Some(custom) => {
            problems.extend(config.validate_source().into_iter().map(in_resource));
            problems.extend(custom_problems(custom));
        }
        None => problems.extend(config.validate().into_iter().map(in_resource)),
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let custom = spec.sink.custom.clone();
    let (image, image_pull_policy) = match &custom {
        Some(custom) => (custom.image.clone(), None),
        None => (
            settings.consumer_image.clone(),
            Some(settings.consumer_image_pull_policy.clone()),
        ),
    };
    Ok(Desired {
        warning: config
            .sink
            .elasticsearch
            .as_ref()
            .and_then(search::in_clear),
        config,
        custom,
        sink: spec.sink.name(),
        replicas: spec.replicas,
        image,
        image_pull_policy,
        resources: spec.resources.clone(),
        kafka: files,
        sink_files: sink_files.unwrap_or_default(),
        credentials,
        pod_template: spec.pod_template.clone(),
        progress_deadline_seconds: spec.progress_deadline_seconds,
        network_policies: settings.network_policies,
    })
}

/// How the pods reach Kafka, and the files that this takes.
fn connection(spec: Option<&KafkaSpec>, bootstrap_servers: String) -> (Kafka, Vec<CredentialFile>) {
    let mut files = Vec::new();
    let mut file = |secret: &str, key: &str, file: &'static str| {
        files.push(CredentialFile {
            secret: secret.into(),
            key: key.into(),
            file,
        });
        format!("{KAFKA_DIRECTORY}/{file}").into()
    };
    let tls = spec.and_then(|spec| spec.tls.as_ref()).map(|tls| {
        let mut paths = TlsFiles::default();
        if let Some(ca) = &tls.ca_secret_ref {
            let key = ca.key_or("ca.crt");
            paths.ca_file = Some(file(&ca.name, key, "ca.crt"));
        }
        if let Some(client) = &tls.client_cert_secret_ref {
            paths.certificate_file = Some(file(&client.name, "tls.crt", "tls.crt"));
            paths.key_file = Some(file(&client.name, "tls.key", "tls.key"));
        }
        paths
    });
    let sasl = spec.and_then(|spec| spec.sasl.as_ref()).map(|sasl| {
        let reference = &sasl.password_secret_ref;
        let key = reference.key_or("password");
        SaslFiles {
            mechanism: sasl.mechanism,
            username: sasl.username.clone(),
            password_file: file(&reference.name, key, "password"),
        }
    });
    let kafka = Kafka {
        bootstrap_servers,
        tls,
        sasl,
    };
    (kafka, files)
}

/// A problem of the pods' configuration in the field names of the resource.
fn in_resource(problem: String) -> String {
    if let Some(rest) = problem.strip_prefix("deadLetterTopic") {
        return format!("spec.sink.elasticsearch.deadLetterTopic{rest}");
    }
    // Its name comes from the group's, so it is the other use that can be changed.
    if let Some(rest) = problem.strip_prefix("stateTopic: ") {
        return format!(
            "spec.sink.prometheus.exactlyOnce: the state topic {rest}. Take it out of spec.topics, or set exactlyOnce to false"
        );
    }
    format!("spec.{problem}")
}

/// The objects have the consumer's name, and the Service's rule for names is the strictest.
fn name_problem(name: &str) -> Vec<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= 63
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    let problem = format!(
        "metadata.name: {name} cannot name a Service, which gets the same name: take 1 to 63 lower-case letters, digits and hyphens, with a letter first"
    );
    if good { Vec::new() } else { vec![problem] }
}

fn custom_problems(custom: &CustomSink) -> Vec<String> {
    let mut problems = Vec::new();
    if custom.image.is_empty() || custom.image.contains(char::is_whitespace) {
        problems.push(format!(
            "spec.sink.custom.image: {:?} is no image",
            custom.image
        ));
    }
    for (i, env) in custom.env.iter().enumerate() {
        let name = &env.name;
        if is_operators_env(name) {
            problems.push(format!(
                "spec.sink.custom.env[{i}]: {name} is set by the operator, from spec.kafka, spec.topics, spec.groupId and spec.startFrom; remove it"
            ));
        }
        if custom.env[..i].iter().any(|other| other.name == *name) {
            problems.push(format!(
                "spec.sink.custom.env[{i}]: {name} is there twice; remove one"
            ));
        }
    }
    problems
}

#[cfg(test)]
#[path = "desired/tests.rs"]
mod tests;
