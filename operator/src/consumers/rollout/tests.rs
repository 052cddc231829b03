use super::*;

fn live(
    revision: &str,
    wanted: i32,
    replicas: i32,
    updated: i32,
    available: i32,
) -> LiveDeployment {
    LiveDeployment {
        revision: Some(revision.into()),
        generation: 5,
        observed_generation: 5,
        wanted,
        replicas,
        updated,
        ready: available,
        available,
        ..LiveDeployment::default()
    }
}

fn unseen(deployment: LiveDeployment) -> LiveDeployment {
    LiveDeployment {
        observed_generation: 4,
        ..deployment
    }
}

fn history(good: &str, failed: &str) -> History {
    let some = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    History {
        good: some(good),
        failed: some(failed),
    }
}

#[test]
fn decisions() {
    let apply = || Step::Apply;
    let back = |to: &str| Step::RollBack { to: to.into() };
    let stay = |to: &str| Step::StayRolledBack { to: to.into() };
    // What is wanted is always revision "b".
    #[rustfmt::skip]
    let cases = [
        ("there is nothing yet", ("", ""), None, false, apply(), ("", "")),
        ("another revision runs", ("a", ""), Some(live("a", 2, 2, 2, 2)), false, apply(), ("a", "")),
        ("another revision runs, late", ("a", ""), Some(live("a", 2, 2, 2, 1)), true, apply(), ("a", "")),
        ("it was not looked at", ("a", ""), Some(unseen(live("b", 2, 2, 2, 2))), false, apply(), ("a", "")),
        ("it was not looked at, late", ("a", ""), Some(unseen(live("b", 2, 2, 2, 2))), true, apply(), ("a", "")),
        ("it rolls out", ("a", ""), Some(live("b", 2, 3, 1, 2)), false, apply(), ("a", "")),
        ("old pods are still there", ("a", ""), Some(live("b", 2, 3, 2, 2)), false, apply(), ("a", "")),
        ("a pod is not ready", ("a", ""), Some(live("b", 2, 2, 2, 1)), false, apply(), ("a", "")),
        ("all are ready", ("a", ""), Some(live("b", 2, 2, 2, 2)), false, apply(), ("b", "")),
        ("all are ready, the first", ("", ""), Some(live("b", 1, 1, 1, 1)), false, apply(), ("b", "")),
        ("no pods prove nothing", ("a", ""), Some(live("b", 0, 0, 0, 0)), false, apply(), ("a", "")),
        ("late", ("a", ""), Some(live("b", 2, 3, 1, 2)), true, back("a"), ("a", "b")),
        ("late, with no pod left of the old", ("a", ""), Some(live("b", 1, 1, 1, 0)), true, back("a"), ("a", "b")),
        ("late, and none to go back to", ("", ""), Some(live("b", 2, 2, 2, 0)), true, apply(), ("", "")),
        ("late, and it is the good one", ("b", ""), Some(live("b", 2, 2, 2, 0)), true, apply(), ("b", "")),
        ("noted, not yet done", ("a", "b"), Some(live("b", 2, 3, 1, 2)), true, stay("a"), ("a", "b")),
        ("done", ("a", "b"), Some(live("a", 2, 2, 2, 2)), false, stay("a"), ("a", "b")),
        ("done, and the pods have gone bad", ("a", "b"), Some(live("a", 2, 2, 2, 0)), true, stay("a"), ("a", "b")),
        ("done, the Deployment is gone", ("a", "b"), None, false, stay("a"), ("a", "b")),
        ("ready after all, before it was taken back", ("a", "b"), Some(live("b", 2, 2, 2, 2)), false, stay("a"), ("a", "b")),
        ("another one had failed", ("a", "x"), Some(live("a", 2, 2, 2, 2)), false, apply(), ("a", "")),
        ("the good one is wanted again", ("b", "x"), Some(live("b", 2, 2, 2, 2)), false, apply(), ("b", "")),
        ("the good one is wanted again, the failed still runs", ("b", "x"), Some(live("x", 2, 3, 1, 2)), true, apply(), ("b", "")),
        ("failed, and the good one is lost", ("", "b"), Some(live("b", 2, 2, 2, 0)), true, apply(), ("", "")),
    ];
    for (what, (good, failed), live, overdue, step, (next_good, next_failed)) in cases {
        let decision = decide("b", &history(good, failed), live.as_ref(), overdue);
        let expected = Decision {
            step,
            history: history(next_good, next_failed),
        };
        assert_eq!(decision, expected, "{what}");
    }
}

#[test]
fn a_failed_revision_is_tried_again_with_other_secrets_of_the_sink() {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    for (then, now, tried_again) in [
        ("", "", false),
        ("x", "x", false),
        ("x", "y", true),
        ("x", "", true),
        ("", "x", true),
    ] {
        let status = TelemetryConsumerStatus {
            last_good_revision: some("a"),
            failed_revision: some("b"),
            failed_secrets: some(then),
            ..TelemetryConsumerStatus::default()
        };
        let history = History::of(&status, some(now).as_deref());
        let live = live("a", 2, 2, 2, 2);
        let decision = decide("b", &history, Some(&live), false);
        let tries = decision.step == Step::Apply;
        assert_eq!(tries, tried_again, "{then:?}, now {now:?}: {decision:?}");
    }
}

#[test]
fn phases() {
    use Phase::{Incomplete, Overdue, RollingOut, Settled};
    #[rustfmt::skip]
    let cases = [
        ("settled", live("b", 2, 2, 2, 2), 2, false, Settled),
        ("settled is not late", live("b", 2, 2, 2, 2), 2, true, Settled),
        ("a change is not seen", unseen(live("b", 2, 2, 2, 2)), 2, false, Incomplete),
        ("another revision", live("a", 2, 2, 2, 2), 2, false, RollingOut),
        ("another revision, late", live("a", 2, 2, 2, 1), 2, true, RollingOut),
        ("replacing", live("b", 2, 3, 1, 3), 2, false, RollingOut),
        ("replacing, late", live("b", 2, 3, 1, 2), 2, true, Overdue),
        ("more are wanted", live("b", 2, 2, 2, 2), 3, false, Incomplete),
        ("more are not yet ready", live("b", 3, 3, 3, 2), 3, false, Incomplete),
        ("more are late", live("b", 3, 3, 3, 2), 3, true, Overdue),
        ("fewer are wanted", live("b", 1, 2, 2, 2), 1, false, Incomplete),
        ("no pods, not looked at", unseen(live("b", 0, 0, 0, 0)), 0, false, Settled),
        ("no pods wanted, one is left", live("b", 0, 1, 1, 1), 0, false, Incomplete),
        ("no pods of another revision", live("a", 0, 0, 0, 0), 0, false, RollingOut),
        ("none made yet", unseen(live("b", 1, 0, 0, 0)), 1, false, RollingOut),
    ];
    for (what, live, wanted, overdue, expected) in cases {
        assert_eq!(phase(&live, "b", wanted, overdue), expected, "{what}");
    }
}

#[test]
fn a_rollout_holds_the_scaling_until_only_its_pods_are_left() {
    for (live, expected) in [
        (live("b", 2, 2, 2, 2), false),
        (live("b", 2, 2, 2, 1), false),
        (live("b", 0, 0, 0, 0), false),
        (live("b", 2, 3, 1, 2), true),
        (live("b", 2, 3, 2, 2), true),
        (unseen(live("b", 2, 2, 2, 2)), true),
        (live("a", 2, 2, 2, 2), true),
    ] {
        assert_eq!(live.rolls_out("b"), expected, "{live:?}");
    }
}

const DEADLINE: Duration = Duration::from_secs(20);

/// Looks at these Deployments, each at its second; says of each whether the time is over.
fn overdue(looks: &[(u64, LiveDeployment)]) -> Vec<bool> {
    let looks: Vec<_> = looks.iter().map(|(at, live)| (*at, "", live)).collect();
    overdue_with(&looks)
}

/// With what the sink's Secrets hold then.
fn overdue_with(looks: &[(u64, &str, &LiveDeployment)]) -> Vec<bool> {
    let start = Instant::now();
    let mut watch = None;
    let mut verdicts = Vec::new();
    for &(second, secrets, live) in looks {
        let now = start + Duration::from_secs(second);
        let secrets = (!secrets.is_empty()).then_some(secrets);
        watch = Watch::look(watch, "b", secrets, live.wanted, Some(live), now);
        let watch = watch.as_ref();
        verdicts.push(watch.is_some_and(|watch| watch.is_overdue(live, DEADLINE, now)));
    }
    verdicts
}

fn exceeded(live: LiveDeployment) -> LiveDeployment {
    LiveDeployment {
        deadline_exceeded: true,
        ..live
    }
}

#[test]
fn time_is_over_without_progress_only() {
    let cases = [
        (
            "no progress",
            vec![
                (0, live("b", 2, 3, 1, 2)),
                (19, live("b", 2, 3, 1, 2)),
                (20, live("b", 2, 3, 1, 2)),
            ],
            vec![false, false, true],
        ),
        (
            "a pod more is progress",
            vec![
                (0, live("b", 2, 3, 1, 2)),
                (19, live("b", 2, 3, 2, 3)),
                (38, live("b", 2, 3, 2, 3)),
                (39, live("b", 2, 3, 2, 3)),
            ],
            vec![false, false, false, true],
        ),
        (
            "a pod that comes and goes is none",
            vec![
                (0, live("b", 2, 3, 1, 2)),
                (10, live("b", 2, 3, 1, 3)),
                (15, live("b", 2, 3, 1, 2)),
                (25, live("b", 2, 3, 1, 3)),
                (30, live("b", 2, 3, 1, 2)),
            ],
            vec![false, false, false, false, true],
        ),
        (
            "settled between",
            vec![
                (0, live("b", 2, 2, 2, 1)),
                (10, live("b", 2, 2, 2, 2)),
                (25, live("b", 2, 2, 2, 1)),
                (44, live("b", 2, 2, 2, 1)),
            ],
            vec![false, false, false, false],
        ),
        (
            "the Deployment says so",
            vec![
                (0, live("b", 2, 3, 1, 2)),
                (6, exceeded(live("b", 2, 3, 1, 2))),
            ],
            vec![false, true],
        ),
        (
            "it says so of the revision before",
            vec![
                (0, exceeded(live("a", 2, 3, 1, 2))),
                (8, exceeded(live("b", 2, 3, 1, 2))),
                (9, exceeded(live("b", 2, 3, 1, 2))),
            ],
            vec![false, false, false],
        ),
        (
            "asleep, then awake",
            vec![
                (0, live("b", 0, 0, 0, 0)),
                (100, live("b", 1, 1, 1, 0)),
                (119, live("b", 1, 1, 1, 0)),
                (120, live("b", 1, 1, 1, 0)),
            ],
            vec![false, false, false, true],
        ),
    ];
    for (what, looks, expected) in cases {
        assert_eq!(overdue(&looks), expected, "{what}");
    }
}

#[test]
fn with_other_secrets_of_the_sink_the_time_begins_anew() {
    let failing = live("b", 2, 3, 1, 2);
    let progress = live("b", 2, 3, 2, 3);
    let more = live("b", 3, 4, 1, 2);
    let exceeded = exceeded(failing.clone());
    let cases = [
        (
            "the same",
            vec![
                (0, "x", &failing),
                (6, "x", &failing),
                (19, "x", &exceeded),
                (20, "x", &failing),
            ],
            vec![false, false, true, true],
        ),
        (
            "put right late, whatever the Deployment says",
            vec![
                (0, "x", &failing),
                (19, "y", &failing),
                (20, "y", &exceeded),
                (158, "y", &exceeded),
                (159, "y", &exceeded),
            ],
            vec![false, false, false, false, true],
        ),
        (
            "put right when it was over",
            vec![
                (0, "x", &failing),
                (20, "x", &exceeded),
                (21, "y", &exceeded),
            ],
            vec![false, true, false],
        ),
        (
            "they work for some pods, before all of them can have them",
            vec![
                (0, "x", &failing),
                (10, "y", &failing),
                (60, "y", &progress),
                (149, "y", &progress),
                (150, "y", &progress),
            ],
            vec![false, false, false, false, true],
        ),
        (
            "another pod is wanted meanwhile",
            vec![
                (0, "x", &failing),
                (10, "y", &failing),
                (60, "y", &more),
                (149, "y", &more),
                (150, "y", &more),
            ],
            vec![false, false, false, false, true],
        ),
        (
            "over when it is first looked at",
            vec![
                (0, "x", &exceeded),
                (19, "x", &exceeded),
                (20, "x", &exceeded),
            ],
            vec![false, false, true],
        ),
        (
            "over when it is first looked at, without Secrets",
            vec![(0, "", &exceeded), (6, "", &exceeded)],
            vec![false, true],
        ),
    ];
    for (what, looks, expected) in cases {
        assert_eq!(overdue_with(&looks), expected, "{what}");
    }
}
