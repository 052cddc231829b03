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
