//! Every kind of trouble that the chart has an alert for, made for real: the alert fires, and says what and where.

use anyhow::{Context, Result, ensure};
use e2e::{DEFAULT, E2e, OwnPrometheus, eventually, ktopic, scenario, seconds, tcon};
use reqwest::Method;
use serde_json::{Value, json};

/// The chart's own expressions, with thresholds and times of a test.
const SETTINGS: &str = "prometheus.scrapeInterval=1s,\
    alerts.rules.BtConsumerLagGrowing.for=0s,alerts.rules.BtConsumerLagGrowing.records=20,alerts.rules.BtConsumerLagGrowing.window=15s,\
    alerts.rules.BtConsumerStuck.for=0s,alerts.rules.BtConsumerStuck.window=15s,\
    alerts.rules.BtEventsNotFresh.for=0s,alerts.rules.BtConsumerNotReady.for=0s,alerts.rules.BtSinkNotReady.for=0s,\
    alerts.rules.BtSinkRejecting.documents=2,alerts.rules.BtTopicNotInSync.for=0s,alerts.rules.BtScrapeTargetDown.for=0s,\
    alerts.rules.BtServiceDown.for=0s";

/// An alert that is to fire: its name, labels, and words of its description.
type Wanted<'w> = (&'w str, &'w [(&'w str, &'w str)], &'w str);

/// What is made in the test's namespace: consumers that are in trouble, or will be.
async fn install(e2e: &E2e, namespace: &str) -> Result<()> {
    let run = &e2e.run;
    let topic = |name: &str| {
        ktopic(
            &format!("e2e.{name}.{run}"),
            "{partitions: 1, replicas: 1, deletionPolicy: Delete}",
        )
    };
    let topics = ["waiting", "metrics", "logs"].map(topic).concat();
    let bad = ktopic(
        "bad",
        &format!("{{topicName: e2e.bad.{run}, config: {{retention.ms: soon}}}}"),
    );
    let of = |topic: &str, replicas: u8, sink: Value| json!({"topics": [format!("e2e.{topic}.{run}")], "replicas": replicas, "sink": sink});
    let nowhere = json!({"elasticsearch": {"urls": ["http://nowhere.invalid:9200"]}});
    let stream =
        json!({"dataStream": format!("logs-bt-strict{run}"), "template": {"manage": false}});
    let consumers = [
        // Nobody carries its records.
        tcon("nobody", &of("waiting", 0, json!({"prometheus": {}}))),
        tcon("nowhere", &of("waiting", 1, nowhere)),
        tcon(
            "metrics",
            &of("metrics", 1, json!({"prometheus": {"maxSeries": 4}})),
        ),
        tcon("logs", &of("logs", 1, json!({"elasticsearch": stream}))),
    ];
    e2e.cluster
        .apply(
            namespace,
            &[topics, bad, consumers.concat(), silent_pod(e2e).await?].concat(),
        )
        .await?;
    Ok(())
}

/// A pod that looks like a consumer's and does not answer.
async fn silent_pod(e2e: &E2e) -> Result<String> {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let args = [
        "get",
        "deployment",
        "bt-operator",
        "-n",
        DEFAULT,
        "-o",
        path,
    ];
    let image = e2e.cluster.kubectl(&args).await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "silent", "labels": {"app.kubernetes.io/name": "bt-consumer", "monitoring.bt.dev/consumer": "silent"}},
        "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false, "containers": [{
            "name": "consumer", "image": image, "command": ["sleep", "600"], "ports": [{"name": "http", "containerPort": 8080}],
        }]},
    });
    Ok(format!("---\n{pod}\n"))
}

/// An engine's template that refuses every document of the stream.
async fn strict_template(e2e: &E2e) -> Result<()> {
    let template = json!({
        "index_patterns": [format!("logs-bt-strict{}", e2e.run)], "data_stream": {}, "priority": 900,
        "template": {
            "settings": {"number_of_replicas": 0},
            "mappings": {"dynamic": "strict", "properties": {"@timestamp": {"type": "date"}}},
        },
    });
    let path = format!("/_index_template/e2e-{}", e2e.run);
    e2e.search
        .call(Method::PUT, &path, &template)
        .await
        .map(drop)
}

/// Sends events of this run's service to one of its topics.
async fn send(e2e: &E2e, topic: &str, events: impl IntoIterator<Item = Value>) -> Result<()> {
    let topic = format!("e2e.{topic}.{}", e2e.run);
    for mut event in events {
        event["service"] = json!(e2e.run);
        event["instance"] = json!("1");
        let bytes = event.to_string().into_bytes();
        e2e.kafka.produce(&topic, "service/1", Some(&bytes)).await?;
    }
    Ok(())
}

fn now() -> Value {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    json!(since.map_or(0, |since| since.as_millis() as u64))
}

fn health(status: &str) -> Value {
    json!({"ts": now(), "status": status})
}

fn counter(name: &str, ts: Value) -> Value {
    json!({"ts": ts, "name": name, "kind": "counter", "value": 3, "labels": {"reason": "queue_full"}})
}

#[tokio::test]
async fn every_alert_fires_when_it_is_so_and_names_what_and_where() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("alerts").await?;
        strict_template(e2e).await?;
        let name = format!("e2e-alerts-{}", e2e.run);
        let (started, installed) = tokio::join!(
            OwnPrometheus::start(&e2e.cluster, &name, SETTINGS),
            install(e2e, &namespace)
        );
        let prometheus = started?;
        let outcome = match installed {
            Ok(()) => trouble(e2e, &namespace, &prometheus).await,
            Err(error) => Err(error),
        };
        prometheus.stop().await?;
        let template = format!("/_index_template/e2e-{}", e2e.run);
        let stream = format!("/_data_stream/logs-bt-strict{}", e2e.run);
        for path in [stream, template] {
            e2e.search
                .call(Method::DELETE, &path, &Value::Null)
                .await
                .ok();
        }
        outcome
    })
    .await
}

async fn trouble(e2e: &E2e, namespace: &str, prometheus: &OwnPrometheus<'_>) -> Result<()> {
    let run = e2e.run.as_str();
    let of_service = [("service", run)];
    let consumer = |name: &'static str| [("namespace", namespace), ("consumer", name)];
    for name in ["metrics", "logs"] {
        e2e.cluster.consumer_is_ready(namespace, name, 1).await?;
    }
    send(e2e, "waiting", (0..25).map(|_| health("up"))).await?;
    send(e2e, "metrics", [health("up")]).await?;
    let health_is_there = format!("service_instance:bt_service_health:min{{service=\"{run}\"}}");
    eventually("the service is up", seconds(60), async || {
        let found = e2e.prometheus.query(&health_is_there).await?;
        ensure!(
            found.iter().any(|sample| sample.value == 1.0),
            "the stack's Prometheus has {found:?}"
        );
        Ok(())
    })
    .await?;
    let lag = format!(
        "bt_operator_consumer_lag_records{{namespace=\"{namespace}\",consumer=\"nobody\"}}"
    );
    eventually("the operator sees the lag", seconds(60), async || {
        let lag = e2e.prometheus.value(&format!("max({lag})")).await?;
        ensure!(lag == 25.0, "it is {lag}");
        Ok(())
    })
    .await?;
    let early = prometheus.alerts().await?;
    for (name, labels) in [
        ("BtServiceDown", &of_service[..]),
        ("BtServiceDropsEvents", &of_service),
        ("BtEventsNotFresh", &consumer("metrics")),
        ("BtDeadLetters", &consumer("metrics")),
        ("BtSeriesRefused", &consumer("metrics")),
        ("BtSinkRejecting", &consumer("logs")),
    ] {
        let is = early.iter().find(|alert| alert.is(name, labels));
        ensure!(is.is_none(), "there was no reason yet: {is:?}");
    }

    // Events two hours old, beyond the largest bucket of ages; a service that drops events; more series than there is room for; one that is no event at all.
    send(e2e, "metrics", [health("down")]).await?;
    send(
        e2e,
        "metrics",
        [counter("bt_sdk_events_dropped_total", now())],
    )
    .await?;
    let hours_ago = json!(now().as_u64().unwrap_or_default() - 7_200_000);
    let old = (0..20).map(|at| counter(&format!("e2e_{at}_total"), hours_ago.clone()));
    send(e2e, "metrics", old).await?;
    send(e2e, "metrics", [counter("e2e_0_total", hours_ago.clone())]).await?;
    let metrics = format!("e2e.metrics.{run}");
    e2e.kafka
        .produce(&metrics, "service/1", Some(b"no event"))
        .await?;
    let line =
        |number: u32| json!({"ts": now(), "level": "info", "message": format!("line {number}")});
    send(e2e, "logs", (0..5).map(line)).await?;
    send(e2e, "waiting", (0..50).map(|_| health("up"))).await?;

    let silent = [
        ("namespace", namespace),
        ("pod", "silent"),
        ("job", "bt-consumers"),
    ];
    let topic = [("namespace", namespace), ("topic", "bad")];
    let wanted: [Wanted<'_>; 13] = [
        ("BtTopicNotInSync", &topic, "reason InvalidConfig"),
        ("BtScrapeTargetDown", &silent, "does not answer"),
        ("BtServiceDown", &of_service, "says of itself"),
        ("BtServiceDropsEvents", &of_service, "3 events"),
        ("BtDeadLetters", &consumer("metrics"), "1 events"),
        ("BtSeriesRefused", &consumer("metrics"), "maxSeries"),
        ("BtEventsNotFresh", &consumer("metrics"), "1h 0m 0s"),
        ("BtSinkRejecting", &consumer("logs"), "documents"),
        ("BtDeadLetters", &consumer("logs"), "rejected_by_sink"),
        ("BtConsumerLagGrowing", &consumer("nobody"), "75 records"),
        ("BtConsumerStuck", &consumer("nobody"), "records wait"),
        ("BtSinkNotReady", &consumer("nowhere"), "reason Unreachable"),
        (
            "BtConsumerNotReady",
            &consumer("nowhere"),
            "says Ready=False",
        ),
    ];
    // Some fire for a short time only: all are looked for at once.
    let mut waiting = wanted.to_vec();
    eventually("all of them fire", seconds(90), async || {
        let alerts = prometheus.alerts().await?;
        let fires = |(name, labels, words): &Wanted<'_>| {
            let mut found = alerts.iter().filter(|alert| alert.is(name, labels));
            found.any(|alert| {
                let runbook = format!("#{}", name.to_lowercase());
                alert.state == "firing"
                    && alert.labels.contains_key("severity")
                    && alert.annotations["description"].contains(words)
                    && alert.annotations["runbook_url"].ends_with(&runbook)
            })
        };
        waiting.retain(|wanted| !fires(wanted));
        let others = alerts.iter().map(|alert| {
            let name = alert.labels.get("alertname");
            (name, &alert.state, &alert.annotations["description"])
        });
        ensure!(
            waiting.is_empty(),
            "not yet: {waiting:#?}; there are: {:#?}",
            others.collect::<Vec<_>>()
        );
        Ok(())
    })
    .await?;

    // What is put right is over.
    send(e2e, "metrics", [health("up")]).await?;
    e2e.cluster.delete_topic(namespace, "bad").await?;
    e2e.cluster
        .kubectl(&["scale", "tcon/nobody", "-n", namespace, "--replicas=1"])
        .await?;
    prometheus.is_over("BtServiceDown", &of_service, 30).await?;
    prometheus.is_over("BtTopicNotInSync", &topic, 30).await?;
    prometheus
        .is_over("BtConsumerStuck", &consumer("nobody"), 60)
        .await?;

    let rules = prometheus.rules().await?;
    for rule in &rules {
        ensure!(rule["health"] == "ok", "a rule that fails: {rule}");
    }
    let stack = e2e
        .prometheus
        .value("count(prometheus_rule_group_rules)")
        .await
        .context("the stack's Prometheus")?;
    ensure!(stack >= 3.0, "the stack's Prometheus has {stack} groups");
    Ok(())
}
