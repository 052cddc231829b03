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
    let search = |fields: Value| json!({"topics": ["t"], "sink": {"elasticsearch": fields}});
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
            search(json!({"urls": ["https://bt:hush@es:9243"]})),
            "spec.sink.elasticsearch.urls[0]: has a user or a password inside, which everybody could read there; take them out, and log in by spec.sink.elasticsearch.auth",
        ),
        (
            search(json!({"urls": ["https://es", "http://es"], "tls": {}})),
            "spec.sink.elasticsearch.urls[1]: \"http://es\" is not encrypted; where spec.sink.elasticsearch.tls is given",
        ),
        (
            search(json!({"tls": {}})),
            "spec.sink.elasticsearch.urls: none is given, and the operator's own (its ELASTICSEARCH_HOST) \"http://elasticsearch:9200\" is not encrypted; where spec.sink.elasticsearch.tls is given",
        ),
        (
            search(json!({"auth": {}})),
            "spec.sink.elasticsearch.auth: exactly one way to log in is needed: username with passwordSecretRef, or apiKeySecretRef",
        ),
        (
            search(json!({"auth": {"username": "bt"}})),
            "spec.sink.elasticsearch.auth: username and passwordSecretRef belong together",
        ),
        (
            search(json!({"auth": {"username": "a:b", "passwordSecretRef": {"name": "s"}}})),
            "spec.sink.elasticsearch.auth.username: ",
        ),
        (
            search(json!({"template": {"retention": "12h"}})),
            "spec.sink.elasticsearch.template.retention: must be at least 1d, found 12h",
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
fn the_sinks_credentials_are_files_in_its_configuration() {
    let sink = |fields: Value| {
        let spec = json!({"topics": ["t"], "sink": {"elasticsearch": fields}});
        let desired = checked("logs", spec).expect("valid");
        let files = desired.sink_files.iter();
        let files = files.map(|file| format!("{} {} {}", file.secret, file.key, file.file));
        let sink = desired.config.sink.elasticsearch.expect("the sink");
        let shown = serde_json::to_value((sink.auth, sink.tls)).expect("JSON");
        (shown, files.collect::<Vec<_>>())
    };
    assert_eq!(sink(json!({})), (json!([null, null]), vec![]));
    assert_eq!(
        sink(json!({
            "urls": ["https://es:9200"],
            "auth": {"username": "bt", "passwordSecretRef": {"name": "es"}},
            "tls": {"caSecretRef": {"name": "ca", "key": "root.pem"}},
        })),
        (
            json!([
                {"username": "bt", "passwordFile": "/etc/bt-consumers/sink/password"},
                {"caFile": "/etc/bt-consumers/sink/ca.crt"},
            ]),
            vec!["ca root.pem ca.crt".into(), "es password password".into()]
        )
    );
    assert_eq!(
        sink(json!({
            "urls": ["https://es:9200"],
            "auth": {"apiKeySecretRef": {"name": "es"}},
            "tls": {},
        })),
        (
            json!([{"apiKeyFile": "/etc/bt-consumers/sink/api-key"}, {}]),
            vec!["es api-key api-key".into()]
        )
    );
}

#[test]
fn the_rest_of_the_sink_reaches_the_configuration_as_it_is() {
    let fields = json!({
        "urls": ["http://a:1", "http://b:2"],
        "dataStream": "logs-shop",
        "template": {"manage": false, "retention": "30d", "replicas": 2},
        "bulk": {"maxBytes": 2048, "maxDocs": 7, "flushInterval": "2s", "concurrency": 3, "compression": "Gzip"},
        "malformed": "Index",
    });
    let mut with_letters = fields.clone();
    with_letters["deadLetterTopic"] = json!("letters");
    let spec = json!({"topics": ["t"], "sink": {"elasticsearch": with_letters}});
    let config = checked("logs", spec).expect("valid").config;
    assert_eq!(config.dead_letter_topic, "letters");
    let sink = config.sink.elasticsearch.expect("the sink");
    assert_eq!(serde_json::to_value(sink).expect("JSON"), fields);

    let spec = json!({"topics": ["t"], "sink": {"elasticsearch": {}}});
    let config = checked("logs", spec).expect("valid").config;
    assert_eq!(config.dead_letter_topic, "dead-letters");
    let defaults = bt_consumers::config::ElasticsearchSink {
        urls: vec!["http://elasticsearch:9200".into()],
        ..Default::default()
    };
    assert_eq!(config.sink.elasticsearch, Some(defaults));
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

#[test]
fn credentials_that_go_unencrypted_are_warned_of() {
    let name = json!({"username": "bt", "passwordSecretRef": {"name": "s"}});
    let key = json!({"apiKeySecretRef": {"name": "s"}});
    let warning = |what: &str, url: &str| {
        Some(format!(
            "spec.sink.elasticsearch.auth: {what} unencrypted to {url}, for everybody on the way to read: give https URLs"
        ))
    };
    let (of_operator, plain) = ("http://elasticsearch:9200", "http://es-2:9200");
    for (sink, expected) in [
        (json!({}), None),
        (json!({"urls": ["http://es"]}), None),
        (json!({"urls": ["https://es"], "auth": name}), None),
        (
            json!({"urls": ["HTTPS://es"], "auth": name, "tls": {}}),
            None,
        ),
        (
            json!({"auth": name}),
            warning("user and password go", of_operator),
        ),
        (
            json!({"urls": ["https://es-1", plain], "auth": key}),
            warning("the API key goes", plain),
        ),
    ] {
        let spec = json!({"topics": ["t"], "sink": {"elasticsearch": sink}});
        let desired = checked("logs", spec).expect("valid");
        assert_eq!(desired.warning, expected, "{sink}");
    }
}
