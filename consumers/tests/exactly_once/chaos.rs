//! Members are killed, join and leave at random while events arrive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::checks::{Kind, report};
use crate::group::Group;
use crate::stage::Stage;

/// Groups that consume the same topic at the same time, each for itself: a group takes up to a session's timeout to notice that a
/// member is gone, and the others are killed meanwhile.
const GROUPS: u32 = 3;
const MOST_MEMBERS: usize = 4;
/// Records a second, of one to four events each.
const RATE: u32 = 300;
/// How long a takeover may take: the session's timeout, another one where the member that leads the group dies meanwhile, then what a
/// pod that does not come back has begun in Kafka is given up, and a restore.
const TAKEOVER: Duration = Duration::from_secs(60);

/// What was done to a group, and how long it took to show everything again.
#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    in_restore: u32,
    joins: u32,
    leaves: u32,
    takeovers: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_neither_lose_nor_double_an_event_nor_take_anything_back() {
    let variable = std::env::var("BT_CHAOS_KILLS").ok();
    let kills = variable.map_or(100, |kills| {
        kills.parse().expect("BT_CHAOS_KILLS is a number")
    });
    let (began, stage) = (Instant::now(), Arc::new(Stage::new("chaos").await));
    let traffic = stage.traffic.start(RATE);
    let mut harassed = JoinSet::new();
    for number in 0..GROUPS {
        let group = Group::new(&stage, &format!("g{number}")).await;
        let share = kills / GROUPS + u32::from(number < kills % GROUPS);
        harassed.spawn(harass(group, share, stage.random(number)));
    }
    let groups = harassed.join_all().await;
    drop(traffic);
    for (mut group, tally) in groups {
        let longest = tally.takeovers.iter().max().copied().unwrap_or_default();
        let all: Duration = tally.takeovers.iter().sum();
        let mean = all / tally.takeovers.len().max(1) as u32;
        println!(
            "{}: {} kills ({} in a restore), {} joins, {} leaves; all shown again after {mean:.1?}, at most {longest:.1?}",
            group.id, tally.kills, tally.in_restore, tally.joins, tally.leaves
        );
        assert!(
            longest < TAKEOVER,
            "group {}: partitions were not shown for {longest:?}",
            group.id
        );
        group.is_exact().await;
        group.finish().await;
    }
    println!("chaos: {kills} kills in {:.0?}", began.elapsed());
    stage.strike().await;
}

/// Without the state in Kafka the same checks must find what they are for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_the_same_checks_find_resets_and_wrong_totals() {
    let stage = Arc::new(Stage::new("teeth").await);
    let group = Group::new(&stage, "g").await.at_least_once();
    let traffic = stage.traffic.start(RATE);
    let (mut group, _) = harass(group, 4, stage.random(0)).await;
    drop(traffic);
    let mut findings = group.comes_to_the_model(Duration::from_secs(20)).await;
    findings.extend(group.findings().await);
    println!("at least once:{}", report(&findings));
    for kind in [Kind::WentBack, Kind::Differs] {
        assert!(
            findings.iter().any(|f| f.kind == kind),
            "nothing of {kind:?} was found"
        );
    }
    group.discard().await;
    stage.strike().await;
}

/// Kills so many members of a group, at most [`MOST_MEMBERS`] at a time; in the end at least one is alive.
async fn harass(mut group: Group, kills: u32, mut random: Rng) -> (Group, Tally) {
    let mut tally = Tally::default();
    let mut pods = 0..;
    let mut new_pod = || format!("pod-{}", pods.next().unwrap_or(0));
    for _ in 0..random.usize(1..=MOST_MEMBERS) {
        group.join(&new_pod());
    }
    while tally.kills < kills {
        let took = group.shows_all(TAKEOVER).await.unwrap_or(TAKEOVER);
        tally.takeovers.push(took);
        match random.u8(..100) {
            0..25 if group.members.len() < MOST_MEMBERS => {
                group.join(&new_pod());
                tally.joins += 1;
            }
            25..50 if group.members.len() > 1 => {
                let index = random.usize(..group.members.len());
                group.leave(index).await;
                tally.leaves += 1;
            }
            _ => {}
        }
        // A transaction is begun every second: this falls before, into or behind one.
        moment(&mut random, 900).await;
        let most = group.members.len().min((kills - tally.kills) as usize);
        let victims = match random.u8(..10) {
            0..6 => 1,
            6..9 => most.min(2),
            _ => most,
        };
        let mut killed = Vec::new();
        for _ in 0..victims {
            let pod = group.kill(random.usize(..group.members.len()));
            tally.kills += 1;
            // The same pod's container again, or another pod.
            killed.push(if random.u8(..5) > 0 { pod } else { new_pod() });
            if random.bool() {
                moment(&mut random, 900).await;
            }
        }
        for pod in killed {
            group.join(&pod);
        }
        if random.u8(..5) < 2 && tally.kills < kills && assigned(&mut group).await {
            moment(&mut random, 300).await;
            if let Some(pod) = group.members.pop().map(|mut member| {
                member.kill();
                member.pod.clone()
            }) {
                tally.kills += 1;
                tally.in_restore += 1;
                group.join(&pod);
            }
        }
    }
    let took = group.shows_all(TAKEOVER).await.unwrap_or(TAKEOVER);
    tally.takeovers.push(took);
    (group, tally)
}

async fn moment(random: &mut Rng, millis: u64) {
    sleep(Duration::from_millis(random.u64(..=millis))).await;
}

/// Waits until the member that joined last is given partitions, which it has to restore then.
async fn assigned(group: &mut Group) -> bool {
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        let Some(last) = group.members.last() else {
            return false;
        };
        let metrics = last.get("metrics").await;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("bt_consumer_assigned_partitions "));
        if count.is_some_and(|count| count != "0") {
            return true;
        }
        group.tend();
        sleep(Duration::from_millis(20)).await;
    }
    false
}
