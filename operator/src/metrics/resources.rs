//! What is the case for each resource, by its own status: `bt_operator_consumer_…` and `bt_operator_topic_…`.

use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

use crate::api::{Condition, KafkaTopic, TelemetryConsumer};

const CONSUMER: [&str; 2] = ["namespace", "consumer"];
const TOPIC: [&str; 2] = ["namespace", "topic"];

/// The series of all resources of one kind. They are replaced together: a scrape never meets half of them, and those of a
/// resource that is gone leave with it.
#[derive(Clone)]
pub struct Snapshot {
    descs: Vec<Desc>,
    families: Arc<Mutex<Vec<MetricFamily>>>,
}

impl Snapshot {
    /// Shows these, and from now on those of the same names.
    pub fn of(gauges: Vec<GaugeVec>) -> Self {
        let descs = gauges.iter().flat_map(Collector::desc).cloned().collect();
        let snapshot = Self {
            descs,
            families: Arc::default(),
        };
        snapshot.set(gauges);
        snapshot
    }

    /// Shows these from now on.
    pub fn set(&self, gauges: Vec<GaugeVec>) {
        let families = gauges.iter().flat_map(Collector::collect).collect();
        *self.families.lock().unwrap_or_else(PoisonError::into_inner) = families;
    }
}

impl Collector for Snapshot {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.clone()
    }
}

/// The gauges of these consumers.
pub fn of_consumers(consumers: &[Arc<TelemetryConsumer>]) -> Vec<GaugeVec> {
    let lag = gauge(
        "bt_operator_consumer_lag_records",
        "Records that a consumer has not carried yet; absent while Kafka does not say",
        &CONSUMER,
    );
    let replicas = gauge(
        "bt_operator_consumer_replicas",
        "Pods of a consumer by state: desired, ready",
        &["namespace", "consumer", "state"],
    );
    let conditions = gauge(
        "bt_operator_consumer_condition",
        "Conditions of a consumer with their reason: 1 true, 0 false, -1 unknown",
        &["namespace", "consumer", "condition", "reason"],
    );
    for consumer in consumers {
        let Some(status) = &consumer.status else {
            continue;
        };
        let (namespace, name) = (
            consumer.namespace().unwrap_or_default(),
            consumer.name_any(),
        );
        let labels = [namespace.as_str(), name.as_str()];
        if let Some(read) = &status.lag {
            lag.with_label_values(&labels).set(read.total as f64);
        }
        let desired = status.desired_replicas.unwrap_or(consumer.spec.replicas);
        for (state, pods) in [("desired", desired), ("ready", status.ready_replicas)] {
            let labels = [labels[0], labels[1], state];
            replicas.with_label_values(&labels).set(pods.into());
        }
        for condition in &status.conditions {
            let labels = [labels[0], labels[1], &condition.kind, &condition.reason];
            conditions
                .with_label_values(&labels)
                .set(truth(&condition.status));
        }
    }
    vec![lag, replicas, conditions]
}

/// The gauges of these topics.
pub fn of_topics<'a>(topics: impl Iterator<Item = &'a KafkaTopic>) -> Vec<GaugeVec> {
    let ready = gauge(
        "bt_operator_topic_ready",
        "A KafkaTopic's condition Ready with its reason: 1 true, 0 false, -1 unknown",
        &["namespace", "topic", "reason"],
    );
    let drift = gauge(
        "bt_operator_topic_drift",
        "Settings in which Kafka differs from the KafkaTopic",
        &TOPIC,
    );
    for topic in topics {
        let Some(status) = &topic.status else {
            continue;
        };
        let (namespace, name) = (topic.namespace().unwrap_or_default(), topic.name_any());
        let labels = [namespace.as_str(), name.as_str()];
        drift
            .with_label_values(&labels)
            .set(status.drift.len() as f64);
        let is_ready = |condition: &&Condition| condition.kind == "Ready";
        if let Some(condition) = status.conditions.iter().find(is_ready) {
            let labels = [labels[0], labels[1], &condition.reason];
            ready
                .with_label_values(&labels)
                .set(truth(&condition.status));
        }
    }
    vec![ready, drift]
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    GaugeVec::new(Opts::new(name, help), labels).expect("the name and labels are valid")
}

fn truth(status: &str) -> f64 {
    match status {
        "True" => 1.0,
        "False" => 0.0,
        _ => -1.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::Metrics;

    fn consumer(name: &str, status: serde_json::Value) -> Arc<TelemetryConsumer> {
        let consumer = json!({
            "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "TelemetryConsumer",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"topics": ["a"], "sink": {"prometheus": {}}, "replicas": 2}, "status": status,
        });
        Arc::new(serde_json::from_value(consumer).expect("a consumer"))
    }

    fn condition(kind: &str, status: &str, reason: &str) -> serde_json::Value {
        json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn a_consumer_tells_its_lag_pods_and_conditions_and_nothing_once_it_is_gone() {
        let metrics = Metrics::default();
        let conditions = [
            condition("Ready", "False", "SinkNotReady"),
            condition("SinkReady", "Unknown", "Starting"),
            condition("ConfigValid", "True", "Valid"),
        ];
        let lag = json!({"total": 42, "topics": []});
        let status =
            json!({"lag": lag, "desiredReplicas": 5, "readyReplicas": 3, "conditions": conditions});
        metrics.set_consumers(&[consumer("a", status), consumer("b", json!({}))]);
        let shown = metrics.render();
        for line in [
            r#"bt_operator_consumer_lag_records{consumer="a",namespace="shop"} 42"#,
            r#"bt_operator_consumer_replicas{consumer="a",namespace="shop",state="desired"} 5"#,
            r#"bt_operator_consumer_replicas{consumer="a",namespace="shop",state="ready"} 3"#,
            r#"bt_operator_consumer_replicas{consumer="b",namespace="shop",state="desired"} 2"#,
            r#"bt_operator_consumer_condition{condition="Ready",consumer="a",namespace="shop",reason="SinkNotReady"} 0"#,
            r#"bt_operator_consumer_condition{condition="SinkReady",consumer="a",namespace="shop",reason="Starting"} -1"#,
            r#"bt_operator_consumer_condition{condition="ConfigValid",consumer="a",namespace="shop",reason="Valid"} 1"#,
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        let unknown = r#"bt_operator_consumer_lag_records{consumer="b""#;
        assert!(!shown.contains(unknown), "unknown is not zero:\n{shown}");

        metrics.set_consumers(&[consumer("b", json!({}))]);
        let shown = metrics.render();
        assert!(!shown.contains(r#"consumer="a""#), "{shown}");
    }

    #[test]
    fn a_topic_tells_whether_it_is_ready_and_how_much_differs() {
        let topic = |name: &str, conditions: serde_json::Value, drift: serde_json::Value| {
            let topic = json!({
                "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "KafkaTopic",
                "metadata": {"name": name, "namespace": "shop"}, "spec": {},
                "status": {"conditions": conditions, "drift": drift},
            });
            serde_json::from_value::<KafkaTopic>(topic).expect("a topic")
        };
        let drift = json!([{"key": "retention.ms", "want": "1", "have": "2"}]);
        let topics = [
            topic(
                "a",
                json!([condition("Ready", "True", "Synced")]),
                json!([]),
            ),
            topic(
                "b",
                json!([condition("Ready", "False", "InvalidConfig")]),
                drift,
            ),
        ];
        let metrics = Metrics::default();
        metrics.set_each_topic(topics.iter());
        let shown = metrics.render();
        for line in [
            r#"bt_operator_topic_ready{namespace="shop",reason="Synced",topic="a"} 1"#,
            r#"bt_operator_topic_ready{namespace="shop",reason="InvalidConfig",topic="b"} 0"#,
            r#"bt_operator_topic_drift{namespace="shop",topic="a"} 0"#,
            r#"bt_operator_topic_drift{namespace="shop",topic="b"} 1"#,
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
    }
}
