//! TelemetryConsumer with an image of the user's own: the example in examples/python-consumer.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use e2e::{E2e, beside_others, eventually, seconds};
use kube::ResourceExt;
use serde_json::{Value, json};

/// The example's image, as dev/example-images.sh names it.
pub const IMAGE: &str = "bt-monitoring/python-consumer:0.1.0";

const EVENTS: u64 = 500;

#[tokio::test]
async fn the_example_in_python_handles_every_record_through_rescales() -> Result<()> {
    beside_others(async |e2e| {
        let (name, namespace) = ("archive", e2e.namespace("custom").await?);
        // The example is written for the strictest of Kubernetes' three levels.
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        e2e.cluster
            .kubectl(&["label", "namespace", &namespace, enforce])
            .await?;
        let topic = e2e.topic(&namespace, "custom", 3).await?;
        let env = json!([{"name": "GREETING", "value": "$(KAFKA_GROUP_ID) reads $(KAFKA_TOPICS)"}]);
        let spec = json!({
            "topics": [topic], "replicas": 1,
            "sink": {"custom": {"image": IMAGE, "env": env, "metricsPort": 9100}},
        });
        e2e.cluster.apply_consumer(&namespace, name, &spec).await?;
        e2e.cluster.consumer_is_ready(&namespace, name, 1).await?;
        the_environment(e2e, &namespace, name, &topic).await?;

        let run = format!("custom-{}", e2e.run);
        let feed = e2e.kafka.feed(&topic, &run, 40);
        // What a pod that goes has handled is in its log, which goes with it: each is looked at while it is there.
        let mut handled = Handled::new();
        e2e.kafka
            .produce_logs(&topic, &format!("{run}-burst"), EVENTS)
            .await?;
        let scale = async |replicas: i32| {
            let to = format!("--replicas={replicas}");
            let args = ["scale", "tcon/archive", "-n", &namespace, &to];
            e2e.cluster.kubectl(&args).await?;
            e2e.cluster
                .consumer_is_ready(&namespace, name, replicas)
                .await
        };
        scale(3).await?;
        eventually(
            "the three pods share the partitions",
            seconds(120),
            async || {
                let members = e2e.kafka.members(&format!("bt.{namespace}.{name}"))?;
                ensure!(
                    members.len() == 3 && members.iter().all(|member| member.partitions == 1),
                    "the group has {members:?}"
                );
                Ok(())
            },
        )
        .await?;
        let sent = feed.stop().await?;
        let total = sent + EVENTS;
        eventually("every record is handled", seconds(120), async || {
            look_at_logs(e2e, &namespace, name, &mut handled).await?;
            let done = once(&handled)?;
            ensure!(done == total, "{done} of {total}");
            Ok(())
        })
        .await?;
        e2e.cluster.has_no_lag(&namespace, name).await?;

        // Stopped in order, a pod commits what it has done: nothing comes twice.
        e2e.kafka
            .produce_logs(&topic, &format!("{run}-more"), EVENTS)
            .await?;
        scale(1).await?;
        let total = total + EVENTS;
        let group = format!("bt.{namespace}.{name}");
        eventually("every record is committed", seconds(120), async || {
            let committed = e2e.kafka.committed(&group, &topic)?;
            let done: i64 = committed.values().flatten().sum();
            ensure!(done as u64 == total, "of {total} {committed:?} are");
            Ok(())
        })
        .await?;
        e2e.cluster.has_no_lag(&namespace, name).await?;
        look_at_logs(e2e, &namespace, name, &mut handled).await?;
        once(&handled)?;
        its_metrics(e2e, &namespace, name).await
    })
    .await
}

/// What the contract promises to a container of the user's.
async fn the_environment(e2e: &E2e, namespace: &str, name: &str, topic: &str) -> Result<()> {
    let deployment = format!("deployment/{name}");
    let deployment = e2e.cluster.object(namespace, &deployment).await?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "consumer");
    let entries = container["env"].as_array().context("no environment")?;
    let value = |key: &str| {
        let entry = entries.iter().find(|entry| entry["name"] == key);
        entry.map_or(Value::Null, |entry| entry["value"].clone())
    };
    for (key, expected) in [
        ("KAFKA_TOPICS", topic.to_owned()),
        ("KAFKA_GROUP_ID", format!("bt.{namespace}.{name}")),
        ("KAFKA_AUTO_OFFSET_RESET", "earliest".to_owned()),
        ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT".to_owned()),
    ] {
        assert_eq!(value(key), expected, "{key}");
    }
    let bootstrap = value("KAFKA_BOOTSTRAP");
    let bootstrap = bootstrap.as_str().context("no KAFKA_BOOTSTRAP")?;
    ensure!(
        bootstrap.contains(":9092"),
        "KAFKA_BOOTSTRAP is {bootstrap}"
    );
    let last = entries.last().context("no environment")?;
    assert_eq!(
        last["name"], "GREETING",
        "the user's own comes last, so that it may refer to the rest"
    );
    Ok(())
}

/// What pods have handled, by pod: `topic/partition/offset` of each record. Pods that are gone stay in it.
type Handled = BTreeMap<String, Vec<String>>;

/// Takes in what the logs of the pods that are there now say.
async fn look_at_logs(e2e: &E2e, namespace: &str, name: &str, handled: &mut Handled) -> Result<()> {
    for pod in e2e.cluster.consumer_pods(namespace, name).await? {
        let pod = pod.name_any();
        let args = ["logs", &pod, "-n", namespace, "-c", "consumer", "--tail=-1"];
        let log = e2e.cluster.kubectl(&args).await?;
        let records = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|record| record["offset"].is_i64());
        let place = |record: Value| {
            format!(
                "{}/{}/{}",
                record["topic"], record["partition"], record["offset"]
            )
        };
        handled.insert(pod, records.map(place).collect());
    }
    Ok(())
}

/// The number of records that were handled, each once.
///
/// # Errors
/// When one was handled more than once.
fn once(handled: &Handled) -> Result<u64> {
    let mut places = BTreeSet::new();
    let all = handled.values().flatten();
    let twice: Vec<_> = all.filter(|place| !places.insert(*place)).collect();
    ensure!(
        twice.is_empty(),
        "{} records were handled more than once: {:?}…",
        twice.len(),
        &twice[..twice.len().min(10)]
    );
    Ok(places.len() as u64)
}

/// The port of `/metrics` is on the pod, in the Service and answers.
async fn its_metrics(e2e: &E2e, namespace: &str, name: &str) -> Result<()> {
    let service = format!("service/{name}");
    let service = e2e.cluster.object(namespace, &service).await?;
    assert_eq!(service["spec"]["ports"][0]["name"], "metrics");
    assert_eq!(service["spec"]["ports"][0]["port"], 9100);
    let pods = e2e.cluster.consumer_pods(namespace, name).await?;
    let pod = pods.first().context("no pod")?.name_any();
    let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}:9100/proxy/metrics");
    let page = e2e.cluster.kubectl(&["get", "--raw", &url]).await?;
    let has = page
        .lines()
        .any(|line| line.starts_with("consumer_records_total{"));
    ensure!(has, "no consumer_records_total in {page}");
    Ok(())
}
