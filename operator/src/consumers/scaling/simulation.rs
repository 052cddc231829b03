//! The decision beside that of a HorizontalPodAutoscaler with KEDA's Kafka scaler, on the same loads. To see the pictures:
//! `cargo test -p bt-operator simulation -- --nocapture`. A column is 30 seconds.

mod hpa;
mod picture;
mod world;

use std::fmt;
use std::time::Duration;

use bt_consumers::config::HumanDuration;

use super::tests::{Scene, reading};
use hpa::Hpa;
use world::{Load, PARTITIONS, World};

const MINUTE: u32 = 60;
const INTERVAL: u32 = 10;
const TARGET_LAG: i64 = 1000;
const MAX: i32 = 12;

/// What became of one load.
struct Run {
    replicas: Vec<i32>,
    lag: Vec<f64>,
}

impl Run {
    /// Changes of the number of pods, up and down.
    fn changes(&self) -> (usize, usize) {
        let pairs = self.replicas.windows(2);
        let ups = pairs.clone().filter(|pair| pair[1] > pair[0]).count();
        (ups, pairs.filter(|pair| pair[1] < pair[0]).count())
    }

    /// The last second with more than this behind.
    fn last_above(&self, lag: f64) -> usize {
        self.lag.iter().rposition(|now| *now > lag).unwrap_or(0)
    }

    fn pod_minutes(&self) -> i32 {
        self.replicas.iter().sum::<i32>() / MINUTE as i32
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ups, downs) = self.changes();
        let most = self.lag.iter().copied().fold(0.0, f64::max);
        let last = self.last_above(3.0 * TARGET_LAG as f64);
        write!(
            f,
            "{ups} times up, {downs} down, {} pod minutes; lag at most {most:.0}, over {} until {}:{:02}",
            self.pod_minutes(),
            3 * TARGET_LAG,
            last / 60,
            last % 60
        )
    }
}

/// Lets the operator decide, with or without `targetDrain`.
fn operator(load: &Load, start: i32, drain: Option<u64>) -> Run {
    let mut scene = Scene::new(1, MAX, start);
    scene.autoscaling.target_lag = TARGET_LAG;
    scene.autoscaling.target_drain = drain.map(HumanDuration::from_secs);
    let began = scene.now;
    let mut before: Option<(f64, f64)> = None;
    run(load, start, |world| {
        scene.now = began + Duration::from_secs(world.second.into());
        scene.current = world.replicas;
        if !world.second.is_multiple_of(INTERVAL) {
            return None;
        }
        let reading = (!world.away).then(|| {
            let (ends, committed) = (world.ends.iter().sum(), world.committed.iter().sum());
            let mut read = reading(PARTITIONS as i32, world.lag() as i64, 0.0, 0.0);
            let rate = |now: f64, then: f64| (now - then) / f64::from(INTERVAL);
            read.produced = before.map(|(then, _)| rate(ends, then));
            read.rate = before.map(|(_, then)| rate(committed, then));
            read.behind = Some(world.behind() as i32);
            read.group = Some(world.rebalancing == 0);
            read.at = scene.now;
            before = Some((ends, committed));
            read
        });
        if reading.is_none() {
            before = None;
        }
        let ready = world.members() as i32;
        Some(scene.ask(reading.as_ref(), ready).replicas)
    })
}

fn keda(load: &Load, start: i32) -> Run {
    let mut hpa = Hpa::new(1, MAX, TARGET_LAG as f64);
    run(load, start, |world| hpa.decide(world))
}

fn run(load: &Load, start: i32, mut decide: impl FnMut(&World) -> Option<i32>) -> Run {
    let mut world = World::new(start);
    let (mut replicas, mut lag) = (Vec::new(), Vec::new());
    for _ in 0..load.seconds {
        world.step(load);
        if let Some(wanted) = decide(&world)
            && wanted != world.replicas
        {
            world.scale(wanted);
        }
        replicas.push(world.replicas);
        lag.push(world.lag());
    }
    Run { replicas, lag }
}

/// Runs a load with all three, and prints them.
fn all(load: &Load, start: i32) -> [Run; 3] {
    let runs = [
        operator(load, start, None),
        operator(load, start, Some(300)),
        keda(load, start),
    ];
    let [plain, drain, hpa] = &runs;
    let named = [
        ("operator, targetLag 1000", plain),
        ("operator, targetDrain 5m as well", drain),
        ("HPA with KEDA, lagThreshold 1000", hpa),
    ];
    print!("{}", picture::draw(load.name, &named));
    runs
}

fn never(_: u32) -> bool {
    false
}

/// A load that goes up and down by 10 %, at several speeds at once.
fn about(mean: f64, second: u32) -> f64 {
    let second = f64::from(second);
    let waves = (second / 7.0).sin() + (second / 61.0).sin() + (second / 400.0).sin();
    mean * (1.0 + 0.1 * waves / 3.0)
}

#[test]
fn steady() {
    let load = Load {
        name: "Steady: 250/s and 10 % more or less; a pod carries 100/s",
        seconds: 90 * MINUTE,
        arrives: |second| about(250.0, second),
        first_partition: 1.0 / 12.0,
        is_away: never,
        is_shaken: never,
    };
    let [plain, drain, _] = all(&load, 4);
    for run in [plain, drain] {
        let (ups, downs) = run.changes();
        // Once it has tried how few are too few.
        assert!(ups + downs <= 5, "{ups} ups, {downs} downs");
        assert!(run.replicas[1200..].iter().all(|replicas| *replicas == 4));
    }
}

#[test]
fn burst() {
    let load = Load {
        name: "Burst: 50/s, and for one minute 1000/s",
        seconds: 60 * MINUTE,
        arrives: |second| match second {
            300..360 => 1000.0,
            _ => 50.0,
        },
        first_partition: 1.0 / 12.0,
        is_away: never,
        is_shaken: never,
    };
    let [plain, drain, hpa] = all(&load, 1);
    for run in [&plain, &drain] {
        assert_eq!(run.replicas.iter().max(), Some(&MAX));
        assert!(run.last_above(TARGET_LAG as f64) <= 500, "drained");
        assert_eq!(run.replicas.last(), Some(&1));
        // 1, 12, 6, 4, 3, 2, 1.
        assert_eq!(run.changes(), (1, 5));
        assert!(run.last_above(TARGET_LAG as f64) <= hpa.last_above(TARGET_LAG as f64));
    }
}

#[test]
fn ramp() {
    let load = Load {
        name: "Ramp: from 50/s to 900/s in half an hour, and back",
        seconds: 90 * MINUTE,
        arrives: |second| {
            let half = f64::from(second.min(3600 - second.min(3600))) / 1800.0;
            50.0 + 850.0 * half
        },
        first_partition: 1.0 / 12.0,
        is_away: never,
        is_shaken: never,
    };
    let [plain, drain, hpa] = all(&load, 1);
    for run in [&plain, &drain] {
        let (ups, downs) = run.changes();
        assert!(ups <= 5 && downs == 5, "{ups} ups, {downs} downs");
        assert_eq!(run.replicas.last(), Some(&1));
        let most = |run: &Run| run.lag.iter().copied().fold(0.0, f64::max);
        assert!(most(run) <= most(&hpa) / 3.0, "far less behind");
    }
}

#[test]
fn broker_outage() {
    let load = Load {
        name: "Broker outage: 250/s, half a minute of 1000/s, and a minute later no broker for two minutes",
        seconds: 60 * MINUTE,
        arrives: |second| match second {
            600..630 => 1000.0,
            _ => 250.0,
        },
        first_partition: 1.0 / 12.0,
        is_away: |second| (690..810).contains(&second),
        is_shaken: never,
    };
    let [plain, drain, _] = all(&load, 4);
    for run in [&plain, &drain] {
        let during = &run.replicas[690..810];
        assert!(during.iter().all(|replicas| *replicas == run.replicas[689]));
        assert!(run.last_above(3.0 * TARGET_LAG as f64) <= 1100, "drained");
    }
}

#[test]
fn rebalance_storm() {
    let load = Load {
        name: "Rebalance storm: 250/s; for ten minutes the group rebalances half of the time",
        seconds: 60 * MINUTE,
        arrives: |second| about(250.0, second),
        first_partition: 1.0 / 12.0,
        is_away: never,
        is_shaken: |second| (600..1200).contains(&second) && (second / 15).is_multiple_of(2),
    };
    let [plain, drain, hpa] = all(&load, 4);
    for run in [&plain, &drain] {
        let (ups, downs) = run.changes();
        assert!(ups <= 3 && downs <= 6, "{ups} ups, {downs} downs");
        assert!(ups + downs <= hpa.changes().0 + hpa.changes().1);
        assert!(run.last_above(3.0 * TARGET_LAG as f64) <= 1400, "drained");
    }
}

#[test]
fn skewed_partitions() {
    let load = Load {
        name: "Skewed partitions: 200/s, of which 45 % in one partition",
        seconds: 60 * MINUTE,
        arrives: |second| about(200.0, second),
        first_partition: 0.45,
        is_away: never,
        is_shaken: never,
    };
    let [plain, drain, _] = all(&load, 2);
    for run in [plain, drain] {
        let (ups, downs) = run.changes();
        assert!(ups <= 4 && downs == 0, "{ups} ups, {downs} downs");
        assert!(run.lag.last().is_some_and(|lag| *lag < 3000.0), "carried");
    }
}
