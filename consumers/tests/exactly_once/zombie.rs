//! A member that is stopped for longer than its session lasts, and goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::checks::{Kind, report};
use crate::group::{Group, SESSION_TIMEOUT};
use crate::stage::Stage;

/// Records a second.
const RATE: u32 = 200;

/// The first of two members is stopped until the second has taken over all it had, and a while longer.
async fn the_first_sleeps(group: &mut Group) {
    settled(group, 2).await;
    group.members[0].pause().await;
    // While it is stopped it shows nothing: what it showed last does not count.
    let sleeper = group.members.remove(0);
    let took = group.shows_all(SESSION_TIMEOUT * 4).await;
    let other = &group.members[0];
    assert!(
        took.is_some(),
        "the other does not take over; it says {}",
        other.get("readyz").await
    );
    sleep(Duration::from_secs(3)).await;
    sleeper.resume();
    group.members.insert(0, sleeper);
    // Longer than it takes to notice, to join again and to restore.
    sleep(SESSION_TIMEOUT + SESSION_TIMEOUT / 2).await;
}

/// Waits until so many members show something, and together all.
async fn settled(group: &mut Group, members: usize) {
    for _ in 0..300 {
        let show = {
            let scrapes = group.watch.scrapes();
            let last = group
                .members
                .iter()
                .filter_map(|member| scrapes.last(member.id));
            last.filter(|scrape| !scrape.values.is_empty()).count()
        };
        if show == members && group.shows_all(Duration::ZERO).await.is_some() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{members} members do not share the partitions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_shows_nothing_of_what_it_lost_and_commits_nothing() {
    let stage = Arc::new(Stage::new("zombie").await);
    let mut group = Group::new(&stage, "g").await;
    let traffic = stage.traffic.start(RATE);
    group.join("sleeper");
    group.join("other");
    for _ in 0..3 {
        the_first_sleeps(&mut group).await;
    }
    drop(traffic);
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}

/// Without the lease the same checks must find what they are for. A zombie shows what it lost for as long as it takes to hear of
/// the loss, which may be less than it takes to answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_a_zombie_is_found() {
    let stage = Arc::new(Stage::new("zombie-teeth").await);
    let mut group = Group::new(&stage, "g").await.at_least_once();
    let traffic = stage.traffic.start(RATE);
    group.join("sleeper");
    group.join("other");
    for times in 1.. {
        the_first_sleeps(&mut group).await;
        let findings = group.findings().await;
        if findings.iter().any(|f| f.kind == Kind::ShownByTwo) {
            println!("at least once, after {times} times:{}", report(&findings));
            break;
        }
        assert!(
            times < 5,
            "a zombie showed nothing, {times} times:{}",
            report(&findings)
        );
    }
    drop(traffic);
    group.discard().await;
    stage.strike().await;
}
