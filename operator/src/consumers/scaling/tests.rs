use std::time::Duration;

use bt_consumers::config::HumanDuration;

use super::*;

/// Time between two readings.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// One consumer whose readings come one after another.
#[derive(Debug)]
pub(super) struct Scene {
    scalers: Scalers,
    pub(super) autoscaling: Autoscaling,
    pub(super) start_from: StartFrom,
    pub(super) current: i32,
    pub(super) rolling_out: bool,
    pub(super) now: Instant,
}

impl Scene {
    pub(super) fn new(min_replicas: i32, max_replicas: i32, current: i32) -> Self {
        Self {
            scalers: Scalers::default(),
            autoscaling: Autoscaling {
                min_replicas,
                max_replicas,
                target_lag: 1000,
                target_drain: None,
                scale_down_delay: HumanDuration::from_secs(300),
            },
            start_from: StartFrom::Earliest,
            current,
            rolling_out: false,
            now: Instant::now(),
        }
    }

    /// The next decision, one interval later, which then stands.
    pub(super) fn next(&mut self, reading: Option<Reading>) -> Decision {
        self.now += INTERVAL;
        let reading = reading.map(|reading| Reading {
            at: self.now,
            ..reading
        });
        let decision = self.ask(reading.as_ref(), self.current);
        self.current = decision.replicas;
        decision
    }

    pub(super) fn ask(&self, reading: Option<&Reading>, ready: i32) -> Decision {
        self.scalers.decide(
            "it",
            Inputs {
                now: self.now,
                autoscaling: &self.autoscaling,
                start_from: self.start_from,
                current: self.current,
                ready,
                rolling_out: self.rolling_out,
                reading,
            },
        )
    }

    /// The same, with nothing remembered.
    pub(super) fn again(&self) -> Self {
        Self {
            scalers: Scalers::default(),
            autoscaling: self.autoscaling.clone(),
            ..*self
        }
    }

    /// Where the same reading leads when it comes so often.
    fn after(&mut self, times: u32, reading: &Reading) -> i32 {
        for _ in 0..times {
            self.next(Some(reading.clone()));
        }
        self.current
    }
}

pub(super) fn reading(partitions: i32, lag: i64, produced: f64, rate: f64) -> Reading {
    Reading {
        lag: Some(Lag {
            total: lag,
            topics: Vec::new(),
        }),
        rate: Some(rate),
        produced: Some(produced),
        partitions: Some(partitions),
        behind: Some(if lag > 0 { partitions } else { 0 }),
        uncommitted: false,
        group: Some(true),
        drain_eta: None,
        at: Instant::now(),
    }
}

fn reason(decision: &Decision) -> (i32, &'static str, &'static str) {
    (decision.replicas, decision.verdict.0, decision.verdict.1)
}

#[test]
fn lag_asks_for_pods_at_once() {
    for (lag, current, expected) in [
        (0, 1, (1, "True", "AtMinimum")),
        (1000, 1, (1, "True", "AtMinimum")),
        (1001, 1, (2, "True", "ScaledUp")),
        (4500, 1, (6, "True", "ScaledUp")),
        (6000, 6, (6, "True", "AsWanted")),
        (6001, 1, (10, "True", "ScaledUp")),
        (1_000_000, 6, (10, "True", "ScaledUp")),
        (1_000_000, 10, (10, "True", "AtMaximum")),
        (2000, 6, (6, "True", "Draining")),
        (0, 6, (6, "True", "ScalingDown")),
        // More than allowed is taken back at once, as is less.
        (0, 20, (10, "True", "ScaledDown")),
        (0, 0, (1, "True", "ScaledUp")),
    ] {
        let mut scene = Scene::new(1, 10, current);
        let rate = if lag > 0 { 200.0 } else { 100.0 };
        let decision = scene.next(Some(reading(12, lag, 100.0, rate)));
        assert_eq!(reason(&decision), expected, "{lag} {current}: {decision:?}");
    }
}

#[test]
fn there_is_at_most_one_pod_a_partition() {
    let mut scene = Scene::new(2, 10, 2);
    let decision = scene.next(Some(reading(3, 1_000_000, 0.0, 10.0)));
    assert_eq!(reason(&decision), (3, "True", "ScaledUp"));
    let decision = scene.next(Some(reading(3, 1_000_000, 0.0, 10.0)));
    assert_eq!(
        decision.verdict.2,
        "3 pods, the most there can be (one for each of 3 partitions), where 1000 are asked for: 1000000 records are behind, \
         0/s arrive, 10/s are carried"
    );
    let mut scene = Scene::new(5, 10, 5);
    assert_eq!(scene.next(Some(reading(3, 0, 0.0, 0.0))).replicas, 3);
}

#[test]
fn what_is_unknown_changes_nothing() {
    let known = reading(12, 1_000_000, 100.0, 100.0);
    let unknown = |change: fn(&mut Reading)| {
        let mut reading = known.clone();
        change(&mut reading);
        Some(reading)
    };
    for (reading, status, why) in [
        (None, "Unknown", "LagUnknown"),
        (unknown(|r| r.lag = None), "Unknown", "LagUnknown"),
        (unknown(|r| r.partitions = None), "Unknown", "LagUnknown"),
        (unknown(|r| r.rate = None), "Unknown", "RatesUnknown"),
        (unknown(|r| r.produced = None), "Unknown", "RatesUnknown"),
        (unknown(|r| r.group = None), "Unknown", "GroupUnknown"),
        (unknown(|r| r.group = Some(false)), "False", "Rebalancing"),
    ] {
        let mut scene = Scene::new(1, 10, 4);
        let decision = scene.next(reading.clone());
        assert_eq!(reason(&decision), (4, status, why), "{reading:?}");
        // Least and most count nevertheless.
        scene.autoscaling.min_replicas = 6;
        assert_eq!(scene.next(reading.clone()).replicas, 6);
        scene.autoscaling.min_replicas = 1;
        scene.autoscaling.max_replicas = 2;
        assert_eq!(scene.next(reading).replicas, 2);
    }
    let mut scene = Scene::new(1, 10, 4);
    scene.rolling_out = true;
    let decision = scene.next(Some(known));
    assert_eq!(reason(&decision), (4, "False", "RollingOut"));
}

#[test]
fn more_pods_than_partitions_are_not_made_while_kafka_is_away() {
    let mut scene = Scene::new(5, 10, 5);
    assert_eq!(scene.next(Some(reading(3, 0, 0.0, 0.0))).replicas, 3);
    assert_eq!(scene.next(None).replicas, 3);
}

#[test]
fn time_in_which_nothing_was_decided_does_not_count() {
    let mut scene = Scene::new(1, 12, 12);
    let quiet = reading(12, 0, 0.0, 0.0);
    assert_eq!(scene.after(30, &quiet), 12);
    scene.scalers.interrupt("it");
    assert_eq!(scene.after(30, &quiet), 12);
    assert_eq!(scene.after(1, &quiet), 6);
}

#[test]
fn fewer_pods_come_late_and_step_by_step() {
    let mut scene = Scene::new(1, 12, 12);
    let quiet = reading(12, 0, 0.0, 0.0);
    // 300 s are over with the 31st reading.
    assert_eq!(scene.after(30, &quiet), 12);
    let decision = scene.next(Some(quiet.clone()));
    assert_eq!(reason(&decision), (6, "True", "ScaledDown"));
    // The next ones are a quarter of that apart.
    assert_eq!(scene.after(7, &quiet), 6);
    assert_eq!(scene.after(1, &quiet), 4);
    assert_eq!(scene.after(8, &quiet), 3);
    assert_eq!(scene.after(16, &quiet), 1);
    assert_eq!(scene.after(100, &quiet), 1);
}

#[test]
fn one_reading_that_asks_for_more_begins_the_wait_anew() {
    let (quiet, busy) = (
        reading(12, 0, 10.0, 10.0),
        reading(12, 5500, 100.0, 10000.0),
    );
    let mut scene = Scene::new(1, 12, 6);
    scene.after(25, &quiet);
    assert_eq!(scene.after(1, &busy), 6);
    assert_eq!(scene.after(30, &quiet), 6);
    assert_eq!(scene.after(1, &quiet), 4);
}

#[test]
fn a_gap_begins_the_wait_anew() {
    let quiet = reading(12, 0, 0.0, 0.0);
    let mut scene = Scene::new(1, 12, 12);
    assert_eq!(scene.after(29, &quiet), 12);
    scene.next(None);
    assert_eq!(scene.after(30, &quiet), 12);
    assert_eq!(scene.after(1, &quiet), 6);
}

#[test]
fn what_was_decided_stands_until_the_next_reading() {
    let mut scene = Scene::new(1, 12, 1);
    let busy = reading(12, 5500, 100.0, 100.0);
    let decision = scene.next(Some(busy.clone()));
    assert_eq!(decision.replicas, 6);
    let seen = Reading {
        at: scene.now,
        ..busy
    };
    scene.rolling_out = true;
    assert_eq!(scene.ask(Some(&seen), 1), decision, "the pods just start");
    scene.current = 1;
    assert_eq!(scene.ask(Some(&seen), 1), decision, "an old status");
}

#[test]
fn what_one_pod_carries_is_seen_when_all_have_too_much_to_do() {
    // 3 pods of 100/s each.
    let saturated = reading(12, 50_000, 400.0, 300.0);
    let mut scene = Scene::new(1, 12, 3);
    scene.autoscaling.target_lag = 1_000_000;
    scene.autoscaling.target_drain = Some(HumanDuration::from_secs(500));
    let decision = scene.next(Some(saturated.clone()));
    assert_eq!(decision.replicas, 3, "not known yet: {decision:?}");
    // 400/s and 50000 in 500 s are 500/s: 5 pods, which partitions spread over as over 6.
    let decision = scene.next(Some(saturated.clone()));
    assert_eq!(reason(&decision), (6, "True", "ScaledUp"));
    assert!(
        decision.verdict.2.starts_with("from 3 to 6 pods: "),
        "{decision:?}"
    );

    // Little is behind, and 400/s arrive: 4 pods carry that, and 3 with room to spare do not.
    let carried = reading(12, 10, 310.0, 310.0);
    assert_eq!(scene.after(100, &carried), 4);
    // Without the rates' part, too.
    scene.autoscaling.target_drain = None;
    assert_eq!(scene.after(100, &carried), 4);
    assert_eq!(scene.after(100, &reading(12, 10, 100.0, 100.0)), 2);
}

#[test]
fn pods_that_are_stuck_do_not_show_what_they_can_carry() {
    let mut scene = Scene::new(1, 12, 3);
    scene.autoscaling.target_lag = 1_000_000;
    scene.autoscaling.target_drain = Some(HumanDuration::from_secs(500));
    assert_eq!(scene.after(10, &reading(12, 50_000, 100.0, 0.0)), 3);
    // One partition is behind: its pod has much to do, the others little.
    let skewed = Reading {
        behind: Some(1),
        ..reading(12, 5_000, 100.0, 100.0)
    };
    assert_eq!(scene.after(10, &skewed), 3);
}

#[test]
fn a_consumer_sleeps_when_nothing_arrives_and_wakes_at_once() {
    let quiet = reading(4, 0, 0.0, 0.0);
    let mut scene = Scene::new(0, 4, 1);
    assert_eq!(scene.after(30, &quiet), 1);
    assert_eq!(scene.after(1, &quiet), 0);
    assert_eq!(scene.after(100, &quiet), 0);
    assert_eq!(scene.after(1, &reading(4, 1, 0.1, 0.0)), 1);
    // Something arrives now and then, and is carried at once.
    for _ in 0..10 {
        assert_eq!(scene.after(1, &reading(4, 0, 0.1, 0.1)), 1);
        assert_eq!(scene.after(29, &quiet), 1);
    }
}

#[test]
fn a_consumer_that_would_skip_what_arrives_does_not_sleep() {
    let uncommitted = Reading {
        uncommitted: true,
        ..reading(4, 0, 0.0, 0.0)
    };
    let mut scene = Scene::new(0, 4, 1);
    scene.start_from = StartFrom::Latest;
    assert_eq!(scene.after(100, &uncommitted), 1);
    scene.current = 0;
    assert_eq!(scene.after(1, &uncommitted), 1);
    // From the log's start nothing is skipped.
    scene.start_from = StartFrom::Earliest;
    assert_eq!(scene.after(100, &uncommitted), 0);
}

#[test]
fn pods_that_were_too_few_are_not_tried_again_at_once() {
    let quiet = reading(12, 10, 100.0, 100.0);
    let mut scene = Scene::new(1, 12, 2);
    // Whatever the reason is, two pods fall behind with 100/s.
    scene.after(2, &quiet);
    assert_eq!(scene.after(1, &reading(12, 2500, 100.0, 90.0)), 3);
    assert_eq!(scene.after(600, &quiet), 3);
    assert_eq!(scene.after(200, &quiet), 1, "after two hours they are");
}
