//! The credentials of an elasticsearch sink.

use super::*;

fn sink() -> Value {
    json!({"elasticsearch": {
        "urls": ["https://es:9243"],
        "auth": {"username": "bt", "passwordSecretRef": {"name": "es-login"}},
        "tls": {"caSecretRef": {"name": "es-ca", "key": "root.pem"}},
    }})
}

#[test]
fn they_are_files_beside_those_of_kafka_and_change_with_their_secrets() {
    let kafka = json!({"tls": {"caSecretRef": {"name": "kafka"}}});
    let objects = spec(json!({"sink": sink(), "kafka": kafka})).build();
    let pod = &template(&objects)["spec"];
    let container = &pod["containers"][0];
    assert_eq!(
        container["volumeMounts"],
        json!([{"name": "config", "mountPath": "/etc/bt-consumers", "readOnly": true}]),
        "whole, since files of a subPath stay as they were"
    );
    assert_eq!(container.get("env"), None);
    let sources = pod["volumes"][0]["projected"]["sources"].clone();
    let secret = |name: &str, key: &str, path: &str| {
        let item = json!({"key": key, "path": path, "mode": 0o440});
        json!({"secret": {"name": name, "items": [item]}})
    };
    assert_eq!(
        sources.as_array().expect("sources")[1..],
        [
            secret("kafka", "ca.crt", "kafka/ca.crt"),
            secret("es-ca", "root.pem", "sink/ca.crt"),
            secret("es-login", "password", "sink/password"),
        ]
    );
    let yaml = objects.config.expect("a configuration").1;
    let config = bt_consumers::config::Config::parse(&yaml).expect("parses");
    let read = config.sink.elasticsearch.expect("the sink");
    let (auth, tls) = (read.auth.expect("auth"), read.tls.expect("tls"));
    let mounted = |file: &str| Some(format!("/etc/bt-consumers/{file}").into());
    assert_eq!(auth.password_file, mounted("sink/password"));
    assert_eq!(tls.ca_file, mounted("sink/ca.crt"));
    assert!(
        !yaml.contains("es-login"),
        "no trace of the Secrets in {yaml}"
    );
}

#[test]
fn the_pods_are_others_when_another_secret_is_named() {
    let revision = |fields: Value| {
        let mut sink = sink();
        for (field, value) in fields.as_object().expect("fields") {
            sink["elasticsearch"][field] = value.clone();
        }
        spec(json!({"sink": sink})).build().revision
    };
    let all: BTreeSet<_> = [
        json!({}),
        json!({"tls": {}}),
        json!({"tls": null}),
        json!({"auth": null}),
        json!({"auth": {"apiKeySecretRef": {"name": "es-login"}}}),
        json!({"auth": {"username": "other", "passwordSecretRef": {"name": "es-login"}}}),
        json!({"auth": {"username": "bt", "passwordSecretRef": {"name": "other"}}}),
        json!({"auth": {"username": "bt", "passwordSecretRef": {"name": "es-login", "key": "other"}}}),
    ]
    .into_iter()
    .map(revision)
    .collect();
    assert_eq!(all.len(), 8);
}

#[test]
fn pod_templates_cannot_take_them_away() {
    let over = json!({"spec": {"volumes": [{"name": "config", "projected": {"sources": []}}]}});
    let problems = with_template(sink(), over).try_build().err();
    let problems = problems.expect("refused");
    assert!(
        problems[0].contains("volumes[config]: must stay"),
        "{problems:?}"
    );
}
