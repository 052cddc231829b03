use bt_consumers::config::{Config, Kafka, Sink};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt;

use crate::api::TelemetryConsumer;
use crate::clusters::Cluster;
use crate::settings::Settings;

/// A spec that has been checked, with the operator's defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// What the pods will read.
    pub config: Config,
    pub sink: &'static str,
    pub replicas: i32,
    pub image: String,
    pub image_pull_policy: String,
    pub resources: Option<ResourceRequirements>,
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

/// The Kafka cluster of a resource.
pub fn cluster(consumer: &TelemetryConsumer, settings: &Settings) -> Cluster {
    let namespace = consumer.namespace().unwrap_or_default();
    Cluster::of(
        consumer.spec.kafka.as_ref(),
        &namespace,
        &settings.kafka_bootstrap,
    )
}

/// The configuration as the pods will get it, checked by the code that they check it with.
///
/// # Errors
/// Everything that is wrong, each with its field.
pub fn validate(consumer: &TelemetryConsumer, settings: &Settings) -> Result<Desired, Vec<String>> {
    let spec = &consumer.spec;
    let mut sink = Sink {
        prometheus: spec.sink.prometheus.clone(),
        elasticsearch: spec.sink.elasticsearch.clone(),
    };
    let mut dead_letter_topic = settings.dead_letter_topic.clone();
    if let Some(elasticsearch) = &mut sink.elasticsearch {
        if elasticsearch.urls.is_empty() {
            elasticsearch.urls = vec![settings.elasticsearch_host.clone()];
        }
        if let Some(topic) = elasticsearch.dead_letter_topic.take() {
            dead_letter_topic = topic;
        }
    }
    let config = Config {
        consumer: format!(
            "{}/{}",
            consumer.namespace().unwrap_or_default(),
            consumer.name_any()
        ),
        kafka: Kafka {
            bootstrap_servers: cluster(consumer, settings).bootstrap_servers,
        },
        group_id: group_id(consumer),
        topics: spec.topics.clone(),
        start_from: spec.start_from,
        dead_letter_topic,
        sink,
    };
    let mut problems = config.validate();
    if spec
        .kafka
        .as_ref()
        .is_some_and(|kafka| kafka.tls.is_some() || kafka.sasl.is_some())
    {
        problems.push("kafka.tls and kafka.sasl do not reach the consumer pods in this version: give a plaintext listener".into());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Desired {
        config,
        sink: spec.sink.name(),
        replicas: spec.replicas,
        image: settings.consumer_image.clone(),
        image_pull_policy: settings.consumer_image_pull_policy.clone(),
        resources: spec.resources.clone(),
    })
}
