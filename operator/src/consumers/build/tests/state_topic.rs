use super::super::state_topic::shape;
use super::*;
use crate::consumers::owned::LiveTopic;

fn of(partitions: i32, replicas: i32) -> TopicShape {
    TopicShape {
        partitions,
        replicas,
    }
}

fn with_shape(fields: Value, shape: TopicShape) -> Given {
    Given {
        surroundings: Surroundings {
            state_topic: Some(shape),
            ..Surroundings::default()
        },
        ..spec(fields)
    }
}

fn resource(fields: Value, shape: TopicShape) -> Value {
    let topic = with_shape(fields, shape).build().state_topic;
    serde_json::to_value(topic.expect("a KafkaTopic")).expect("JSON")
}

#[test]
fn the_state_topic_is_compacted_owned_and_of_the_consumers_cluster() {
    let kafka = json!({"bootstrapServers": "other:9092", "tls": {"caSecretRef": {"name": "ca"}}});
    let topic = resource(json!({"kafka": kafka}), of(12, 1));
    assert_eq!(topic["kind"], "KafkaTopic");
    let metadata = &topic["metadata"];
    assert_eq!(metadata["name"], "metrics-state");
    assert_eq!(metadata["namespace"], "shop");
    assert_eq!(metadata["labels"]["monitoring.bt.dev/consumer"], "metrics");
    let owner = &metadata["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"], &owner["controller"]),
        (&json!("TelemetryConsumer"), &json!("uid"), &json!(true))
    );
    assert_eq!(
        topic["spec"],
        json!({
            "topicName": "bt.shop.metrics.state", "partitions": 12, "replicas": 1,
            "config": {
                "cleanup.policy": "compact",
                "compression.type": "producer",
                "delete.retention.ms": "86400000",
                "min.cleanable.dirty.ratio": "0.1",
                "segment.bytes": "8388608",
                "segment.ms": "3600000",
            },
            "adoptionPolicy": "Adopt", "driftPolicy": "Enforce", "deletionPolicy": "Retain",
            "kafka": kafka,
        })
    );
}

#[test]
fn the_state_topic_goes_and_stays_with_the_group() {
    for (policy, expected) in [("Retain", "Retain"), ("Delete", "Delete")] {
        let topic = resource(json!({"groupDeletionPolicy": policy}), of(1, 1));
        assert_eq!(topic["spec"]["deletionPolicy"], expected);
    }
}

#[test]
fn two_replicas_must_have_a_record_where_there_are_three() {
    for (replicas, expected) in [
        (1, Value::Null),
        (2, Value::Null),
        (3, json!("2")),
        (5, json!("2")),
    ] {
        let topic = resource(json!({}), of(1, replicas));
        let config = &topic["spec"]["config"];
        assert_eq!(config["min.insync.replicas"], expected, "{replicas}");
    }
}

#[test]
fn the_state_topic_grows_with_its_sources_and_never_shrinks() {
    let live = |partitions, replicas| LiveTopic {
        partitions,
        replicas,
        trouble: None,
    };
    for (what, sources, live, expected) in [
        ("nothing is known", None, None, None),
        ("first", Some(of(3, 3)), None, Some(of(3, 3))),
        (
            "Kafka is away",
            None,
            Some(live(Some(3), Some(1))),
            Some(of(3, 1)),
        ),
        (
            "a topic has grown",
            Some(of(12, 1)),
            Some(live(Some(3), Some(1))),
            Some(of(12, 1)),
        ),
        (
            "the largest topic is no longer carried",
            Some(of(2, 1)),
            Some(live(Some(12), Some(1))),
            Some(of(12, 1)),
        ),
        (
            "replicas are as they are",
            Some(of(3, 3)),
            Some(live(Some(3), Some(1))),
            Some(of(3, 1)),
        ),
        (
            "somebody took the fields away",
            Some(of(3, 2)),
            Some(live(None, None)),
            Some(of(3, 2)),
        ),
        ("and Kafka is away", None, Some(live(None, Some(2))), None),
    ] {
        assert_eq!(shape(sources, live.as_ref()), expected, "{what}");
    }
}

#[test]
fn only_pods_that_keep_state_are_told_their_name() {
    let name = json!({
        "name": "POD_NAME",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
    });
    for (sink, expected) in [
        (json!({"prometheus": {}}), json!([name])),
        (json!({"prometheus": {"exactlyOnce": false}}), Value::Null),
        (json!({"elasticsearch": {}}), Value::Null),
    ] {
        let objects = spec(json!({"sink": sink})).build();
        let env = &template(&objects)["spec"]["containers"][0]["env"];
        assert_eq!(*env, expected, "{sink}");
        assert_eq!(objects.keeps_state, expected != Value::Null, "{sink}");
    }
}
