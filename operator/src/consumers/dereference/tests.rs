use super::*;
use serde_json::json;

const AUTHORITY: &str = include_str!("authority.pem");

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
fn what_the_sink_reads_is_found_with_the_default_keys() {
    for (fields, expected) in [
        (json!({}), vec![]),
        (json!({"tls": {}}), vec![]),
        (
            json!({
                "auth": {"username": "u", "passwordSecretRef": {"name": "a"}},
                "tls": {"caSecretRef": {"name": "b"}},
            }),
            vec![
                "tls.caSecretRef b ca.crt",
                "auth.passwordSecretRef a password",
            ],
        ),
        (
            json!({
                "auth": {"username": "u", "passwordSecretRef": {"name": "a", "key": "word"}},
                "tls": {"caSecretRef": {"name": "a", "key": "root.pem"}},
            }),
            vec![
                "tls.caSecretRef a root.pem",
                "auth.passwordSecretRef a word",
            ],
        ),
        (
            json!({"auth": {"apiKeySecretRef": {"name": "a"}}}),
            vec!["auth.apiKeySecretRef a api-key"],
        ),
        (
            json!({"auth": {"apiKeySecretRef": {"name": "a", "key": "k"}}}),
            vec!["auth.apiKeySecretRef a k"],
        ),
    ] {
        let sink = json!({"elasticsearch": fields});
        let consumer = consumer(json!({"topics": ["t"], "sink": sink}));
        let found: Vec<_> = references(&consumer)
            .into_iter()
            .map(|found| {
                assert_eq!((found.reader, found.optional), (Reader::Running, false));
                let authorities = found.content == Expected::Authorities;
                assert_eq!(authorities, found.field.ends_with("tls.caSecretRef"));
                format!("{} {} {}", found.field, found.secret, found.keys.join(","))
            })
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|reference| format!("spec.sink.elasticsearch.{reference}"))
            .collect();
        assert_eq!(found, expected, "{sink}");
    }
}

#[test]
fn what_running_pods_read_again_makes_no_other_pods() {
    let consumer = consumer(json!({
        "topics": ["t"],
        "kafka": {"sasl": {"mechanism": "PLAIN", "username": "u", "passwordSecretRef": {"name": "one"}}},
        "sink": {"elasticsearch": {
            "auth": {"apiKeySecretRef": {"name": "one"}},
            "tls": {"caSecretRef": {"name": "two"}},
        }},
    }));
    let versions = |password: &str, key: &str, ca: &str| {
        let one = secret("1", &[("password", password), ("api-key", key)]);
        let two = secret("2", &[("ca.crt", ca)]);
        let mut versions = Versions::default();
        for reference in references(&consumer) {
            let entries = if reference.secret == "one" {
                &one
            } else {
                &two
            };
            versions.add(&reference, entries);
        }
        versions
    };
    let before = versions("hush", "key", "CA");
    assert_eq!(before.at_start.len(), 1);
    assert_eq!(before.running.len(), 2);
    for (now, pods, sink) in [
        (versions("hush", "key", "CA"), false, false),
        (versions("hush", "other", "CA"), false, true),
        (versions("hush", "key", "other"), false, true),
        (versions("other", "key", "CA"), true, false),
    ] {
        let changed = (
            now.at_start != before.at_start,
            now.running != before.running,
        );
        assert_eq!(changed, (pods, sink), "{now:?}");
    }
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
        reader: Reader::Start,
        content: Expected::Text,
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
    let sink = "spec.sink.elasticsearch.auth.passwordSecretRef";
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
        (
            sink,
            "empty",
            false,
            &there,
            Some("the key empty of Secret s: it is empty"),
        ),
        (
            sink,
            "password",
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
            reader: match field {
                _ if field == kafka => Reader::Start,
                _ if field == sink => Reader::Running,
                _ => Reader::Other,
            },
            content: Expected::Text,
        };
        let expected: Vec<_> = expected
            .map(|why| format!("{field} names {why}"))
            .into_iter()
            .collect();
        assert_eq!(reference.problems(known), expected, "{field} {key}");
    }
}

#[test]
fn authorities_without_a_certificate_are_found_before_any_pod_is_made() {
    let bundle = format!("# of the company\n{AUTHORITY}\n{AUTHORITY}");
    let cut = &AUTHORITY[..AUTHORITY.len() / 2];
    let broken = AUTHORITY.replacen("MII", "AAA", 1);
    let mixed = format!("{AUTHORITY}{broken}");
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQA=\n-----END PRIVATE KEY-----\n";
    let consumer = consumer(json!({
        "topics": ["t"],
        "kafka": {"tls": {"caSecretRef": {"name": "s"}}},
        "sink": {"elasticsearch": {"tls": {"caSecretRef": {"name": "s"}}}},
    }));
    for (text, good) in [
        (AUTHORITY, true),
        (&*bundle, true),
        ("word", false),
        (cut, false),
        (&*broken, false),
        (&*mixed, false),
        (key, false),
    ] {
        let there = Known::There(secret("uid", &[("ca.crt", text)]));
        let problems: Vec<_> = references(&consumer)
            .iter()
            .flat_map(|reference| reference.problems(&there))
            .collect();
        let expected = ["spec.kafka", "spec.sink.elasticsearch"].map(|at| {
            format!(
                "{at}.tls.caSecretRef names the key ca.crt of Secret s: it has no certificates, or broken ones; the authorities' are expected in PEM, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
            )
        });
        let expected = if good { vec![] } else { expected.to_vec() };
        assert_eq!(problems, expected, "{text}");
    }
}
