//! All faults together, while members are killed, join and leave at random.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_dev_engine::{Fault, Flavour, RetryAfter, Rules, Script};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::group::Group;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::traffic::{POISON, Wrongs};

/// So many documents more are indexed before each kill: who is killed all the time and does nothing proves nothing.
const PROGRESS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_MEMBERS: usize = 3;
/// Records a second.
const RATE: u32 = 150;

/// What happened to a group.
#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    joins: u32,
    leaves: u32,
    rollovers: u32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_and_kills_neither_lose_nor_double_anything() {
    let variable = std::env::var("BT_CHAOS_KILLS").ok();
    let kills = variable.map_or(18, |kills| {
        kills.parse().expect("BT_CHAOS_KILLS is a number")
    });
    let wrongs = Wrongs {
        poisoned: 1,
        large: 1,
        large_bytes: 25_000,
        ..Wrongs::default()
    };
    let (began, stage) = (Instant::now(), Arc::new(Stage::new("chaos", wrongs).await));
    let traffic = stage.traffic.start(RATE);
    let mut harassed = JoinSet::new();
    let setups = setups();
    let groups = setups.len() as u32;
    for (setup, number) in setups.into_iter().zip(0..) {
        let faults = faults(&setup);
        let group = Group::new(&stage, &format!("g{number}"), setup).await;
        let share = kills / groups + u32::from(number < kills % groups);
        harassed.spawn(harass(group, share, faults, stage.random(number)));
    }
    let groups = harassed.join_all().await;
    drop(traffic);
    for (mut group, tally) in groups {
        let faults = group.engine.tally().faults;
        println!("{}: {tally:?}, {faults:?}", group.id);
        let happened: u64 = faults.values().sum();
        assert!(
            happened > u64::from(tally.kills),
            "{}: hardly a fault happened: {faults:?}",
            group.id
        );
        group.calm();
        group.is_exact().await;
        group.finish().await;
    }
    println!(
        "chaos: {kills} kills, {} events in {:.0?}",
        stage.traffic.sent(),
        began.elapsed()
    );
    stage.strike().await;
}

/// Kills so many members of a group, at most [`MOST_MEMBERS`] at a time; in the end at least one is alive.
async fn harass(
    mut group: Group,
    kills: u32,
    faults: Vec<Fault>,
    mut random: Rng,
) -> (Group, Tally) {
    let rolls_over = faults.contains(&Fault::Rollover);
    let mut tally = Tally::default();
    let mut pods = 0..;
    let mut new_pod = || format!("pod-{}", pods.next().unwrap_or(0));
    group.join(&new_pod());
    group.join(&new_pod());
    while tally.kills < kills {
        group.play(mix(&faults, &mut random));
        let more = group.engine.count() + PROGRESS;
        moment(&mut random, 1000..4000).await;
        match random.u8(..100) {
            0..30 if group.members.len() < MOST_MEMBERS => {
                group.join(&new_pod());
                tally.joins += 1;
            }
            30..50 if group.members.len() > 1 => {
                let index = random.usize(..group.members.len());
                group.leave(index).await;
                tally.leaves += 1;
            }
            50..70 if rolls_over => {
                group.engine.roll_over();
                tally.rollovers += 1;
            }
            _ => {}
        }
        group.holds(more, PATIENCE).await;
        moment(&mut random, 0..2000).await;
        group.tend();
        let pod = group.kill(random.usize(..group.members.len()));
        tally.kills += 1;
        // The container is started again, or the pod is gone for good.
        if group.members.is_empty() || random.u8(..4) > 0 {
            group.join(&pod);
        }
    }
    (group, tally)
}

/// Groups that consume the same topic at the same time, each into an engine of its own.
fn setups() -> [Setup; 3] {
    let setup = Setup::of_rules(Rules {
        max_bytes: 20_000,
        poison: POISON.into(),
        refuse_one_in: 5000,
        ..Rules::default()
    });
    let plain = Setup {
        flavour: Flavour::ElasticsearchOss,
        bulk: "{maxBytes: 32768, maxDocs: 100, flushInterval: 100ms, concurrency: 4, compression: Gzip}",
        ..setup.clone()
    };
    let streams = Setup {
        flavour: Flavour::Elasticsearch,
        data_stream: "logs-{service}-{date}",
        ..setup.clone()
    };
    [plain, setup, streams]
}

/// What can happen to a group.
fn faults(setup: &Setup) -> Vec<Fault> {
    let retry_after = Some(RetryAfter::Seconds(1));
    let mut all = vec![
        Fault::TooManyRequests { retry_after },
        Fault::TooManyItems {
            percent: 30,
            retry_after: None,
        },
        Fault::Unavailable { retry_after: None },
        Fault::Unauthorized,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::HalfAnswer,
        Fault::DoneThenHangs { seconds: 1.5 },
        Fault::Hangs { seconds: 1.5 },
        Fault::SlowRead {
            bytes_per_second: 50_000,
        },
        Fault::SlowAnswer { seconds: 0.5 },
        Fault::ReadOnly,
        Fault::FloodStage,
        Fault::IndexClosed,
        Fault::UnavailableShards { percent: 30 },
    ];
    // Not together: a request that is done after it was sent again, into another backing index, makes a second copy when nobody looks
    // for one any more. No client can see it.
    match setup.flavour.data_streams() {
        true => all.extend([Fault::Rollover, Fault::RolloverThenReset]),
        false => all.push(Fault::DoneLate { seconds: 2.0 }),
    }
    all
}

/// A script of some of these faults.
fn mix(all: &[Fault], random: &mut Rng) -> Script {
    let faults: Vec<_> = (0..5)
        .map(|_| (random.u32(2..=12), all[random.usize(..all.len())]))
        .collect();
    Script::mix(random.u64(..), &faults)
}

async fn moment(random: &mut Rng, millis: std::ops::Range<u64>) {
    sleep(Duration::from_millis(random.u64(millis))).await;
}
