//! A member that loses its place in the group without hearing of it: stopped for longer than its session lasts, or deaf.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::checks::{Kind, report};
use crate::group::{Group, SESSION_TIMEOUT};
use crate::hung::{Hung, RDKAFKA_MAIN};
use crate::member::Member;
use crate::stage::Stage;

/// Records a second.
const RATE: u32 = 200;

/// The first of two members is stopped as a whole until the second has taken over all it had, and a while longer.
async fn the_first_sleeps(group: &mut Group) {
    settled(group, 2).await;
    group.members[0].pause().await;
    let sleeper = group.members.remove(0);
    taken_over(group).await;
    sleeper.resume();
    is_back(group, sleeper).await;
}

/// The first of two members goes on without what would tell it that the second has taken over all it had.
async fn the_first_is_deaf(group: &mut Group) {
    settled(group, 2).await;
    let hung = Hung::threads(group.members[0].pid(), RDKAFKA_MAIN);
    let deaf = group.members.remove(0);
    taken_over(group).await;
    drop(hung);
    is_back(group, deaf).await;
}

/// Waits until the members that are left show all, and a while longer. What the one that is away showed last does not count.
async fn taken_over(group: &mut Group) {
    let took = group.shows_all(SESSION_TIMEOUT * 4).await;
    let other = &group.members[0];
    assert!(
        took.is_some(),
        "the other does not take over; it says {}",
        other.get("readyz").await
    );
    sleep(Duration::from_secs(3)).await;
}

async fn is_back(group: &mut Group, member: Member) {
    group.members.insert(0, member);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_deaf_to_its_group_shows_nothing_of_what_it_lost() {
    let stage = Arc::new(Stage::new("deaf").await);
    let mut group = Group::new(&stage, "g").await;
    let traffic = stage.traffic.start(RATE);
    group.join("deaf");
    group.join("other");
    the_first_is_deaf(&mut group).await;
    drop(traffic);
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}

/// Without the lease the same checks must find what they are for. A member that was stopped as a whole hears of its loss within
/// milliseconds when it goes on, mostly before it has answered; one that does not hear of it answers all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_a_zombie_is_found() {
    let stage = Arc::new(Stage::new("zombie-teeth").await);
    let mut group = Group::new(&stage, "g").await.at_least_once();
    let traffic = stage.traffic.start(RATE);
    group.join("deaf");
    group.join("other");
    the_first_is_deaf(&mut group).await;
    drop(traffic);
    let findings = group.findings().await;
    let shown_by_two = findings.iter().any(|f| f.kind == Kind::ShownByTwo);
    assert!(
        shown_by_two,
        "a zombie showed nothing:{}",
        report(&findings)
    );
    group.discard().await;
    stage.strike().await;
}
