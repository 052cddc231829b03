//! KafkaTopics of consumers, from the topic controller's watch: one watch serves both controllers.

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::kind::STATE_SUFFIX;
use super::owner;
use crate::api::KafkaTopic;
use crate::consumers::build::MANAGED_BY;

/// What a watch would tell that selects the KafkaTopics of consumers.
pub type TopicEvents = UnboundedReceiver<Event<DynamicObject>>;

/// Takes what the topic controller's watch tells, and hands on what concerns consumers.
pub fn relay() -> (impl Fn(&Event<KafkaTopic>) + Send, TopicEvents) {
    let (tell, told) = unbounded_channel();
    let relay = move |event: &Event<KafkaTopic>| {
        if let Some(event) = of_consumers(event) {
            // Nobody listens any more when the consumers' controller has ended.
            let _ = tell.send(event);
        }
    };
    (relay, told)
}

fn of_consumers(event: &Event<KafkaTopic>) -> Option<Event<DynamicObject>> {
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(topic) => Event::InitApply(ours(topic).then(|| dynamic(topic))?),
        Event::Apply(topic) if ours(topic) => Event::Apply(dynamic(topic)),
        Event::Delete(topic) if ours(topic) => Event::Delete(dynamic(topic)),
        // It may have been ours until somebody took the signs of it away.
        Event::Apply(topic) if topic.name_any().ends_with(STATE_SUFFIX) => {
            Event::Delete(dynamic(topic))
        }
        Event::Apply(_) | Event::Delete(_) => return None,
    })
}

fn ours(topic: &KafkaTopic) -> bool {
    let (key, value) = MANAGED_BY;
    topic.labels().get(key).is_some_and(|found| found == value)
        || owner(topic.owner_references()).is_some()
}

fn dynamic(topic: &KafkaTopic) -> DynamicObject {
    let value = serde_json::to_value(topic).expect("a KafkaTopic can be written as JSON");
    serde_json::from_value(value).expect("it has metadata")
}

/// A KafkaTopic, as far as decisions need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveTopic {
    /// Partitions: as many as it asks for, or as the topic has where that is more.
    pub partitions: Option<i32>,
    /// Replicas that the topic has; before it is there, those that the resource asks for.
    pub replicas: Option<i32>,
    /// Reason and message of `Ready`, where that is False and speaks of the present spec.
    pub trouble: Option<(String, String)>,
}

impl LiveTopic {
    pub(super) fn of(object: &DynamicObject) -> Self {
        let (spec, status) = (&object.data["spec"], &object.data["status"]);
        let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        let conditions = status["conditions"].as_array();
        let ready = conditions.and_then(|all| all.iter().find(|found| found["type"] == "Ready"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let present = |ready: &&Value| {
            ready["observedGeneration"].as_i64() == object.metadata.generation
                && ready["status"] == "False"
        };
        Self {
            partitions: number(&spec["partitions"]).max(number(&status["partitions"])),
            replicas: number(&status["replicas"]).or_else(|| number(&spec["replicas"])),
            trouble: ready
                .filter(present)
                .map(|ready| (text(&ready["reason"]), text(&ready["message"]))),
        }
    }
}

/// The object as one that was read as a KafkaTopic and written again, so that it looks the same whichever way it came. One that
/// cannot be read as such stays as it is.
pub(super) fn as_relayed(object: &DynamicObject) -> DynamicObject {
    let topic = serde_json::to_value(object).and_then(serde_json::from_value);
    topic.map_or_else(|_| object.clone(), |topic: KafkaTopic| dynamic(&topic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn topic(name: &str, labels: Value, owners: Value) -> KafkaTopic {
        serde_json::from_value(json!({
            "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"name": name, "namespace": "shop", "uid": "u", "labels": labels, "ownerReferences": owners},
            "spec": {},
        }))
        .expect("a KafkaTopic")
    }

    fn told(event: Event<KafkaTopic>) -> Option<&'static str> {
        of_consumers(&event).map(|event| match event {
            Event::Init => "Init",
            Event::InitDone => "InitDone",
            Event::InitApply(_) => "InitApply",
            Event::Apply(_) => "Apply",
            Event::Delete(_) => "Delete",
        })
    }

    #[test]
    fn only_what_concerns_consumers_is_handed_on() {
        let labelled = || {
            topic(
                "metrics-state",
                json!({"app.kubernetes.io/managed-by": "bt-operator"}),
                json!([]),
            )
        };
        let owned = || {
            let owner = json!({
                "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "TelemetryConsumer",
                "name": "metrics", "uid": "c", "controller": true,
            });
            topic("metrics-state", json!({}), json!([owner]))
        };
        let foreign = || topic("orders", json!({"a": "b"}), json!([]));
        for (event, expected) in [
            (Event::Init, Some("Init")),
            (Event::InitDone, Some("InitDone")),
            (Event::InitApply(labelled()), Some("InitApply")),
            (Event::InitApply(foreign()), None),
            (Event::Apply(labelled()), Some("Apply")),
            (Event::Apply(owned()), Some("Apply")),
            (Event::Apply(foreign()), None),
            (Event::Delete(owned()), Some("Delete")),
            (Event::Delete(foreign()), None),
            // Neither label nor owner: not ours any more.
            (
                Event::Apply(topic("metrics-state", json!({}), json!([]))),
                Some("Delete"),
            ),
        ] {
            let what = format!("{event:?}");
            assert_eq!(told(event), expected, "{what}");
        }
    }

    #[test]
    fn an_answer_and_what_the_watch_tells_look_the_same() {
        let mut answer: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"name": "metrics-state", "uid": "u", "managedFields": []},
            "spec": {"partitions": 3, "config": {"segment.ms": "3600000"}},
        }))
        .expect("an object");
        let read: KafkaTopic =
            serde_json::from_value(serde_json::to_value(&answer).expect("JSON")).expect("a topic");
        assert_eq!(as_relayed(&answer).data, dynamic(&read).data);
        answer.data["spec"]["partitions"] = json!("three");
        assert_eq!(as_relayed(&answer), answer, "no KafkaTopic");
    }

    #[test]
    fn what_a_topic_has_counts_where_it_is_more_than_the_resource_asks_for() {
        let of = |generation: i64, status: Value| {
            let object = json!({
                "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "KafkaTopic",
                "metadata": {"name": "metrics-state", "generation": generation},
                "spec": {"partitions": 3, "replicas": 3},
                "status": status,
            });
            LiveTopic::of(&serde_json::from_value(object).expect("an object"))
        };
        let ready = |status: &str| {
            let ready = json!({
                "type": "Ready", "status": status, "reason": "Reason", "message": "why", "observedGeneration": 2,
            });
            json!({"partitions": 6, "replicas": 1, "conditions": [ready]})
        };
        let trouble = Some(("Reason".to_owned(), "why".to_owned()));
        for (generation, status, expected) in [
            (1, Value::Null, (Some(3), Some(3), None)),
            (2, ready("True"), (Some(6), Some(1), None)),
            (2, ready("False"), (Some(6), Some(1), trouble)),
            (2, ready("Unknown"), (Some(6), Some(1), None)),
            // The spec has changed since.
            (3, ready("False"), (Some(6), Some(1), None)),
        ] {
            let live = of(generation, status.clone());
            let found = (live.partitions, live.replicas, live.trouble);
            assert_eq!(found, expected, "{generation} {status}");
        }
    }
}
