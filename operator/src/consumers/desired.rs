use bt_consumers::config::{Config, Sink};
use bt_kafka::Connection;
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt;

use crate::api::{KafkaSpec, TelemetryConsumer};
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
pub fn connection(consumer: &TelemetryConsumer, settings: &Settings) -> Connection {
    KafkaSpec::connection(consumer.spec.kafka.as_ref(), &settings.kafka())
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
        kafka: connection(consumer, settings),
        group_id: group_id(consumer),
        topics: spec.topics.clone(),
        start_from: spec.start_from,
        dead_letter_topic,
        sink,
    };
    let problems = config.validate();
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
