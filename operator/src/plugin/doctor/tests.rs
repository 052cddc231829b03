use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::facts::Facts;
use super::*;
use crate::api::{KafkaTopic, TelemetryConsumer};
use crate::plugin::prometheus::Target;
use crate::plugin::text::WIDTH;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn now() -> Timestamp {
    "2026-11-30T20:00:00Z".parse().expect("a time")
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "words", "observedGeneration": 1,
        "lastTransitionTime": "2026-11-30T19:55:00Z"})
}

fn pod(name: &str, sink: &str, waiting: Option<&str>) -> Pod {
    let state = match waiting {
        Some(reason) => json!({"waiting": {"reason": reason}}),
        None => json!({"running": {}}),
    };
    let ready = if waiting.is_some() { "False" } else { "True" };
    from(json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"monitoring.bt.dev/consumer": "logs", "monitoring.bt.dev/sink": sink}},
        "spec": {"containers": [{"name": "consumer", "image": format!("r/c:{VERSION}")}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "consumer", "image": "r/c:1", "imageID": "", "ready": true, "restartCount": 0, "state": state}]},
    }))
}

fn topic(reason: &str) -> KafkaTopic {
    from(json!({
        "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "KafkaTopic", "metadata": {"name": "a", "namespace": "shop"}, "spec": {},
        "status": {"conditions": [condition("Ready", "True", reason)]},
    }))
}

fn consumer(ready: &str, sink: &str, lag: Option<i64>) -> TelemetryConsumer {
    from(json!({
        "apiVersion": "monitoring.bt.dev/v1alpha1", "kind": "TelemetryConsumer", "metadata": {"name": "logs", "namespace": "shop"},
        "spec": {"topics": ["a"], "sink": {"elasticsearch": {}}},
        "status": {"lag": lag.map(|total| json!({"total": total})),
            "conditions": [condition("Ready", "True", ready), condition("SinkReady", "True", sink)]},
    }))
}

fn target(job: &str, up: bool) -> Target {
    Target {
        job: job.into(),
        url: "http://10.0.0.1:9090/metrics".into(),
        up,
        new: false,
        error: "refused".into(),
    }
}

fn report(state: &str, rejected: u64) -> Value {
    json!({"state": state, "message": "m", "since": "", "rejected": rejected, "taken": 7})
}

/// Everything is as it should be.
fn healthy() -> Facts {
    let (topics, consumers) = (KafkaTopic::crd(), TelemetryConsumer::crd());
    Facts {
        now: now(),
        version: Ok(("1".into(), "35+".into())),
        definitions: vec![
            ("kafkatopics", topics.clone(), Ok(Some(topics))),
            ("telemetryconsumers", consumers.clone(), Ok(Some(consumers))),
        ],
        user_lacks: Ok(Vec::new()),
        operator: Ok(Some(from(json!({
            "metadata": {"name": "bt-operator", "namespace": "monitoring"},
            "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [{
                "name": "operator", "image": format!("r:5000/o:{VERSION}-c0ffee"), "env": [{"name": "CONSUMER_IMAGE", "value": format!("r/c:{VERSION}")}],
            }]}}},
            "status": {"readyReplicas": 1},
        })))),
        operator_lacks: Ok(Vec::new()),
        operator_pods: Vec::new(),
        lease: Ok(Some(from(
            json!({"spec": {"holderIdentity": "bt-operator-1", "renewTime": "2026-11-30T19:59:58.000000Z"}}),
        ))),
        topics: Ok(vec![topic("Synced")]),
        consumers: Ok(vec![consumer("Running", "Ready", Some(0))]),
        consumer_pods: Ok(vec![
            pod("logs-1", "elasticsearch", None),
            pod("metrics-1", "prometheus", None),
        ]),
        sinks: vec![(
            "shop/logs".into(),
            "logs-1".into(),
            Ok(from(report("Ready", 0))),
        )],
        targets: Ok(vec![
            target("bt-metrics", true),
            target("bt-operator", true),
            target("other", false),
        ]),
        monitors: Ok(None),
    }
}

/// The checks that are not ok.
fn told(facts: &Facts) -> Vec<(&'static str, Verdict, String)> {
    let checks = checks::judge(facts).into_iter();
    let bad = checks.filter(|check| check.verdict != Verdict::Ok);
    bad.map(|check| {
        (
            check.area,
            check.verdict,
            format!("{} | {}", check.found, check.fix),
        )
    })
    .collect()
}

#[test]
fn nothing_is_told_of_what_is_well() {
    let facts = healthy();
    assert_eq!(told(&facts), []);
    let shown = render(&checks::judge(&facts), Style::new(false));
    assert!(
        shown.contains("ok    cluster       reachable, Kubernetes 1.35+\n"),
        "{shown}"
    );
    assert!(
        shown.trim_end().ends_with("0 to look at, 0 failed"),
        "{shown}"
    );
    assert!(
        shown.lines().all(|line| line.chars().count() <= WIDTH),
        "{shown}"
    );
}

#[test]
fn each_thing_that_is_broken_fails_with_what_to_fix() {
    type Break = fn(&mut Facts);
    let table: [(&str, Verdict, &str, Break); 20] = [
        ("cluster", Verdict::Fail, "CEL", |f| {
            f.version = Ok(("1".into(), "24".into()))
        }),
        (
            "definitions",
            Verdict::Fail,
            "kubectl apply -f crds/",
            |f| f.definitions[0].2 = Ok(None),
        ),
        ("definitions", Verdict::Warn, "forbidden", |f| {
            f.definitions[1].2 = Err("forbidden".into())
        }),
        ("your rights", Verdict::Fail, "create pods/exec", |f| {
            f.user_lacks = Ok(vec!["create pods/exec".into()])
        }),
        ("operator", Verdict::Fail, "helm install", |f| {
            f.operator = Ok(None)
        }),
        ("operator", Verdict::Fail, "--replicas=1", |f| {
            scale(f, 0, 0)
        }),
        ("operator", Verdict::Fail, "0 of 1 pods", |f| scale(f, 1, 0)),
        ("operator", Verdict::Warn, "1 of 2 pods", |f| scale(f, 2, 1)),
        ("leader", Verdict::Fail, "nobody reconciles", |f| {
            f.now = now() + k8s_openapi::jiff::SignedDuration::from_secs(60)
        }),
        ("leader", Verdict::Fail, "no Lease", |f| f.lease = Ok(None)),
        ("its rights", Verdict::Fail, "get secrets", |f| {
            f.operator_lacks = Ok(vec!["get secrets".into()])
        }),
        ("images", Verdict::Fail, "ImagePullBackOff", |f| {
            f.consumer_pods = Ok(vec![pod("p", "elasticsearch", Some("ImagePullBackOff"))])
        }),
        ("Kafka", Verdict::Fail, "bootstrapServers", |f| {
            f.topics = Ok(vec![topic("KafkaUnreachable")])
        }),
        (
            "Kafka",
            Verdict::Warn,
            "the lag is not known of: logs",
            |f| f.consumers = Ok(vec![consumer("Running", "Ready", None)]),
        ),
        ("topics", Verdict::Fail, "spec.config", |f| {
            f.topics = Ok(vec![topic("InvalidConfig"), topic("Synced")])
        }),
        ("consumers", Verdict::Fail, "kubectl logs --previous", |f| {
            f.consumers = Ok(vec![consumer("PodsFailing", "Ready", Some(0))])
        }),
        ("sinks", Verdict::Fail, "its Secret", |f| {
            f.consumers = Ok(vec![consumer("SinkNotReady", "Unauthorized", Some(0))])
        }),
        ("sinks", Verdict::Warn, "dead-letters list", |f| {
            f.sinks[0].2 = Ok(from(report("Ready", 3)))
        }),
        ("scraping", Verdict::Fail, "network policies", |f| {
            f.targets = Ok(vec![target("bt-metrics", false)])
        }),
        (
            "PodMonitor",
            Verdict::Fail,
            "there is none for: logs",
            |f| f.monitors = Ok(Some(BTreeSet::new())),
        ),
    ];
    for (area, verdict, words, change) in table {
        let mut facts = healthy();
        change(&mut facts);
        let told = told(&facts);
        let found = told
            .iter()
            .find(|(at, is, said)| *at == area && *is == verdict && said.contains(words));
        assert!(found.is_some(), "{area} {words}: {told:?}");
        let shown = render(&checks::judge(&facts), Style::new(false));
        assert!(
            shown.lines().all(|line| line.chars().count() <= WIDTH),
            "{shown}"
        );
    }
}

fn scale(facts: &mut Facts, wanted: i32, ready: i32) {
    if let Ok(Some(operator)) = &mut facts.operator {
        operator.spec.as_mut().expect("a spec").replicas = Some(wanted);
        operator.status.as_mut().expect("a status").ready_replicas = Some(ready);
    }
}

#[test]
fn definitions_are_compared_field_by_field() {
    let build = KafkaTopic::crd();
    let mut older: Value = serde_json::to_value(&build).expect("JSON");
    let schema = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    schema["spec"]["properties"]
        .as_object_mut()
        .expect("fields")
        .remove("driftPolicy");
    let found = crd_check::compare(&build, &from(older.clone()));
    assert_eq!(
        (found.missing, found.unknown),
        (vec!["v1alpha1.spec.driftPolicy".to_owned()], vec![])
    );
    let found = crd_check::compare(&from(older.clone()), &build);
    assert_eq!(found.unknown, ["v1alpha1.spec.driftPolicy"]);
    let mut facts = healthy();
    facts.definitions[0].2 = Ok(Some(from(older)));
    let told = told(&facts);
    assert!(
        told[0].1 == Verdict::Fail && told[0].2.contains("driftPolicy"),
        "{told:?}"
    );
}

#[test]
fn another_version_is_told() {
    let mut facts = healthy();
    if let Ok(Some(operator)) = &mut facts.operator {
        let spec = operator
            .spec
            .as_mut()
            .expect("a spec")
            .template
            .spec
            .as_mut()
            .expect("a spec");
        spec.containers[0].image = Some("r:5000/o:9.9.9".into());
    }
    let told = told(&facts);
    assert!(
        told.len() == 1 && told[0].0 == "versions" && told[0].2.contains("9.9.9"),
        "{told:?}"
    );
}

#[test]
fn rights_are_named_as_users_write_them() {
    let words: Vec<_> = permissions::USER
        .iter()
        .map(permissions::Right::words)
        .collect();
    assert!(words.contains(&"create pods/exec".to_owned()), "{words:?}");
    assert!(
        words.contains(&"list kafkatopics.monitoring.bt.dev".to_owned()),
        "{words:?}"
    );
}
