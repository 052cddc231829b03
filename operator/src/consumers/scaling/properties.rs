//! What holds for every decision, whatever is read and remembered.

use bt_consumers::config::HumanDuration;
use proptest::prelude::*;

use super::tests::{Scene, reading};
use super::*;

prop_compose! {
    fn any_reading(partitions: i32)(
        lag in prop::option::weighted(0.95, prop_oneof![Just(0), 0..3_000_i64, 0..2_000_000_i64]),
        produced in prop::option::weighted(0.95, prop_oneof![Just(0.0), 0.0..5_000.0]),
        rate in prop::option::weighted(0.95, prop_oneof![Just(0.0), 0.0..5_000.0]),
        group in prop::option::weighted(0.95, prop::bool::weighted(0.9)),
        uncommitted in any::<bool>(),
    ) -> Reading {
        let mut made = reading(partitions, 0, 0.0, 0.0);
        made.behind = lag.map(|lag| if lag > 0 { partitions } else { 0 });
        made.lag = lag.map(|total| Lag { total, topics: Vec::new() });
        (made.produced, made.rate, made.group, made.uncommitted) = (produced, rate, group, uncommitted);
        made
    }
}

prop_compose! {
    fn any_scene()(
        min in 0..8_i32, more in 0..40_i32, current in 0..60,
        target_lag in 1..5_000_i64,
        drain in prop::option::of(1..600_u64),
        delay in 1..400_u64,
        latest in any::<bool>(),
    ) -> Scene {
        let mut scene = Scene::new(min, (min + more).max(1), current);
        scene.autoscaling.target_lag = target_lag;
        scene.autoscaling.target_drain = drain.map(HumanDuration::from_secs);
        scene.autoscaling.scale_down_delay = HumanDuration::from_secs(delay);
        if latest { scene.start_from = StartFrom::Latest; }
        scene
    }
}

fn any_story() -> impl Strategy<Value = (Scene, i32, Vec<Option<Reading>>)> {
    (1..50).prop_flat_map(|partitions| {
        let readings =
            prop::collection::vec(prop::option::weighted(0.95, any_reading(partitions)), 1..80);
        (any_scene(), Just(partitions), readings)
    })
}

fn is_known(reading: Option<&Reading>) -> bool {
    reading.is_some_and(|reading| Known::of(reading).is_ok_and(|known| known.stable))
}

proptest! {
    #[test]
    fn decisions_stay_in_bounds_and_say_why((mut scene, partitions, readings) in any_story()) {
        let autoscaling = scene.autoscaling.clone();
        let cap = autoscaling.max_replicas.min(partitions);
        for reading in readings {
            let before = scene.current;
            let decision = scene.next(reading.clone());
            let replicas = decision.replicas;
            prop_assert!(replicas <= autoscaling.max_replicas);
            prop_assert!(replicas >= autoscaling.min_replicas.min(cap));
            prop_assert!(!decision.verdict.2.is_empty());
            if is_known(reading.as_ref()) {
                prop_assert!(replicas <= cap, "{replicas} pods for {partitions} partitions");
                prop_assert_eq!(decision.verdict.0, "True");
                let reading = reading.as_ref().expect("known");
                let lag = reading.lag.as_ref().expect("known").total;
                // It reaches the maximum when lag asks for it, and wakes when there is any.
                if lag > i64::from(cap - 1) * autoscaling.target_lag {
                    prop_assert_eq!(replicas, cap);
                }
                if lag > 0 || (reading.uncommitted && scene.start_from == StartFrom::Latest) {
                    prop_assert!(replicas >= 1);
                }
                // One step down at a time.
                let steps = Steps::new(autoscaling.min_replicas, autoscaling.max_replicas, partitions);
                if replicas < before && before <= cap {
                    prop_assert_eq!(replicas, steps.below(before));
                    prop_assert_eq!(decision.verdict.1, "ScaledDown");
                }
            } else {
                prop_assert!(decision.verdict.0 != "True");
            }
        }
    }

    #[test]
    fn unknown_input_never_changes_replicas((mut scene, partitions, readings) in any_story(), which in 0..6) {
        for reading in readings {
            scene.next(reading);
            let (least, most) = (scene.autoscaling.min_replicas, scene.autoscaling.max_replicas);
            if scene.current < least.min(partitions) || scene.current > most { continue; }
            let before = scene.current;
            let mut unknown = reading_of_much(partitions);
            match which {
                0 => unknown.lag = None,
                1 => unknown.rate = None,
                2 => unknown.produced = None,
                3 => unknown.group = None,
                4 => unknown.group = Some(false),
                _ => scene.rolling_out = true,
            }
            prop_assert_eq!(scene.next(Some(unknown)).replicas, before);
            prop_assert_eq!(scene.next(None).replicas, before);
            scene.rolling_out = false;
        }
    }

    #[test]
    fn more_lag_never_means_fewer_pods(
        (scene, partitions, readings) in any_story(), produced in 0.0..1000.0, rate in 0.0..1000.0,
        (less, more) in (0..100_000_i64, 0..100_000_i64),
    ) {
        let (mut one, mut other) = (scene.again(), scene.again());
        for reading in readings {
            one.next(reading.clone());
            other.next(reading);
        }
        // The last reading teaches nothing about the pods: they are not all ready.
        let decided = |scene: &mut Scene, lag| {
            scene.now += super::tests::INTERVAL;
            let reading = Reading { at: scene.now, ..reading(partitions, lag, produced, rate) };
            scene.ask(Some(&reading), -1).replicas
        };
        prop_assert!(decided(&mut one, less) <= decided(&mut other, less + more));
    }

    /// Whatever a load does between 90 % and 110 % of itself, and whether or not it is known what a pod carries: there may be
    /// steps up or steps down, never both.
    #[test]
    fn a_constant_load_does_not_flap(
        mut scene in any_scene(), partitions in 1..50,
        lag in prop_oneof![Just(0), 0..50_000_i64], produced in 0.0..5000.0,
        capacity in prop::option::of(1.0..500.0),
        waves in prop::collection::vec((0.9..1.1, 1..60), 1..40),
    ) {
        scene.current = scene.current.clamp(scene.autoscaling.min_replicas, scene.autoscaling.max_replicas);
        if let Some(capacity) = capacity {
            let pods = scene.current;
            let rate = capacity * f64::from(pods);
            for _ in 0..2 {
                scene.now += super::tests::INTERVAL;
                let mut saturated = reading(partitions, 50 * rate as i64, rate, rate);
                saturated.at = scene.now;
                scene.ask(Some(&saturated), pods);
            }
        }
        let (mut ups, mut downs) = (0, 0);
        scene.current = scene.next(Some(reading(partitions, lag, produced, produced))).replicas;
        for (factor, times) in waves {
            for _ in 0..times {
                let before = scene.current;
                let lag = (lag as f64 * factor) as i64;
                // What is carried is what arrives; it does not show what a pod could carry.
                let mut now = reading(partitions, lag, produced * factor, produced * factor);
                now.behind = Some(0);
                let after = scene.next(Some(now)).replicas;
                ups += i32::from(after > before);
                downs += i32::from(after < before);
            }
        }
        prop_assert!(ups == 0 || downs == 0, "{ups} ups, {downs} downs");
    }
}

fn reading_of_much(partitions: i32) -> Reading {
    reading(partitions, 10_000_000, 100.0, 100.0)
}
