//! Series that have had no event for `seriesTtl`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::group::Group;
use crate::model::Event;
use crate::stage::{PARTITIONS, Stage};
use crate::traffic::Traffic;

/// Begins a series in each partition.
fn count(stage: &Stage, name: &'static str) {
    for partition in 0..PARTITIONS {
        let event = Event::Count(name, "read", 2.0);
        stage
            .traffic
            .send(partition, &Traffic::sender(partition), &[event]);
    }
}

/// In how many partitions a counter of this name is shown.
fn shown(group: &Group, name: &str) -> usize {
    let (scrapes, members) = (group.watch.scrapes(), &group.members);
    let members: Vec<u32> = members.iter().map(|member| member.id).collect();
    let shown = scrapes.shown(&members);
    shown
        .keys()
        .filter(|series| series.starts_with(name))
        .count()
}

async fn is_shown(group: &Group, name: &str, partitions: i32, within: Duration) {
    let deadline = Instant::now() + within;
    while shown(group, name) != partitions as usize {
        let now = shown(group, name);
        assert!(
            Instant::now() < deadline,
            "{name} is shown in {now} partitions, not in {partitions}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_expires_while_the_stream_is_idle_and_does_not_come_back_with_the_state() {
    let stage = Arc::new(Stage::new("expiry").await);
    let mut group = Group::new(&stage, "g").await.with_ttl("5s");
    group.join("a");
    count(&stage, "first_total");
    is_shown(&group, "first_total", PARTITIONS, Duration::from_secs(30)).await;
    is_shown(&group, "first_total", 0, Duration::from_secs(20)).await;
    // So much for the commit that takes them out of the state.
    sleep(Duration::from_secs(3)).await;

    // A series that is shown tells that the next owner has restored the others.
    group.kill(0);
    group.join("b");
    count(&stage, "second_total");
    is_shown(&group, "second_total", PARTITIONS, Duration::from_secs(30)).await;
    assert_eq!(
        shown(&group, "first_total"),
        0,
        "they came back with the state"
    );

    // Series of the same names begin anew.
    count(&stage, "first_total");
    is_shown(&group, "first_total", PARTITIONS, Duration::from_secs(20)).await;
    let id = group.members[0].id;
    let of_first =
        |(series, value): (&str, Vec<f64>)| series.starts_with("first_total").then_some(value);
    let values = group
        .watch
        .scrapes()
        .shown(&[id])
        .into_iter()
        .filter_map(of_first)
        .collect::<Vec<_>>();
    assert_eq!(values, vec![vec![2.0]; PARTITIONS as usize]);
    group.finish().await;
    stage.strike().await;
}
