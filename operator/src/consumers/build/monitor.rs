//! The PodMonitor, for the Prometheus operator: what the chart's own Prometheus does with the pods, in that one's terms.

use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::{metadata, selector};
use crate::api::TelemetryConsumer;
use crate::consumers::desired::Desired;

/// The kind PodMonitor.
pub fn pod_monitor_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor");
    ApiResource::from_gvk_with_plural(&kind, "podmonitors")
}

/// The PodMonitor; none where the pods show no metrics.
pub fn pod_monitor(consumer: &TelemetryConsumer, desired: &Desired) -> Option<DynamicObject> {
    let endpoints = match &desired.custom {
        Some(custom) => {
            custom.metrics_port?;
            vec![pods_own("metrics")]
        }
        None if desired.sink == "prometheus" => vec![events(), pods_own("http")],
        None => vec![pods_own("http")],
    };
    let mut monitor = DynamicObject::new(&consumer.name_any(), &pod_monitor_resource());
    monitor.metadata = metadata(consumer);
    monitor.data = json!({"spec": {
        "selector": {"matchLabels": selector(&consumer.name_any())},
        "podMetricsEndpoints": endpoints,
    }});
    Some(monitor)
}

/// The series of the events. They carry the labels of the service that sent them; nothing of the pod that happens to show them may
/// reach them, so that a series which moves to another pod stays the same series.
fn events() -> Value {
    json!({
        "port": "metrics",
        "honorLabels": true,
        "relabelings": [
            job("bt-metrics"),
            // The Prometheus operator sets these before.
            {"action": "labeldrop", "regex": "namespace|pod|container|endpoint"},
            // `up` keeps this and is one series a pod …
            {
                "sourceLabels": ["__meta_kubernetes_namespace", "__meta_kubernetes_pod_name"],
                "separator": "/",
                "targetLabel": "instance",
                "replacement": "pod:$1",
            },
        ],
        "metricRelabelings": [
            // … while the samples lose it. An instance that an event named is theirs and stays.
            {
                "sourceLabels": ["instance"],
                "regex": "pod:.*",
                "targetLabel": "instance",
                "replacement": "",
            },
        ],
    })
}

/// What the pods say of themselves. The Prometheus operator sets the labels `namespace` and `pod`.
fn pods_own(port: &str) -> Value {
    json!({
        "port": port,
        "relabelings": [
            job("bt-consumers"),
            {
                "sourceLabels": ["__meta_kubernetes_pod_label_monitoring_bt_dev_consumer"],
                "targetLabel": "consumer",
            },
        ],
    })
}

/// The job's name as in the chart's Prometheus, for the same dashboards and alerts.
fn job(name: &str) -> Value {
    json!({"targetLabel": "job", "replacement": name})
}
