use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, GroupVersionKind};

use crate::api::KafkaTopic;

/// How the names of the KafkaTopics end that consumers own.
pub const STATE_SUFFIX: &str = "-state";

/// The kinds of objects that a consumer owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Deployment,
    Service,
    PodDisruptionBudget,
    NetworkPolicy,
    /// The state topic of a prometheus sink that counts exactly once.
    KafkaTopic,
    /// Of the Prometheus operator; not every cluster has it.
    PodMonitor,
}

impl Kind {
    /// All of them; pods need the ConfigMap, so it comes first.
    pub const ALL: [Self; 7] = [
        Self::ConfigMap,
        Self::Deployment,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::KafkaTopic,
        Self::PodMonitor,
    ];

    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Deployment => "Deployment",
            Self::Service => "Service",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::KafkaTopic => "KafkaTopic",
            Self::PodMonitor => "PodMonitor",
        }
    }

    /// The name of a consumer's object of that kind.
    pub fn object_name(self, consumer: &str) -> String {
        match self {
            Self::KafkaTopic => format!("{consumer}{STATE_SUFFIX}"),
            _ => consumer.to_owned(),
        }
    }

    /// Its group, version and plural.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::KafkaTopic => ApiResource::erase::<KafkaTopic>(&()),
            Self::PodMonitor => ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor"),
                "podmonitors",
            ),
        }
    }
}
