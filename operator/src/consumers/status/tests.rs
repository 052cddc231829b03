use std::time::Instant;

use serde_json::json;

use super::*;
use crate::consumers::rollout::{Step, Watch, decide};

fn consumer(autoscaled: bool) -> TelemetryConsumer {
    let mut spec = json!({"topics": ["t"], "sink": {"prometheus": {}}});
    if autoscaled {
        spec["autoscaling"] = json!({"maxReplicas": 5});
    }
    let mut consumer =
        TelemetryConsumer::new("metrics", serde_json::from_value(spec).expect("a spec"));
    consumer.metadata.namespace = Some("shop".into());
    consumer.metadata.generation = Some(3);
    consumer
}

fn live(revision: &str, replicas: i32, updated: i32, ready: i32) -> LiveDeployment {
    LiveDeployment {
        revision: Some(revision.into()),
        generation: 5,
        observed_generation: 5,
        wanted: 2,
        replicas,
        updated,
        ready,
        available: ready,
        ..LiveDeployment::default()
    }
}

fn unseen(deployment: LiveDeployment) -> LiveDeployment {
    LiveDeployment {
        observed_generation: 4,
        ..deployment
    }
}

fn workload() -> Workload {
    Workload {
        wanted_revision: "b".into(),
        replicas: 2,
        deadline: 20,
        ..Workload::default()
    }
}

fn sink(status: &'static str) -> Verdict {
    (status, "Reason", "what the pods say".into())
}

#[test]
fn ready_is_the_summary() {
    let proven = || Workload {
        proven: true,
        ..workload()
    };
    let autoscaled = || Workload {
        autoscaled: true,
        ..proven()
    };
    let overdue = || Workload {
        overdue: true,
        problem: Some("CrashLoopBackOff".into()),
        ..workload()
    };
    let rolled_back = || Workload {
        rollback: Some(Rollback {
            to: "a".into(),
            why: "it failed".into(),
        }),
        proven: true,
        ..workload()
    };
    let stateless = |workload: Workload| Workload {
        state_topic: Some("KafkaTopic metrics-state: KafkaUnreachable: no broker".into()),
        ..workload
    };
    #[rustfmt::skip]
    let cases = [
        ("all are ready", workload(), live("b", 2, 2, 2), "True", ("True", "Running"), ("False", "Settled")),
        ("the sink is not known", workload(), live("b", 2, 2, 2), "Unknown", ("True", "Running"), ("False", "Settled")),
        ("the sink is away", workload(), live("b", 2, 2, 2), "False", ("False", "SinkNotReady"), ("False", "Settled")),
        ("the first rollout", workload(), live("b", 2, 2, 1), "Unknown", ("False", "RollingOut"), ("True", "RollingOut")),
        ("a rollout", workload(), live("b", 3, 1, 2), "True", ("False", "RollingOut"), ("True", "RollingOut")),
        ("late", overdue(), live("b", 3, 1, 2), "True", ("False", "PodsFailing"), ("False", "ProgressDeadlineExceeded")),
        ("a pod more", proven(), live("b", 2, 2, 1), "True", ("False", "PodsNotReady"), ("True", "PodsNotReady")),
        ("an edit not yet looked at", proven(), unseen(live("b", 2, 2, 2)), "True", ("True", "Running"), ("False", "Settled")),
        ("a revision not yet looked at", workload(), unseen(live("b", 2, 2, 2)), "True", ("False", "RollingOut"), ("True", "RollingOut")),
        ("a pod too many", proven(), live("b", 3, 3, 3), "True", ("False", "Scaling"), ("True", "Scaling")),
        ("a pod more, by autoscaling", autoscaled(), live("b", 2, 2, 1), "True", ("True", "Running"), ("True", "Scaling")),
        ("woken by autoscaling", autoscaled(), live("b", 2, 2, 0), "Unknown", ("False", "PodsNotReady"), ("True", "PodsNotReady")),
        ("taken back, on the way", rolled_back(), live("b", 3, 1, 2), "True", ("False", "RollingOut"), ("False", "RolledBack")),
        ("taken back", rolled_back(), live("a", 2, 2, 2), "True", ("True", "Running"), ("False", "RolledBack")),
        ("taken back, the sink away", rolled_back(), live("a", 2, 2, 2), "False", ("False", "SinkNotReady"), ("False", "RolledBack")),
        ("the state topic is not ready", stateless(workload()), live("b", 2, 2, 2), "True", ("False", "StateTopicNotReady"), ("False", "Settled")),
        ("nor are the pods", stateless(workload()), live("b", 2, 2, 0), "Unknown", ("False", "StateTopicNotReady"), ("True", "RollingOut")),
    ];
    for (what, workload, live, state, ready, progressing) in cases {
        let (found, going) = workload.judge(Some(&live), &sink(state));
        assert_eq!((found.0, found.1), ready, "{what}: {}", found.2);
        assert_eq!((going.0, going.1), progressing, "{what}: {}", going.2);
    }
}

#[test]
fn messages_say_what_and_why() {
    let failing = Workload {
        problem: Some("consumer: ImagePullBackOff: no such image".into()),
        overdue: true,
        ..workload()
    };
    let (ready, _) = failing.judge(Some(&live("b", 3, 1, 2)), &sink("True"));
    assert_eq!(
        ready.2,
        "2 of 2 pods are ready, 1 run this configuration, and no more became ready within 20 s: consumer: ImagePullBackOff: no such image"
    );
    assert_eq!(
        failing.failure("a"),
        "revision b did not become ready within 20 s (consumer: ImagePullBackOff: no such image); the pods went back to revision a. It is tried again when the spec, or a Secret that it names, changes"
    );
}

#[test]
fn a_state_topic_that_is_not_ready_explains_the_pods() {
    let trouble = "KafkaTopic metrics-state: ConflictingResource: topic t is shop/other's";
    let stateless = Workload {
        state_topic: Some(trouble.into()),
        ..workload()
    };
    for (pods, expected) in [
        (2, trouble.to_owned()),
        (
            0,
            format!("{trouble}; 0 of 2 pods are ready, 2 run this configuration"),
        ),
    ] {
        let (ready, _) = stateless.judge(Some(&live("b", 2, 2, pods)), &sink("Unknown"));
        assert_eq!(ready.2, expected);
    }
}

#[test]
fn no_pods_are_ready_at_once() {
    let none = Workload {
        replicas: 0,
        ..workload()
    };
    let live = LiveDeployment {
        revision: Some("b".into()),
        generation: 1,
        ..LiveDeployment::default()
    };
    let (ready, _) = none.judge(Some(&live), &sink("Unknown"));
    assert_eq!((ready.0, ready.1), ("True", "ScaledToZero"));
}

fn seen() -> Seen {
    Seen {
        reading: None,
        sink: sink("True"),
        live: Some(live("b", 2, 2, 2)),
    }
}

fn told(news: &[News]) -> Vec<(&'static str, bool)> {
    let warns = |type_: &EventType| *type_ == EventType::Warning;
    news.iter()
        .map(|(type_, reason, _)| (*reason, warns(type_)))
        .collect()
}

#[test]
fn a_status_has_everything_and_settles() {
    let consumer = consumer(true);
    let report = || {
        let history = History {
            good: Some("b".into()),
            failed: None,
        };
        let scaling = ("True", "ScaledUp", "from 1 to 2 pods".to_owned());
        Report::of(&workload(), history, scaling, seen())
    };
    let old = TelemetryConsumerStatus {
        desired_replicas: Some(1),
        ..TelemetryConsumerStatus::default()
    };
    let now = Timestamp::UNIX_EPOCH;
    let (status, news) = next(&consumer, &old, report(), now);
    let kinds: Vec<_> = status.conditions.iter().map(|c| c.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "Ready",
            "ConfigValid",
            "SinkReady",
            "Progressing",
            "ScalingActive"
        ]
    );
    assert_eq!(status.desired_replicas, Some(2));
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    assert_eq!(status.revision.as_deref(), Some("b"));
    assert_eq!(status.last_good_revision.as_deref(), Some("b"));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(told(&news), [("ScaledUp", false), ("Running", false)]);
    let later = Timestamp::from_second(60).expect("in range");
    let (again, news) = next(&consumer, &status, report(), later);
    assert_eq!((again, told(&news)), (status, Vec::new()));
}

#[test]
fn a_failure_is_remembered_with_the_sinks_secrets() {
    let status = |failed: Option<&str>, secrets: Option<&str>| {
        let workload = Workload {
            secrets: secrets.map(Into::into),
            ..workload()
        };
        let history = History {
            good: Some("a".into()),
            failed: failed.map(Into::into),
        };
        let scaling = ("False", "Disabled", "it is off".to_owned());
        let report = Report::of(&workload, history, scaling, seen());
        let old = TelemetryConsumerStatus {
            failed_secrets: Some("of before".into()),
            ..TelemetryConsumerStatus::default()
        };
        let (status, _) = next(&consumer(false), &old, report, Timestamp::UNIX_EPOCH);
        status.failed_secrets
    };
    assert_eq!(status(Some("b"), Some("x")).as_deref(), Some("x"));
    assert_eq!(status(None, Some("x")), None);
    assert_eq!(status(Some("b"), None), None);
}

/// What a reconcile decides on pods that fail with revision "b", and the status after it.
fn reconciled(
    status: &TelemetryConsumerStatus,
    watch: &mut Option<Watch>,
    secrets: &str,
    now: Instant,
) -> (Step, TelemetryConsumerStatus) {
    let live = LiveDeployment {
        deadline_exceeded: true,
        ..live("b", 3, 1, 2)
    };
    let history = History::of(status, Some(secrets));
    // As long as the failure holds, it is "a" that is awaited.
    let awaited = if history.failed.is_some() { "a" } else { "b" };
    *watch = Watch::look(watch.take(), awaited, Some(secrets), 2, Some(&live), now);
    let deadline = Duration::from_secs(20);
    let overdue = |watch: &Watch| watch.is_overdue(&live, deadline, now);
    let overdue = watch.as_ref().is_some_and(overdue);
    let decision = decide("b", &history, Some(&live), overdue);
    let workload = Workload {
        overdue,
        secrets: Some(secrets.into()),
        ..workload()
    };
    let scaling = ("False", "Disabled", "it is off".to_owned());
    let report = Report::of(&workload, decision.history, scaling, seen());
    let (status, _) = next(&consumer(false), status, report, Timestamp::UNIX_EPOCH);
    (decision.step, status)
}

#[test]
fn a_revision_is_pinned_by_secrets_only_that_it_had_the_whole_time() {
    let good = TelemetryConsumerStatus {
        last_good_revision: Some("a".into()),
        ..TelemetryConsumerStatus::default()
    };
    let back = || Step::RollBack { to: "a".into() };
    let stay = || Step::StayRolledBack { to: "a".into() };
    // At each second, what the Secrets hold then; what is done, and which Secrets are noted with a failure.
    #[rustfmt::skip]
    let cases = [
        ("wrong, and left so", vec![
            (0, "wrong", Step::Apply, None), (20, "wrong", back(), Some("wrong")), (21, "wrong", stay(), Some("wrong")),
        ]),
        ("put right before it is over", vec![
            (0, "wrong", Step::Apply, None), (19, "right", Step::Apply, None), (20, "right", Step::Apply, None), (158, "right", Step::Apply, None),
        ]),
        ("put right between the note and the deed", vec![
            (0, "wrong", Step::Apply, None), (20, "wrong", back(), Some("wrong")), (20, "right", Step::Apply, None), (158, "right", Step::Apply, None),
        ]),
        ("put right after it was taken back", vec![
            (0, "wrong", Step::Apply, None), (20, "wrong", back(), Some("wrong")), (21, "wrong", stay(), Some("wrong")),
            (30, "right", Step::Apply, None), (40, "right", Step::Apply, None),
        ]),
        ("changed, and no better", vec![
            (0, "wrong", Step::Apply, None), (10, "no better", Step::Apply, None), (150, "no better", back(), Some("no better")),
            (151, "no better", stay(), Some("no better")), (160, "right", Step::Apply, None),
        ]),
    ];
    for (what, steps) in cases {
        let (mut status, mut watch, start) = (good.clone(), None, Instant::now());
        for (second, secrets, expected, noted) in steps {
            let now = start + Duration::from_secs(second);
            let step;
            (step, status) = reconciled(&status, &mut watch, secrets, now);
            assert_eq!(step, expected, "{what}, at {second}");
            assert_eq!(
                status.failed_secrets.as_deref(),
                noted,
                "{what}, at {second}"
            );
            assert_eq!(
                status.failed_revision.is_some(),
                noted.is_some(),
                "{what}, at {second}"
            );
        }
    }
}

#[test]
fn credentials_in_clear_are_valid_and_told_of_once() {
    let report = |warning: Option<&str>| {
        let workload = Workload {
            warning: warning.map(Into::into),
            ..workload()
        };
        let scaling = ("False", "Disabled", "it is off".to_owned());
        Report::of(&workload, History::default(), scaling, seen())
    };
    let (status, _) = next(
        &consumer(false),
        &TelemetryConsumerStatus::default(),
        report(None),
        Timestamp::UNIX_EPOCH,
    );
    let tell = |status, warning| next(&consumer(false), status, report(warning), Timestamp::now());
    let valid = |status: &TelemetryConsumerStatus| {
        let mut conditions = status.conditions.iter();
        let valid = conditions.find(|condition| condition.kind == "ConfigValid");
        valid.map(|valid| format!("{} {}: {}", valid.status, valid.reason, valid.message))
    };
    let checked = "the configuration was checked and applied";
    assert_eq!(valid(&status), Some(format!("True Valid: {checked}")));
    let (status, news) = tell(&status, Some("beware"));
    assert_eq!(
        valid(&status),
        Some(format!("True CredentialsInClear: {checked}, but beware"))
    );
    assert_eq!(told(&news), [("CredentialsInClear", true)]);
    let (status, news) = tell(&status, Some("beware"));
    assert_eq!(told(&news), []);
    let (status, news) = tell(&status, None);
    assert_eq!(valid(&status), Some(format!("True Valid: {checked}")));
    assert_eq!(told(&news), []);
}

#[test]
fn what_is_wrong_leaves_what_was_decided_as_it_is() {
    let consumer = consumer(false);
    let old = TelemetryConsumerStatus {
        desired_replicas: Some(2),
        revision: Some("b".into()),
        failed_revision: Some("x".into()),
        ..TelemetryConsumerStatus::default()
    };
    let report = Report::invalid(&["spec.topics: none".into()], seen());
    let (status, news) = next(&consumer, &old, report, Timestamp::UNIX_EPOCH);
    assert_eq!(status.desired_replicas, Some(2));
    assert_eq!(status.failed_revision.as_deref(), Some("x"));
    assert_eq!(status.ready_replicas, 2);
    assert_eq!(told(&news), [("ConfigInvalid", true)]);
}

#[test]
fn scaling_says_that_nothing_is_decided() {
    let old = TelemetryConsumerStatus::default();
    let scaling = |autoscaled, report| {
        let consumer = consumer(autoscaled);
        let (status, _) = next(&consumer, &old, report, Timestamp::UNIX_EPOCH);
        let mut conditions = status.conditions.into_iter();
        conditions
            .find(|condition| condition.kind == "ScalingActive")
            .map(|condition| (condition.status, condition.reason))
    };
    let says = |reason: &str| Some(("False".to_owned(), reason.to_owned()));
    assert_eq!(scaling(true, Report::paused(seen())), says("Paused"));
    let invalid = || Report::invalid(&["spec.topics: none".into()], seen());
    assert_eq!(scaling(true, invalid()), says("ConfigInvalid"));
    assert_eq!(scaling(false, invalid()), None);
}

#[test]
fn going_back_is_told_as_a_warning() {
    let workload = Workload {
        rollback: Some(Rollback {
            to: "a".into(),
            why: "it failed".into(),
        }),
        ..workload()
    };
    let report = Report::of(&workload, History::default(), sink("False"), seen());
    let old = TelemetryConsumerStatus::default();
    let (_, news) = next(&consumer(false), &old, report, Timestamp::UNIX_EPOCH);
    assert_eq!(told(&news), [("RollingOut", false), ("RolledBack", true)]);
}

#[test]
fn the_time_to_drain_is_told_the_coarser_the_longer_it_is() {
    for (seconds, expected) in [
        (0, "0s"),
        (7, "7s"),
        (61, "1m10s"),
        (601, "11m"),
        (9000, "3h"),
    ] {
        assert_eq!(eta(Duration::from_secs(seconds)), expected);
    }
}
