//! TelemetryConsumer on a Kafka that asks for TLS and a password or a client's certificate: the whole flow, and new credentials.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, OPERATOR, beside_others, eventually, logs_into, seconds};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::consumer_custom::IMAGE;
use crate::consumer_objects::uids;
use crate::secure::{Given, MUTUAL, secret};

#[tokio::test]
async fn metrics_and_logs_flow_over_tls_and_new_credentials_reach_the_pods() -> Result<()> {
    beside_others(async |e2e| {
        let given = Given::of(e2e).await?;
        let namespace = given.copied(e2e, "tls").await?;
        tokio::try_join!(
            metrics_by_certificate(e2e, &namespace),
            an_image_of_the_users(e2e, &namespace, &given),
            logs_through_a_rotation(e2e, &namespace, &given),
            a_new_authority(e2e, &namespace, &given),
            a_wrong_password(e2e, &namespace, &given),
        )?;
        let mut secrets = given.secrets();
        secrets.extend(["first", "second", "wrong"].map(|which| password(e2e, which)));
        nothing_shows(e2e, &namespace, &secrets).await
    })
    .await
}

fn password(e2e: &E2e, which: &str) -> String {
    format!("{which}-password-of-tls-{}", e2e.run)
}

/// None of the secrets is in anything that the operator or the pods have written.
pub async fn nothing_shows(e2e: &E2e, namespace: &str, secrets: &[String]) -> Result<()> {
    let kinds = "tcon,deployments,replicasets,configmaps,pods,events";
    let looks: [&[&str]; 3] = [
        &["get", kinds, "-n", namespace, "-o", "yaml"],
        &["logs", "-n", DEFAULT, "-l", OPERATOR, "--tail=-1"],
        &[
            "logs",
            "-n",
            namespace,
            "-l",
            "app.kubernetes.io/name=bt-consumer",
            "--tail=-1",
            "--prefix",
        ],
    ];
    e2e.cluster.shows_none_of(secrets, &looks).await
}

/// A certificate instead of a password, and series in Prometheus.
async fn metrics_by_certificate(e2e: &E2e, namespace: &str) -> Result<()> {
    let topic = e2e.topic(namespace, "tls.metrics", 2).await?;
    let kafka = json!({
        "bootstrapServers": MUTUAL,
        "tls": {"caSecretRef": {"name": "kafka-client"}, "clientCertSecretRef": {"name": "kafka-client"}},
    });
    let spec =
        json!({"topics": [topic], "kafka": kafka, "sink": {"prometheus": {}}, "replicas": 2});
    e2e.cluster
        .apply_consumer(namespace, "metrics", &spec)
        .await?;
    e2e.cluster
        .consumer_is_ready(namespace, "metrics", 2)
        .await?;
    let run = format!("tls-{}", e2e.run);
    let event = json!({
        "ts": 1_767_323_045_678_u64, "service": "e2e", "instance": run,
        "name": "e2e_tls_total", "kind": "counter", "value": 2, "labels": {"run": run},
    });
    let event = event.to_string().into_bytes();
    let records: Vec<_> = (0..500)
        .map(|number| (format!("e2e/{}", number % 64), event.clone()))
        .collect();
    e2e.kafka.produce_all(&topic, &records).await?;
    let query = format!("sum(e2e_tls_total{{run=\"{run}\"}})");
    eventually("the counter is in Prometheus", seconds(120), async || {
        let seen = e2e.prometheus.value(&query).await?;
        ensure!(seen == 1000.0, "{seen} of 1000");
        Ok(())
    })
    .await?;
    // The operator reads lag by the same credentials.
    eventually("the lag is known to be none", seconds(90), async || {
        let lag = e2e.cluster.consumer_status(namespace, "metrics").await?.lag;
        ensure!(
            lag.as_ref().is_some_and(|lag| lag.total == 0),
            "lag is {lag:?}"
        );
        Ok(())
    })
    .await
}

/// The example in Python finds the same credentials by its environment.
async fn an_image_of_the_users(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let name = "python";
    let topic = e2e.topic(namespace, "tls.python", 2).await?;
    let kafka = given.sasl("SCRAM-SHA-512", "kafka-client", "kafka-client");
    let custom = json!({"custom": {"image": IMAGE}});
    let spec = json!({"topics": [topic], "kafka": kafka, "sink": custom, "replicas": 1});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    e2e.kafka.produce_logs(&topic, &e2e.run, 100).await?;
    let group = format!("bt.{namespace}.{name}");
    eventually("all is committed", seconds(120), async || {
        let committed = e2e.kafka.committed(&group, &topic)?;
        let done: i64 = committed.values().flatten().sum();
        ensure!(done == 100, "{done} of 100: {committed:?}");
        Ok(())
    })
    .await
}

/// Waits until all pods are others than these, while so many are ready, with nobody touching the resource.
async fn rolled_by_itself(
    e2e: &E2e,
    namespace: &str,
    name: &str,
    replicas: i32,
    old: &BTreeSet<String>,
) -> Result<()> {
    let generation = e2e
        .cluster
        .consumer(namespace, name)
        .await?
        .metadata
        .generation;
    let what = format!("consumer {name} has new pods");
    eventually(&what, seconds(120), async || {
        let now = uids(e2e, namespace, name).await?;
        ensure!(now.is_disjoint(old), "some of the old ones are there");
        Ok(())
    })
    .await?;
    let consumer = e2e
        .cluster
        .consumer_is_ready(namespace, name, replicas)
        .await?;
    assert_eq!(consumer.metadata.generation, generation);
    Ok(())
}

async fn logs_through_a_rotation(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file, user) = ("logs", "tls-rotated", format!("e2e-tls-{}", e2e.run));
    let in_secret = async |which: &str| {
        let data = json!({"password": password(e2e, which)});
        secret(e2e, namespace, file, data).await
    };
    e2e.cluster
        .scram_password(&user, &password(e2e, "first"))
        .await?;
    in_secret("first").await?;
    let topic = e2e.topic(namespace, "tls.logs", 2).await?;
    let stream = format!("logs-bt-tls-{}", e2e.run);
    let mut kafka = given.sasl("SCRAM-SHA-512", "kafka-client", file);
    kafka["sasl"]["username"] = user.as_str().into();
    let spec =
        json!({"topics": [topic], "kafka": kafka, "sink": logs_into(&stream), "replicas": 2});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 2).await?;
    mounted(e2e, namespace, name).await?;

    let run = format!("tls-{}", e2e.run);
    let feed = e2e.kafka.feed(&topic, &run, 50);
    let old = uids(e2e, namespace, name).await?;
    // Connections that are open stay so; whoever connects from now on needs the new one.
    e2e.cluster
        .scram_password(&user, &password(e2e, "second"))
        .await?;
    in_secret("second").await?;
    rolled_by_itself(e2e, namespace, name, 2, &old).await?;
    let sent = feed.stop().await?;
    e2e.indexed_once(&stream, &run, sent, 120).await
}

/// Credentials are files from Secrets: neither in the environment nor in the configuration.
async fn mounted(e2e: &E2e, namespace: &str, name: &str) -> Result<()> {
    let deployment = format!("deployment/{name}");
    let deployment = e2e.cluster.object(namespace, &deployment).await?;
    let pod = &deployment["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_array();
    let mounts = mounts.context("no mounts")?;
    let volumes = pod["volumes"].as_array().context("no volumes")?;
    let mut files = BTreeSet::new();
    for mount in mounts {
        assert_eq!(mount["readOnly"], true, "{mount}");
        let directory = mount["mountPath"]
            .as_str()
            .context("a mount without a path")?;
        let of_mount = |volume: &&Value| volume["name"] == mount["name"];
        let volume = volumes.iter().find(of_mount);
        let sources = volume.context("a mount without a volume")?["projected"]["sources"].clone();
        for source in sources.as_array().into_iter().flatten() {
            let Some(secret) = source["secret"]["name"].as_str() else {
                continue;
            };
            for item in source["secret"]["items"].as_array().into_iter().flatten() {
                let file = item["path"].as_str().context("an item without a path")?;
                files.insert(format!("{secret}: {directory}/{file}"));
            }
        }
    }
    let wanted = [
        "kafka-client: /etc/bt-consumers/kafka/ca.crt",
        "tls-rotated: /etc/bt-consumers/kafka/password",
    ];
    assert_eq!(files, BTreeSet::from(wanted.map(str::to_owned)));
    // Until the brokers have told their ports, the way out is open.
    eventually("the listener's port is named", seconds(60), async || {
        let policy = format!("networkpolicy/{name}");
        let policy = e2e.cluster.object(namespace, &policy).await?;
        let rules = policy["spec"]["egress"].as_array().into_iter().flatten();
        let mut ports = rules.flat_map(|rule| rule["ports"].as_array().into_iter().flatten());
        ensure!(
            ports.any(|port| port["port"] == 9095),
            "out goes {}",
            policy["spec"]["egress"]
        );
        Ok(())
    })
    .await
}

async fn a_new_authority(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file) = ("authority", "tls-authority");
    secret(e2e, namespace, file, json!({"ca.crt": given.ca})).await?;
    let topic = e2e.topic(namespace, "tls.authority", 1).await?;
    let kafka = given.sasl("PLAIN", file, "kafka-client");
    let spec =
        json!({"topics": [topic], "kafka": kafka, "sink": {"prometheus": {}}, "replicas": 1});
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let old = uids(e2e, namespace, name).await?;
    // As while authorities change: the old one and another.
    let both = format!("{}\n{}", given.ca.trim_end(), given.certificate);
    secret(e2e, namespace, file, json!({"ca.crt": both})).await?;
    rolled_by_itself(e2e, namespace, name, 1, &old).await
}

/// A password that Kafka refuses is told in its words, and pods that were let in before go on.
async fn a_wrong_password(e2e: &E2e, namespace: &str, given: &Given) -> Result<()> {
    let (name, file) = ("password", "tls-password");
    let data = |password: &str| json!({"password": password});
    secret(e2e, namespace, file, data(&given.password)).await?;
    let topic = e2e.topic(namespace, "tls.password", 1).await?;
    let kafka = given.sasl("SCRAM-SHA-256", "kafka-client", file);
    let spec = json!({
        "topics": [topic], "kafka": kafka, "sink": {"prometheus": {}}, "replicas": 1, "progressDeadlineSeconds": 40,
    });
    e2e.cluster.apply_consumer(namespace, name, &spec).await?;
    e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    let old = uids(e2e, namespace, name).await?;

    secret(e2e, namespace, file, data(&password(e2e, "wrong"))).await?;
    let end = Instant::now() + seconds(150);
    loop {
        let consumer = e2e.cluster.consumer(namespace, name).await?;
        let status: Value = serde_json::to_value(&consumer.status)?;
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let said = conditions
            .filter(|condition| condition["type"] == "Progressing")
            .map(|condition| format!("{}: {}", condition["reason"], condition["message"]))
            .collect::<String>();
        if said.contains("RolledBack") && said.contains("uthentication") {
            break;
        }
        ensure!(
            uids(e2e, namespace, name).await?.is_superset(&old),
            "the pod that was let in is gone: {said}"
        );
        ensure!(
            Instant::now() < end,
            "after 150 s Progressing does not say that authentication failed: {said}"
        );
        sleep(seconds(1)).await;
    }
    // With the password that was good, the wanted revision is the one that runs.
    secret(e2e, namespace, file, data(&given.password)).await?;
    e2e.cluster
        .consumer_says(namespace, name, "Progressing", "False Settled", &[])
        .await?;
    eventually("the pod is the one of before", seconds(60), async || {
        let now = uids(e2e, namespace, name).await?;
        ensure!(now == old, "{now:?}, and it was {old:?}");
        Ok(())
    })
    .await
}
