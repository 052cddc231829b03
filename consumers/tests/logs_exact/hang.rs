//! The engine hangs while events keep arriving: memory stays what it is, and no member loses its place in the group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bt_dev_engine::{Fault, Script};
use tokio::time::sleep;

use crate::counters::Counters;
use crate::group::{Group, SESSION_TIMEOUT};
use crate::setup::Setup;
use crate::stage::Stage;
use crate::traffic::Wrongs;

/// Far more than what members hold at a time, so that they are full from the beginning.
const RECORDS: usize = 60_000;
const BYTES: usize = 680;
/// How much more memory a member may have at the end than when it was full.
const GROWTH: u64 = 12 << 20;
/// The most it may have at all. The target of a release build with twice the partitions is 100 MiB.
const MOST: u64 = 160 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_engine_hangs_memory_is_bounded_and_members_stay_in_the_group() {
    let variable = std::env::var("BT_STALL_SECONDS").ok();
    let seconds = variable.map_or(30, |seconds| {
        seconds.parse().expect("BT_STALL_SECONDS is a number")
    });
    let stage = Arc::new(Stage::new("stall", Wrongs::default()).await);
    let setup = Setup {
        bulk: "{maxBytes: 1048576, flushInterval: 100ms, concurrency: 4}",
        ..Setup::default()
    };
    let mut group = Group::new(&stage, "g", setup).await;
    stage.traffic.burst(200);
    group.join("a");
    group.join("b");
    group.is_exact().await;
    group.are_settled().await;
    let joined = rebalances(&group).await;

    group.play(Script::only(
        stage.seed,
        Fault::Hangs { seconds: 3600.0 },
        100,
    ));
    stage.traffic.load(RECORDS, BYTES);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds / 3) {
        stage.traffic.burst(50);
        sleep(Duration::from_millis(500)).await;
    }
    let full = memory(&group);
    let mut most = full.clone();
    while began.elapsed() < Duration::from_secs(seconds) {
        stage.traffic.burst(50);
        sleep(Duration::from_millis(500)).await;
        most = memory(&group)
            .iter()
            .zip(&most)
            .map(|(now, most)| *now.max(most))
            .collect();
    }
    println!(
        "stall: full {full:?}, at most {most:?} bytes in {seconds} s; {} requests hang",
        group.engine.present()
    );
    assert!(group.engine.present() > 0, "nothing hangs");
    for (full, most) in full.iter().zip(&most) {
        assert!(
            *full > 0 && most - full < GROWTH && *most < MOST,
            "memory: full {full}, at most {most}"
        );
    }
    assert!(Duration::from_secs(seconds) > SESSION_TIMEOUT * 2);
    assert_eq!(
        rebalances(&group).await,
        joined,
        "a member had to join again"
    );
    for member in &group.members {
        assert_eq!(member.process.get("healthz").await, "ok\n");
        let counters = Counters::of(&member.process).await;
        assert!(
            counters.sum("bt_consumer_paused_partitions", &[]) > 0.0,
            "nothing is paused"
        );
        assert!(
            counters.sum("bt_consumer_in_flight_bytes", &[]) > 0.0,
            "nothing is in flight"
        );
    }
    group.calm();
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}

fn memory(group: &Group) -> Vec<u64> {
    group
        .members
        .iter()
        .map(|member| member.process.memory())
        .collect()
}

/// How often each member's assignment has changed.
async fn rebalances(group: &Group) -> Vec<f64> {
    let mut all = Vec::new();
    for member in &group.members {
        let counters = Counters::of(&member.process).await;
        assert!(
            counters.sum("bt_consumer_assigned_partitions", &[]) > 0.0,
            "{} has no partition",
            member.pod
        );
        all.push(counters.sum("bt_consumer_rebalances_total", &[]));
    }
    all
}
