//! Every query of every panel of the chart's dashboards has data, in the real Prometheus, under sample traffic.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::{E2e, eventually, ktopic, scenario, seconds, tcon};
use serde_json::{Value, json};

const DASHBOARDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/dashboards");

/// A query of a panel, as Grafana sends it.
#[derive(Debug)]
struct Query {
    panel: String,
    expr: String,
}

/// All queries, with Grafana's variables replaced: everything is selected, and the last minute is shown.
fn queries() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for file in std::fs::read_dir(DASHBOARDS)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        queries.extend(queries_of(&path).with_context(|| path.display().to_string())?);
    }
    Ok(queries)
}

fn queries_of(path: &Path) -> Result<Vec<Query>> {
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let variables = list(&dashboard["templating"]["list"]);
    let names = variables
        .iter()
        .filter_map(|variable| variable["name"].as_str());
    let mut replaced = vec![("$__rate_interval", "1m"), ("$__range", "1m")];
    let names: Vec<String> = names.map(|name| format!("${name}")).collect();
    replaced.extend(names.iter().map(|name| (name.as_str(), ".*")));
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let expr = target["expr"].as_str().context("a target without expr")?;
            let expr = replaced
                .iter()
                .fold(expr.to_owned(), |expr, (from, to)| expr.replace(from, to));
            ensure!(!expr.contains('$'), "a variable that nobody knows: {expr}");
            let (board, title) = (&dashboard["title"], &panel["title"]);
            queries.push(Query {
                panel: format!("{board} / {title}"),
                expr,
            });
        }
    }
    ensure!(!queries.is_empty(), "no panel has a query");
    Ok(queries)
}

/// What a system in good order does not have, and some panels show: things that are wrong, in a namespace of their own.
async fn trouble(e2e: &E2e, namespace: &str) -> Result<()> {
    let run = &e2e.run;
    let topic = |name: &str, more: &str| {
        let spec = format!(
            "{{topicName: e2e.{name}.{run}, partitions: 1, replicas: 1, deletionPolicy: Delete, {more}}}"
        );
        ktopic(name, &spec)
    };
    let nowhere = json!({"bootstrapServers": "nowhere.invalid:9092"});
    let lost = ktopic(
        "lost",
        &json!({"topicName": format!("e2e.lost.{run}"), "kafka": nowhere}).to_string(),
    );
    let topics = [
        topic("full", ""),
        topic("bad", "config: {retention.ms: soon}"),
        topic(
            "differs",
            "driftPolicy: Report, config: {retention.ms: 3600000}",
        ),
        lost,
    ];
    let of = |more: Value| {
        let mut spec = json!({"topics": [format!("e2e.full.{run}")], "sink": {"prometheus": {"maxSeries": 1}}});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        spec
    };
    let consumers = [
        tcon("full", &of(json!({"replicas": 1}))),
        tcon("away", &of(json!({"replicas": 0, "kafka": nowhere}))),
    ];
    e2e.cluster
        .apply(namespace, &(topics.concat() + &consumers.concat()))
        .await?;
    e2e.cluster.topic_is_ready(namespace, "differs").await?;
    let other = json!({"spec": {"config": {"retention.ms": 7_200_000}}});
    e2e.cluster.patch_topic(namespace, "differs", other).await?;
    e2e.cluster.consumer_is_ready(namespace, "full", 1).await?;
    let counter = |name: &str| {
        let event = json!({"ts": 1_767_323_045_678_u64, "service": run, "name": name, "kind": "counter", "value": 2, "labels": {"reason": "queue_full"}});
        event.to_string().into_bytes()
    };
    let full = format!("e2e.full.{run}");
    for at in 0..5 {
        let event = counter(&format!("e2e_{at}_total"));
        e2e.kafka.produce(&full, "a/b", Some(&event)).await?;
    }
    e2e.kafka.produce(&full, "a/b", Some(b"no event")).await?;
    let dropped = counter("bt_sdk_events_dropped_total");
    let sent = e2e
        .kafka
        .produce("metrics.events", "a/b", Some(&dropped))
        .await;
    sent.map(drop)
}

#[tokio::test]
async fn every_panel_has_data() -> Result<()> {
    scenario(async |e2e| {
        let namespace = e2e.namespace("dashboards").await?;
        let mut waiting = queries()?;
        let all = waiting.len();
        // Long enough for all that follows.
        let _traffic = e2e.traffic.sample(6_000, 120)?;
        trouble(e2e, &namespace).await?;
        eventually(
            &format!("{all} queries have data"),
            seconds(90),
            async || {
                let mut empty = Vec::new();
                for query in waiting.drain(..) {
                    let samples = e2e
                        .prometheus
                        .query(&query.expr)
                        .await
                        .with_context(|| query.panel.clone())?;
                    if !samples.iter().any(|sample| sample.value.is_finite()) {
                        empty.push(query);
                    }
                }
                waiting = empty;
                ensure!(waiting.is_empty(), "no data: {waiting:#?}");
                Ok(())
            },
        )
        .await
    })
    .await
}
