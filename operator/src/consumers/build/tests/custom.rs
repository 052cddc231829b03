//! The pods of custom sinks.

use super::*;

fn environment(fields: Value) -> Vec<(String, Value)> {
    let container = &template(&spec(fields).build())["spec"]["containers"][0];
    let env = container["env"].as_array().expect("env").iter();
    env.map(|env| {
        let name = env["name"].as_str().expect("a name").to_owned();
        (name, env.get("value").unwrap_or(&env["valueFrom"]).clone())
    })
    .collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, Value)> {
    pairs
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .into()
}

#[test]
fn the_environment_says_what_to_consume_and_how() {
    let custom = json!({"custom": {"image": "i"}});
    assert_eq!(
        environment(json!({"sink": custom, "topics": ["a", "b"], "startFrom": "Latest"})),
        pairs([
            ("KAFKA_BOOTSTRAP", "kafka:9092"),
            ("KAFKA_TOPICS", "a,b"),
            ("KAFKA_GROUP_ID", "bt.shop.metrics"),
            ("KAFKA_AUTO_OFFSET_RESET", "latest"),
            ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"),
        ])
    );
    let kafka = json!({
        "bootstrapServers": "x:1, y:2",
        "tls": {"caSecretRef": {"name": "ca"}, "clientCertSecretRef": {"name": "me"}},
        "sasl": {"mechanism": "SCRAM-SHA-256", "username": "$(u)", "passwordSecretRef": {"name": "pw"}},
    });
    let mut wanted = pairs([
        ("KAFKA_BOOTSTRAP", "x:1,y:2"),
        ("KAFKA_TOPICS", "t"),
        ("KAFKA_GROUP_ID", "g"),
        ("KAFKA_AUTO_OFFSET_RESET", "earliest"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SSL_CA_FILE", "/etc/bt-consumers/kafka/ca.crt"),
        (
            "KAFKA_SSL_CERTIFICATE_FILE",
            "/etc/bt-consumers/kafka/tls.crt",
        ),
        ("KAFKA_SSL_KEY_FILE", "/etc/bt-consumers/kafka/tls.key"),
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256"),
        ("KAFKA_SASL_USERNAME", "$$(u)"),
        (
            "KAFKA_SASL_PASSWORD_FILE",
            "/etc/bt-consumers/kafka/password",
        ),
        ("MINE", "$(KAFKA_GROUP_ID)"),
    ]);
    let token = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    wanted.push(("TOKEN".into(), token.clone()));
    let env = json!([{"name": "MINE", "value": "$(KAFKA_GROUP_ID)"}, {"name": "TOKEN", "valueFrom": token}]);
    let custom = json!({"custom": {"image": "i", "env": env}});
    assert_eq!(
        environment(json!({"sink": custom, "kafka": kafka, "groupId": "g"})),
        wanted
    );
}

#[test]
fn the_protocol_follows_from_tls_and_sasl() {
    let sasl = json!({"mechanism": "PLAIN", "username": "u", "passwordSecretRef": {"name": "pw"}});
    for (kafka, wanted) in [
        (json!({}), "PLAINTEXT"),
        (json!({"tls": {}}), "SSL"),
        (json!({"sasl": sasl}), "SASL_PLAINTEXT"),
        (json!({"tls": {}, "sasl": sasl}), "SASL_SSL"),
    ] {
        let custom = json!({"custom": {"image": "i"}});
        let env = environment(json!({"sink": custom, "kafka": kafka}));
        let protocol = env
            .iter()
            .find(|(name, _)| name == "KAFKA_SECURITY_PROTOCOL");
        assert_eq!(protocol.expect("a protocol").1, wanted, "{kafka}");
    }
}

#[test]
fn the_image_is_the_users_and_the_pod_is_restricted() {
    let custom = json!({"image": "mine:1", "command": ["python"], "args": ["-u", "main.py"]});
    let kafka = json!({"tls": {"caSecretRef": {"name": "ca"}}});
    let objects = spec(json!({"sink": {"custom": custom}, "kafka": kafka})).build();
    assert!(objects.config.is_none());
    let pod = &template(&objects)["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["name"], "consumer");
    assert_eq!(container["image"], "mine:1");
    assert_eq!(container["command"], json!(["python"]));
    assert_eq!(container["args"], json!(["-u", "main.py"]));
    for absent in [
        "imagePullPolicy",
        "livenessProbe",
        "readinessProbe",
        "ports",
    ] {
        assert!(container.get(absent).is_none(), "{absent}");
    }
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let mounts = json!([
        {"name": "kafka", "mountPath": "/etc/bt-consumers/kafka", "readOnly": true},
        {"name": "tmp", "mountPath": "/tmp"},
    ]);
    assert_eq!(container["volumeMounts"], mounts);
    assert_eq!(
        pod["volumes"][1],
        json!({"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}})
    );
    let source = &pod["volumes"][0]["projected"]["sources"][0]["secret"];
    assert_eq!(source["items"][0]["path"], "ca.crt");
}

#[test]
fn what_the_operator_builds_is_restricted() {
    for sink in [
        json!({"prometheus": {}}),
        json!({"elasticsearch": {}}),
        json!({"custom": {"image": "i"}}),
    ] {
        let deployment = spec(json!({"sink": sink})).build().deployment;
        let template = deployment.spec.expect("a spec").template;
        assert_eq!(security::violations(&template), [""; 0], "{sink}");
    }
}
