//! From the SDK to both sinks: exactly what was sent.

use anyhow::{Context, Result, ensure};
use e2e::{E2e, eventually, exactly_once, scenario, seconds};
use serde_json::{Value, json};

const LOGS: &str = "logs-bt-default";
const EVENTS: &str = "events-bt-default";

#[tokio::test]
async fn ten_thousand_metrics_and_logs_arrive_exactly() -> Result<()> {
    scenario(async |e2e| {
        let run = format!("flow-{}", e2e.run);
        let sent = e2e.traffic.burst(&run, 10_000, 10_000).await?;
        ensure!(
            sent.logs == 10_000 && sent.sent == 20_001,
            "the SDK did not take everything: {sent:?}"
        );

        let sum = format!("sum(e2e_total{{run=\"{run}\"}})");
        let exact = async || {
            let seen = e2e.prometheus.value(&sum).await?;
            ensure!(
                seen == sent.increments as f64,
                "Prometheus has {seen} of {}",
                sent.increments
            );
            Ok(())
        };
        eventually("the counters' sum is in Prometheus", seconds(60), exact).await?;
        eventually("the logs are in the index", seconds(60), async || {
            let count = e2e.search.count(LOGS, &run).await?;
            ensure!(count >= sent.logs, "{count} of {}", sent.logs);
            Ok(())
        })
        .await?;
        let documents = e2e.search.documents(LOGS, &run).await?;
        exactly_once(&documents, sent.logs)?;
        check_document(&documents, &run)?;

        next_scrape(e2e).await?;
        exact().await.context("after another scrape")?;
        check_series(e2e, &run).await?;
        check_health(e2e, &run).await
    })
    .await
}

/// Line 99 of the traffic: an error with everything that a log can have.
fn check_document(documents: &[Value], run: &str) -> Result<()> {
    let found = documents
        .iter()
        .find(|document| document["message"] == "line 99");
    let document = found.context("line 99 is not there")?;
    let expected = json!({
        "message": "line 99",
        "log": {"level": "error", "logger": "e2e.http"},
        "service": {"name": "e2e", "node": {"name": run}},
        "trace": {"id": format!("{:032x}", 99)},
        "span": {"id": format!("{:016x}", 99)},
        "error": {"type": "TimeoutError", "message": "too late", "stack_trace": "at line 1"},
        "labels": {"colour": "grün"},
    });
    contains(document, &expected).with_context(|| format!("in {document}"))?;
    let time = document["@timestamp"].as_str().context("no @timestamp")?;
    ensure!(
        time.starts_with("20") && time.contains('T'),
        "@timestamp is {time}"
    );
    let id = document["event"]["id"].as_str().context("no event.id")?;
    ensure!(id.len() == 36, "event.id is {id}");
    Ok(())
}

/// Whether every field of `expected` is in `document`.
fn contains(document: &Value, expected: &Value) -> Result<()> {
    let Some(fields) = expected.as_object() else {
        ensure!(
            document == expected,
            "expected {expected}, found {document}"
        );
        return Ok(());
    };
    for (name, value) in fields {
        contains(&document[name], value).with_context(|| format!("field {name}"))?;
    }
    Ok(())
}

/// Waits until both kinds of pods of the consumer `metrics` have been scraped again.
async fn next_scrape(e2e: &E2e) -> Result<()> {
    let last = "min(timestamp(up{job=\"bt-metrics\"}))";
    let before = e2e.prometheus.value(last).await?;
    eventually("Prometheus has scraped again", seconds(60), async || {
        let now = e2e.prometheus.value(last).await?;
        ensure!(now > before, "the last scrape is still that of {before}");
        Ok(())
    })
    .await
}

/// A series has its event's labels and its source, and nothing of the pod that shows it.
async fn check_series(e2e: &E2e, run: &str) -> Result<()> {
    let series = e2e
        .prometheus
        .query(&format!("e2e_total{{run=\"{run}\"}}"))
        .await?;
    assert_eq!(series.len(), 7, "one series for each lane: {series:?}");
    for sample in series {
        let source = sample
            .labels
            .get("source")
            .map(String::as_str)
            .unwrap_or_default();
        ensure!(
            source.starts_with("metrics.events/"),
            "source is {source:?}"
        );
        assert_eq!(
            sample.labels.get("service").map(String::as_str),
            Some("e2e")
        );
        assert_eq!(sample.labels.get("instance").map(String::as_str), Some(run));
        ensure!(
            !sample.labels.contains_key("pod"),
            "the pod's label is there: {sample:?}"
        );
    }
    Ok(())
}

/// Health events are a gauge for each check, and one for the service.
async fn check_health(e2e: &E2e, run: &str) -> Result<()> {
    let query = format!("bt_service_health{{service=\"e2e\",instance=\"{run}\"}}");
    eventually("the health is in Prometheus", seconds(30), async || {
        let samples = e2e.prometheus.query(&query).await?;
        let mut values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        ensure!(
            values == [0.0, 0.5, 1.0],
            "cache down, service degraded, database up: {samples:?}"
        );
        let of = |check: &str| {
            let is = |sample: &&e2e::Sample| {
                sample.labels.get("check").is_some_and(|name| name == check)
            };
            samples.iter().find(is).map(|sample| sample.value)
        };
        ensure!(
            (of("database"), of("cache")) == (Some(1.0), Some(0.0)),
            "{samples:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn business_events_become_documents_of_their_service() -> Result<()> {
    scenario(async |e2e| {
        let run = format!("business-{}", e2e.run);
        for (service, number) in [("order", 1), ("customer", 2), ("employee", 3), ("driver", 4)] {
            let event = json!({
                "ts": "2026-01-02T03:04:05.678Z", "service": service, "instance": run, "id": format!("{run}-{number}"),
                "type": format!("{service}.created"), "payload": {"number": number, "nested": {"text": "größer"}},
            });
            let bytes = serde_json::to_vec(&event)?;
            // Sent twice, as a service does that did not see the first one's acknowledgement.
            for _ in 0..2 {
                e2e.kafka.produce(&format!("{service}.events"), service, Some(&bytes)).await?;
            }
        }
        eventually("the four events are documents", seconds(60), async || {
            let count = e2e.search.count(EVENTS, &run).await?;
            ensure!(count >= 4, "{count} of 4");
            Ok(())
        })
        .await?;
        eventually("consumer events has no lag", seconds(60), async || {
            let status = e2e.cluster.consumer(e2e::DEFAULT, "events").await?.status;
            let lag = status.and_then(|status| status.lag);
            ensure!(lag.as_ref().is_some_and(|lag| lag.total == 0), "lag is {lag:?}");
            Ok(())
        })
        .await?;
        let documents = e2e.search.documents(EVENTS, &run).await?;
        assert_eq!(documents.len(), 4, "each once: {documents:?}");
        for document in documents {
            let service = document["service"]["name"].as_str().context("no service.name")?;
            ensure!(document["event"]["action"] == format!("{service}.created"), "event.action: {document}");
            let time = document["@timestamp"].as_str().context("no @timestamp")?;
            ensure!(time.starts_with("2026-01-02T03:04:05.678"), "the event's own time: {document}");
        }
        Ok(())
    })
    .await
}
