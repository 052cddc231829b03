use serde_json::{Value, json};

use super::*;
use crate::plugin::text::{Style, WIDTH};

const NOW: &str = "2026-11-30T20:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
        "lastTransitionTime": "2026-11-30T19:55:00Z"})
}

fn resource<K: serde::de::DeserializeOwned>(
    kind: &str,
    name: &str,
    spec: Value,
    status: Value,
) -> K {
    serde_json::from_value(json!({
        "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "generation": 1, "creationTimestamp": "2026-11-30T18:00:00Z"},
        "spec": spec, "status": status,
    }))
    .expect("a resource")
}

fn topic(name: &str, reason: &str, drift: Option<&str>) -> KafkaTopic {
    let ready = crate::plugin::advice::of_topic(reason).level == Level::Fine;
    let status = if ready { "True" } else { "False" };
    resource(
        "KafkaTopic",
        name,
        json!({"topicName": name.replace('-', ".")}),
        json!({
            "observedGeneration": 1, "topicName": name.replace('-', "."), "partitions": 3, "replicas": 1, "driftSummary": drift,
            "conditions": [condition("Ready", status, reason, "Kafka's own words")],
        }),
    )
}

fn consumer(name: &str, conditions: Vec<Value>, lag: Option<i64>, rate: f64) -> TelemetryConsumer {
    resource(
        "TelemetryConsumer",
        name,
        json!({"topics": ["a"], "sink": {"elasticsearch": {}}}),
        json!({
            "observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "desiredReplicas": 2, "consumeRate": rate,
            "lag": lag.map(|total| json!({"total": total})), "drainEta": "2m", "conditions": conditions,
        }),
    )
}

fn running() -> Vec<Value> {
    vec![
        condition("Ready", "True", "Running", ""),
        condition("SinkReady", "True", "Ready", ""),
    ]
}

fn screen(
    topics: &[KafkaTopic],
    consumers: &[TelemetryConsumer],
    history: &Result<Histories, String>,
) -> String {
    let mut snapshot = Snapshot::of(topics, consumers, history, now());
    snapshot.context = "kind-test".into();
    snapshot.namespace = Some("shop".into());
    screen::render(&snapshot, Style::new(false))
}

#[test]
fn what_is_well_is_one_quiet_screen() {
    let end = now().as_second() as f64;
    let points = (0..20)
        .map(|i| (end - 90.0 * f64::from(19 - i), f64::from(i % 8)))
        .collect();
    let history = Ok(Histories::from([(
        ("shop".to_owned(), "logs".to_owned()),
        points,
    )]));
    let shown = screen(
        &[topic("logs-events", "Synced", None)],
        &[consumer("logs", running(), Some(12_345), 250.4)],
        &history,
    );
    assert_eq!(
        shown,
        "namespace shop, context kind-test  2026-11-30 20:00:00 UTC\n\n\
         TOPICS  1 of 1 ready\n  TOPIC        PARTITIONS  REPLICAS  STATE   DRIFT\n  logs.events           3         1  Synced  -\n\n\
         CONSUMERS  1 of 1 ready\n  NAME  SINK           PODS     LAG  LAST 30 MIN           RATE/S  ETA  STATE\n  \
         logs  elasticsearch   1/2  12 345  ▁▂▃▄▅▆▇█▁▂▃▄▅▆▇█▁▂▃▄     250   2m  Running\n\n\
         Nothing is wrong.\n"
    );
}

#[test]
fn what_is_wrong_comes_with_advice_the_worst_first() {
    let refused = "http://search:9200: connection refused ".repeat(6);
    let broken = vec![
        condition("Ready", "False", "SinkNotReady", &refused),
        condition("SinkReady", "False", "Unreachable", &refused),
        condition(
            "ScalingActive",
            "Unknown",
            "LagUnknown",
            "Kafka could not be asked",
        ),
    ];
    let topics = [
        topic("a-b", "Synced", Some("retention.ms")),
        topic("c-d", "KafkaUnreachable", None),
    ];
    let shown = screen(
        &topics,
        &[consumer("logs", broken, None, 0.0)],
        &Err("no service prometheus".into()),
    );
    let heads: Vec<_> = shown
        .lines()
        .filter(|l| l.starts_with("  ✗") || l.starts_with("  !"))
        .collect();
    assert_eq!(
        heads,
        [
            "  ✗ topic c-d: Ready KafkaUnreachable, for 5m",
            "  ✗ consumer logs: SinkReady Unreachable, for 5m",
            "  ! topic a-b: Drift",
            "  ! consumer logs: ScalingActive LagUnknown, for 5m",
        ],
        "{shown}"
    );
    assert_eq!(shown.matches("→ ").count(), 4, "{shown}");
    assert!(
        shown.contains("unknown") && shown.contains("no history of lag: no service prometheus"),
        "{shown}"
    );
    assert!(
        shown.lines().all(|line| line.chars().count() <= WIDTH),
        "{shown}"
    );
}

#[test]
fn many_topics_do_not_push_the_rest_off_the_screen() {
    let mut topics: Vec<_> = (0..40)
        .map(|i| topic(&format!("t-{i}"), "Synced", None))
        .collect();
    topics.push(topic("bad-one", "InvalidConfig", None));
    let shown = screen(&topics, &[], &Ok(Histories::new()));
    assert!(
        shown.contains("40 of 41 ready") && shown.contains("40 more are as wanted"),
        "{shown}"
    );
    assert!(
        shown.contains("bad.one")
            && !shown.contains("t.7")
            && shown.contains("CONSUMERS  none here"),
        "{shown}"
    );
}

#[test]
fn each_state_of_a_consumer_is_told_once_and_where_it_is_told_best() {
    let what = |conditions: Vec<Value>, lag, rate| -> Vec<String> {
        let consumer = consumer("logs", conditions, lag, rate);
        problems::of_consumer(&consumer, now())
            .into_iter()
            .map(|p| p.what)
            .collect()
    };
    let c = |kind: &str, status: &str, reason: &str| condition(kind, status, reason, "words");
    for (conditions, expected) in [
        (running(), vec![]),
        (
            vec![
                c("Ready", "True", "ScaledToZero"),
                c("SinkReady", "Unknown", "NoPods"),
            ],
            vec!["Ready ScaledToZero"],
        ),
        (
            vec![
                c("Ready", "False", "ConfigInvalid"),
                c("ConfigValid", "False", "Invalid"),
            ],
            vec!["Ready ConfigInvalid"],
        ),
        (
            vec![
                c("Ready", "False", "RollingOut"),
                c("Progressing", "True", "RollingOut"),
                c("ScalingActive", "False", "RollingOut"),
            ],
            vec!["Ready RollingOut"],
        ),
        (
            vec![
                c("Ready", "True", "Running"),
                c("Progressing", "False", "RolledBack"),
            ],
            vec!["Progressing RolledBack"],
        ),
        (
            vec![
                c("Ready", "False", "PodsFailing"),
                c("Progressing", "False", "ProgressDeadlineExceeded"),
            ],
            vec!["Ready PodsFailing"],
        ),
        (
            vec![
                c("Ready", "Unknown", "Paused"),
                c("ScalingActive", "Unknown", "LagUnknown"),
            ],
            vec!["Ready Paused"],
        ),
        (vec![], vec!["NotSeenYet"]),
    ] {
        assert_eq!(what(conditions, Some(0), 0.0), expected);
    }
    assert_eq!(what(running(), Some(5), 0.0), ["NothingCarried"]);
    assert!(what(running(), Some(5), 1.0).is_empty());
}

#[test]
fn a_change_that_the_operator_has_not_seen_is_told() {
    let mut topic = topic("a-b", "Synced", None);
    topic.metadata.generation = Some(2);
    let problems = problems::of_topic(&topic, now());
    assert!(
        problems[0].what == "NotSeenYet" && problems[0].advice.contains("doctor"),
        "{problems:?}"
    );
}
