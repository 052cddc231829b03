use clap::Parser;
use serde_json::json;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

fn checked(name: &str, spec: Value) -> Result<Desired, Vec<String>> {
    let mut consumer = TelemetryConsumer::new(name, serde_json::from_value(spec).expect("a spec"));
    consumer.metadata.namespace = Some("shop".into());
    let settings = Cli::parse_from(["test"]).settings;
    validate(&consumer, BTreeMap::new(), &settings)
}

#[test]
fn problems_name_the_field_of_the_resource() {
    let custom = |fields: Value| json!({"topics": ["t"], "sink": {"custom": fields}});
    for (spec, wanted) in [
        (
            json!({"topics": [], "sink": {"prometheus": {}}}),
            "spec.topics: 1 to 64",
        ),
        (
            json!({"topics": ["a b"], "sink": {"prometheus": {}}}),
            "spec.topics[0]: \"a b\"",
        ),
        (
            json!({"topics": ["dead-letters"], "sink": {"elasticsearch": {}}}),
            "spec.topics[0]: dead-letters is the dead-letter topic",
        ),
        (
            json!({"topics": ["t"], "sink": {"elasticsearch": {"deadLetterTopic": "a b"}}}),
            "spec.sink.elasticsearch.deadLetterTopic: ",
        ),
        (
            json!({"topics": ["t"], "sink": {"elasticsearch": {"urls": ["es:9200"]}}}),
            "spec.sink.elasticsearch.urls[0]: ",
        ),
        (
            json!({"topics": ["t"], "sink": {"prometheus": {"maxSeries": 0}}}),
            "spec.sink.prometheus.maxSeries: ",
        ),
        (
            json!({"topics": ["t", "bt.shop.metrics.state"], "sink": {"prometheus": {}}}),
            "spec.sink.prometheus.exactlyOnce: the state topic bt.shop.metrics.state is used for something else",
        ),
        (
            json!({"topics": ["t"], "sink": {"prometheus": {}}, "kafka": {"bootstrapServers": " "}}),
            "spec.kafka.bootstrapServers: ",
        ),
        (
            json!({"topics": [], "sink": {"custom": {"image": "i"}}}),
            "spec.topics: ",
        ),
        (
            custom(json!({"image": "my image"})),
            "spec.sink.custom.image: ",
        ),
        (
            custom(
                json!({"image": "i", "env": [{"name": "A"}, {"name": "KAFKA_GROUP_ID", "value": "x"}]}),
            ),
            "spec.sink.custom.env[1]: KAFKA_GROUP_ID is set by the operator",
        ),
        (
            custom(json!({"image": "i", "env": [{"name": "A"}, {"name": "A"}]})),
            "spec.sink.custom.env[1]: A is there twice",
        ),
    ] {
        let problems = checked("metrics", spec.clone()).err().unwrap_or_default();
        assert_eq!(problems.len(), 1, "{spec} → {problems:?}");
        assert!(
            problems[0].starts_with(wanted),
            "{spec} → {problems:?}, not {wanted}"
        );
    }
}

#[test]
fn a_custom_sink_may_carry_dead_letters() {
    let spec = json!({"topics": ["dead-letters"], "sink": {"custom": {"image": "i"}}});
    assert_eq!(checked("repair", spec).expect("valid").image, "i");
}

#[test]
fn only_a_sink_that_counts_exactly_once_has_a_state_topic() {
    for (sink, expected) in [
        (json!({"prometheus": {}}), Some("bt.shop.metrics.state")),
        (
            json!({"prometheus": {"exactlyOnce": true}}),
            Some("bt.shop.metrics.state"),
        ),
        (json!({"prometheus": {"exactlyOnce": false}}), None),
        (json!({"elasticsearch": {}}), None),
        (json!({"custom": {"image": "i"}}), None),
    ] {
        let spec = json!({"topics": ["t"], "sink": sink});
        let desired = checked("metrics", spec).expect("valid");
        assert_eq!(desired.config.state_topic.as_deref(), expected, "{sink}");
    }
}

#[test]
fn a_state_topic_has_a_name_that_kafka_takes_whatever_the_group_is_called() {
    let long = "g".repeat(249);
    for (group, expected) in [
        ("bt.shop.metrics", "bt.shop.metrics.state"),
        (&long[..243], &*format!("{}.state", &long[..243])),
        ("orders/eu", "orders-eu.df09ed5999ef8fa2.state"),
        ("orders eu", "orders-eu.e9e83ae493a8924c.state"),
        (
            &long[..244],
            &*format!("{}.a70536551f62f713.state", &long[..226]),
        ),
        ("größe", "gr--e.d353a2671b67afff.state"),
    ] {
        let name = state_topic_name(group);
        assert_eq!(name, expected, "{group}");
        assert!(name.len() <= 249, "{group}");
    }
    assert_ne!(state_topic_name(&long), state_topic_name(&long[..248]));
    let spec = json!({"topics": ["t"], "groupId": "orders/eu", "sink": {"prometheus": {}}});
    assert!(checked("metrics", spec).is_ok());
}

#[test]
fn the_name_must_be_one_of_a_service() {
    let spec = json!({"topics": ["t"], "sink": {"prometheus": {}}});
    let long = "a".repeat(64);
    for (name, good) in [
        ("metrics", true),
        ("a-1", true),
        (&long[..63], true),
        (&long, false),
        ("a.b", false),
        ("1a", false),
        ("a-", false),
    ] {
        let checked = checked(name, spec.clone());
        assert_eq!(checked.is_ok(), good, "{name}");
        for problem in checked.err().unwrap_or_default() {
            assert!(problem.starts_with("metadata.name: "), "{problem}");
        }
    }
}
