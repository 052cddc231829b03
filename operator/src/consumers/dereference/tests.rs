use super::*;
use serde_json::json;

fn consumer(spec: Value) -> TelemetryConsumer {
    let spec = serde_json::from_value(spec).expect("a spec");
    TelemetryConsumer::new("logs", spec)
}

#[test]
fn every_reference_is_found() {
    let consumer = consumer(json!({
        "topics": ["t"],
        "kafka": {
            "tls": {"caSecretRef": {"name": "ca"}, "clientCertSecretRef": {"name": "cert"}},
            "sasl": {"mechanism": "PLAIN", "username": "u", "passwordSecretRef": {"name": "password", "key": "word"}},
        },
        "sink": {"custom": {"image": "i", "env": [
            {"name": "A", "value": "x"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "env", "key": "b", "optional": true}}},
        ]}},
        "podTemplate": {"spec": {
            "containers": [{
                "name": "consumer",
                "env": [{"name": "C", "valueFrom": {"secretKeyRef": {"name": "template", "key": "c"}}}],
                "envFrom": [{"configMapRef": {"name": "no"}}, {"secretRef": {"name": "all"}}],
            }],
            "volumes": [
                {"name": "v", "secret": {"secretName": "volume", "items": [{"key": "k", "path": "p"}]}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "projected"}}]}},
            ],
        }},
    }));
    let found: Vec<_> = references(&consumer)
        .into_iter()
        .map(|found| {
            (
                found.field,
                found.secret,
                found.keys.join(","),
                found.optional,
            )
        })
        .collect();
    let template = "spec.podTemplate.spec";
    let expected = [
        ("spec.kafka.tls.caSecretRef", "ca", "ca.crt", false),
        (
            "spec.kafka.tls.clientCertSecretRef",
            "cert",
            "tls.crt,tls.key",
            false,
        ),
        (
            "spec.kafka.sasl.passwordSecretRef",
            "password",
            "word",
            false,
        ),
        (
            "spec.sink.custom.env[1].valueFrom.secretKeyRef",
            "env",
            "b",
            true,
        ),
        (
            &format!("{template}.containers[0].env[0].valueFrom.secretKeyRef"),
            "template",
            "c",
            false,
        ),
        (
            &format!("{template}.containers[0].envFrom[1].secretRef"),
            "all",
            "",
            false,
        ),
        (
            &format!("{template}.volumes[0].secret"),
            "volume",
            "k",
            false,
        ),
        (
            &format!("{template}.volumes[1].projected.sources[0].secret"),
            "projected",
            "",
            false,
        ),
    ];
    let expected: Vec<_> = expected
        .map(|(field, secret, keys, optional)| {
            (
                field.to_owned(),
                secret.to_owned(),
                keys.to_owned(),
                optional,
            )
        })
        .into();
    assert_eq!(found, expected);
}

#[test]
fn a_template_of_another_shape_refers_to_nothing() {
    for template in [
        json!({}),
        json!({"spec": []}),
        json!({"spec": {"containers": "x", "volumes": [1]}}),
    ] {
        let consumer =
            consumer(json!({"topics": ["t"], "sink": {"prometheus": {}}, "podTemplate": template}));
        assert_eq!(references(&consumer), []);
    }
}

fn secret(uid: &str, entries: &[(&str, &str)]) -> BTreeMap<String, Content> {
    let content = |(key, value): &(&str, &str)| {
        let value = ByteString(value.as_bytes().to_vec());
        ((*key).to_owned(), Content::of(uid, key, &value))
    };
    entries.iter().map(content).collect()
}

#[test]
fn other_pods_are_made_when_a_used_entry_changes_and_not_otherwise() {
    let reference = |keys: &[&str]| Reference {
        field: "spec.kafka.sasl.passwordSecretRef".into(),
        secret: "s".into(),
        keys: keys.iter().copied().map(Into::into).collect(),
        optional: false,
    };
    let before = secret("uid", &[("password", "hush"), ("note", "x")]);
    for (uid, password, note, used, all) in [
        ("uid", "hush", "x", false, false),
        ("uid", "hush", "y", false, true),
        ("uid", "another", "x", true, true),
        // Deleted and made again: nobody can compare passwords by what is seen of them.
        ("other", "hush", "x", true, true),
    ] {
        let now = secret(uid, &[("password", password), ("note", note)]);
        let changed = |keys: &[&str]| {
            let reference = reference(keys);
            reference.version(&before) != reference.version(&now)
        };
        let case = format!("{uid} {password} {note}");
        assert_eq!(
            (changed(&["password"]), changed(&[])),
            (used, all),
            "{case}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_the_field_the_secret_and_the_key() {
    let there = Known::There(secret("uid", &[("empty", " \n"), ("good", "word")]));
    let kafka = "spec.kafka.tls.caSecretRef";
    let env = "spec.sink.custom.env[0].valueFrom.secretKeyRef";
    for (field, key, optional, known, expected) in [
        (kafka, "good", false, &there, None),
        (
            kafka,
            "empty",
            false,
            &there,
            Some("the key empty of Secret s: it is empty"),
        ),
        (
            kafka,
            "none",
            false,
            &there,
            Some("the key none of Secret s: the Secret has no such key, it has [empty, good]"),
        ),
        (
            kafka,
            "good",
            false,
            &Known::Missing,
            Some("Secret s: there is no such Secret in this namespace; make it"),
        ),
        (env, "empty", false, &there, None),
        (
            env,
            "none",
            false,
            &there,
            Some("the key none of Secret s: the Secret has no such key, it has [empty, good]"),
        ),
        (env, "none", true, &there, None),
        (env, "good", true, &Known::Missing, None),
        (
            env,
            "good",
            true,
            &Known::Unreadable("forbidden".into()),
            Some("Secret s: it cannot be read: forbidden"),
        ),
    ] {
        let reference = Reference {
            field: field.into(),
            secret: "s".into(),
            keys: vec![key.into()],
            optional,
        };
        let expected: Vec<_> = expected
            .map(|why| format!("{field} names {why}"))
            .into_iter()
            .collect();
        assert_eq!(reference.problems(known), expected, "{field} {key}");
    }
}
