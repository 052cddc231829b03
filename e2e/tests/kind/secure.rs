//! KafkaTopic on the listeners of the chart's own Kafka that ask for TLS, a password or a client's certificate.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, OPERATOR, beside_others, eventually, seconds};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

pub const SASL: &str = "kafka.default.svc:9095";
pub const MUTUAL: &str = "kafka.default.svc:9096";

/// What the chart gives to clients.
pub struct Given {
    pub ca: String,
    pub certificate: String,
    pub key: String,
    pub username: String,
    pub password: String,
}

impl Given {
    pub async fn of(e2e: &E2e) -> Result<Self> {
        let api = Api::<Secret>::namespaced(e2e.cluster.client.clone(), DEFAULT);
        let data = api.get("kafka-client").await?.data.unwrap_or_default();
        let text = |key: &str| -> Result<String> {
            let value = data.get(key);
            let value = value.with_context(|| format!("Secret kafka-client has no {key}"))?;
            Ok(String::from_utf8(value.0.clone())?)
        };
        Ok(Self {
            ca: text("ca.crt")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            username: text("username")?,
            password: text("password")?,
        })
    }

    /// A namespace with a copy of it, as the Secret `kafka-client`.
    pub async fn copied(&self, e2e: &E2e, what: &str) -> Result<String> {
        let namespace = e2e.namespace(what).await?;
        let data = json!({
            "ca.crt": self.ca, "tls.crt": self.certificate, "tls.key": self.key, "password": self.password,
        });
        secret(e2e, &namespace, "kafka-client", data).await?;
        Ok(namespace)
    }

    /// The part of `spec.kafka` for a listener that asks for a password: who, with the Secrets of the CA and the password.
    pub fn sasl(&self, mechanism: &str, ca: &str, password: &str) -> Value {
        json!({
            "bootstrapServers": SASL,
            "tls": {"caSecretRef": {"name": ca}},
            "sasl": {"mechanism": mechanism, "username": self.username, "passwordSecretRef": {"name": password}},
        })
    }

    /// What must be seen nowhere.
    pub fn secrets(&self) -> Vec<String> {
        // A key would be shown in lines, of which any gives it away.
        let long = |line: &&str| !line.starts_with('-') && line.len() > 16;
        let lines = self.key.lines().filter(long);
        let mut secrets: Vec<_> = lines.map(str::to_owned).collect();
        secrets.push(self.password.clone());
        secrets
    }
}

pub async fn secret(e2e: &E2e, namespace: &str, name: &str, data: Value) -> Result<()> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let applied = e2e.cluster.apply(namespace, &secret.to_string()).await;
    applied.map(drop)
}

/// Declares the topic `name`, of that many partitions, which is deleted with its resource.
async fn declare(
    e2e: &E2e,
    namespace: &str,
    name: &str,
    partitions: u32,
    kafka: &Value,
) -> Result<()> {
    let spec = json!({
        "partitions": partitions, "replicas": 1, "config": {"retention.ms": 1_000_000 * partitions},
        "deletionPolicy": "Delete", "kafka": kafka,
    });
    let spec = spec.to_string();
    e2e.cluster.apply_topic(namespace, name, &spec).await
}

/// Waits until the topic is not ready for that reason, with this word in the message.
async fn says(e2e: &E2e, namespace: &str, name: &str, reason: &str, word: &str) -> Result<()> {
    let ready = format!("False {reason}");
    let words = [word];
    let said = e2e.cluster.topic_says(namespace, name, &ready, &words);
    said.await.map(drop)
}

/// Deletes the namespace's topics, while their Secrets are still there.
async fn delete_all(e2e: &E2e, namespace: &str) -> Result<()> {
    let delete = [
        "delete",
        "ktopic",
        "--all",
        "-n",
        namespace,
        "--timeout=60s",
    ];
    e2e.cluster.kubectl(&delete).await.map(drop)
}

/// None of the secrets is in the namespace's topics and Events, or in the operator's log.
async fn nothing_shows(e2e: &E2e, namespace: &str, secrets: &[String]) -> Result<()> {
    let looks: [&[&str]; 3] = [
        &["get", "ktopic", "-n", namespace, "-o", "yaml"],
        &["get", "events", "-n", namespace, "-o", "yaml"],
        &["logs", "-n", DEFAULT, "-l", OPERATOR, "--tail=-1"],
    ];
    e2e.cluster.shows_none_of(secrets, &looks).await
}

#[tokio::test]
async fn topics_live_on_listeners_that_ask_for_tls_and_credentials() -> Result<()> {
    beside_others(async |e2e| {
        let given = Given::of(e2e).await?;
        let namespace = given.copied(e2e, "secure").await?;
        let sasl = |mechanism| given.sasl(mechanism, "kafka-client", "kafka-client");
        let mutual = json!({
            "bootstrapServers": MUTUAL,
            "tls": {
                "caSecretRef": {"name": "kafka-client"},
                "clientCertSecretRef": {"name": "kafka-client"},
            },
        });
        let ways = [
            ("scram512", sasl("SCRAM-SHA-512")),
            ("scram256", sasl("SCRAM-SHA-256")),
            ("plain", sasl("PLAIN")),
            ("mutual", mutual),
        ];
        let name = |way: &str| format!("e2e.secure.{way}.{}", e2e.run);
        for (way, kafka) in &ways {
            declare(e2e, &namespace, &name(way), 1, kafka).await?;
        }
        for (way, kafka) in &ways {
            e2e.cluster.topic_is_ready(&namespace, &name(way)).await?;
            ensure!(e2e.kafka.partitions(&name(way))? == 1, "{way}: it is made");
            let retention = e2e.kafka.setting(&name(way), "retention.ms").await?;
            ensure!(retention == "1000000", "{way}: retention is {retention}");
            declare(e2e, &namespace, &name(way), 2, kafka).await?;
        }
        for (way, _) in &ways {
            e2e.cluster.topic_is_ready(&namespace, &name(way)).await?;
            eventually(&format!("{way}: it is altered"), seconds(30), async || {
                let partitions = e2e.kafka.partitions(&name(way))?;
                let retention = e2e.kafka.setting(&name(way), "retention.ms").await?;
                ensure!(
                    (partitions, retention.as_str()) == (2, "2000000"),
                    "{partitions} partitions, retention {retention}"
                );
                Ok(())
            })
            .await?;
        }
        nothing_shows(e2e, &namespace, &given.secrets()).await?;
        delete_all(e2e, &namespace).await?;
        eventually("the topics are deleted", seconds(30), async || {
            for (way, _) in &ways {
                ensure!(!e2e.kafka.exists(&name(way))?, "{way} is there");
            }
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn wrong_credentials_are_told_and_new_ones_are_picked_up() -> Result<()> {
    beside_others(async |e2e| {
        let given = Given::of(e2e).await?;
        let namespace = given.copied(e2e, "credentials").await?;
        // What is wrong is so for a while, and what is right is seen at the next try: together rather than one by one.
        tokio::try_join!(
            a_wrong_password(e2e, &namespace, &given),
            a_wrong_authority(e2e, &namespace, &given),
            an_unknown_host(e2e, &namespace, &given),
            a_missing_secret(e2e, &namespace, &given),
            a_rotated_password(e2e, &namespace, &given),
        )?;
        let mut secrets = given.secrets();
        secrets.push(wrong_password(e2e));
        secrets.extend(["first", "second", "third"].map(|which| rotated(e2e, which)));
        nothing_shows(e2e, &namespace, &secrets).await?;
        delete_all(e2e, &namespace).await
    })
    .await
}

/// Waits until the topic is ready, which nobody has touched since it was made.
async fn ready_untouched(e2e: &E2e, namespace: &str, name: &str) -> Result<()> {
    let topic = e2e.cluster.topic_is_ready(namespace, name).await?;
    let generation = topic.metadata.generation;
    ensure!(
        generation == Some(1),
        "{name} has generation {generation:?}"
    );
    ensure!(e2e.kafka.exists(name)?, "{name} is not in Kafka");
    Ok(())
}

fn wrong_password(e2e: &E2e) -> String {
    format!("wrong-password-of-{}", e2e.run)
}

async fn a_wrong_password(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file) = (format!("e2e.password.{}", e2e.run), "password");
    secret(
        e2e,
        namespace,
        file,
        json!({"password": wrong_password(e2e)}),
    )
    .await?;
    let kafka = given.sasl("SCRAM-SHA-512", "kafka-client", file);
    declare(e2e, namespace, &name, 1, &kafka).await?;
    says(e2e, namespace, &name, "KafkaAuthFailed", "uthentication").await?;
    secret(e2e, namespace, file, json!({"password": given.password})).await?;
    ready_untouched(e2e, namespace, &name).await
}

async fn a_wrong_authority(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file) = (format!("e2e.authority.{}", e2e.run), "authority");
    // A certificate, but none that signed the broker's.
    secret(e2e, namespace, file, json!({"ca.crt": given.certificate})).await?;
    let kafka = given.sasl("PLAIN", file, "kafka-client");
    declare(e2e, namespace, &name, 1, &kafka).await?;
    says(e2e, namespace, &name, "KafkaTlsFailed", "certificate").await?;
    // No certificate at all.
    secret(e2e, namespace, file, json!({"ca.crt": "no certificate"})).await?;
    says(e2e, namespace, &name, "KafkaTlsFailed", "PEM").await?;
    secret(e2e, namespace, file, json!({"ca.crt": given.ca})).await?;
    ready_untouched(e2e, namespace, &name).await
}

async fn an_unknown_host(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let name = format!("e2e.host.{}", e2e.run);
    let mut kafka = given.sasl("PLAIN", "kafka-client", "kafka-client");
    kafka["bootstrapServers"] = "nosuch.default.svc:9095".into();
    declare(e2e, namespace, &name, 1, &kafka).await?;
    says(
        e2e,
        namespace,
        &name,
        "KafkaUnreachable",
        "cannot be resolved",
    )
    .await?;
    kafka["bootstrapServers"] = SASL.into();
    declare(e2e, namespace, &name, 1, &kafka).await?;
    e2e.cluster.topic_is_ready(namespace, &name).await.map(drop)
}

async fn a_missing_secret(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file) = (format!("e2e.missing.{}", e2e.run), "missing");
    let kafka = given.sasl("SCRAM-SHA-256", "kafka-client", file);
    declare(e2e, namespace, &name, 1, &kafka).await?;
    says(e2e, namespace, &name, "SecretNotFound", file).await?;
    // The Secret, and not the key that is read by default.
    secret(e2e, namespace, file, json!({"other-key": given.password})).await?;
    says(e2e, namespace, &name, "SecretNotFound", "other-key").await?;
    secret(e2e, namespace, file, json!({"password": given.password})).await?;
    ready_untouched(e2e, namespace, &name).await
}

fn rotated(e2e: &E2e, which: &str) -> String {
    format!("{which}-password-of-{}", e2e.run)
}

async fn a_rotated_password(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file) = (format!("e2e.rotated.{}", e2e.run), "rotated");
    let user = format!("e2e-{}", e2e.run);
    let in_kafka = async |which: &str| {
        let password = rotated(e2e, which);
        e2e.cluster.scram_password(&user, &password).await
    };
    let in_secret = async |which: &str| {
        let data = json!({"password": rotated(e2e, which)});
        secret(e2e, namespace, file, data).await
    };
    let mut kafka = given.sasl("SCRAM-SHA-512", "kafka-client", file);
    kafka["sasl"]["username"] = user.as_str().into();

    in_kafka("first").await?;
    in_secret("first").await?;
    declare(e2e, namespace, &name, 1, &kafka).await?;
    e2e.cluster.topic_is_ready(namespace, &name).await?;

    in_kafka("second").await?;
    in_secret("second").await?;
    declare(e2e, namespace, &name, 2, &kafka).await?;
    e2e.cluster.topic_is_ready(namespace, &name).await?;

    // Kafka asks for a password only when a connection is made, so the old one might have served so far. A Secret that is
    // ahead of Kafka shows that it is what counts.
    in_secret("third").await?;
    says(e2e, namespace, &name, "KafkaAuthFailed", "uthentication").await?;
    in_kafka("third").await?;
    e2e.cluster.topic_is_ready(namespace, &name).await.map(drop)
}
