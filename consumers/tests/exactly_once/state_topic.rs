//! The state topic is lost, or holds what this version does not know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::checks::{Kind, report};
use crate::group::Group;
use crate::stage::{PARTITIONS, Stage};

/// Within which a member notices that a topic is another of the same name.
const NOTICED: Duration = Duration::from_secs(90);

/// A group that has a state of all partitions, and no members any more.
async fn left_with_a_state(stage: &Arc<Stage>) -> Group {
    let mut group = Group::new(stage, "g").await;
    stage.traffic.burst(300);
    group.join("a");
    group.is_exact().await;
    group.leave(0).await;
    group
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_topic_that_is_made_anew_gets_all_that_is_in_memory() {
    let stage = Arc::new(Stage::new("state-anew").await);
    let mut group = Group::new(&stage, "g").await;
    let traffic = stage.traffic.start(100);
    group.join("a");
    group.join("b");
    assert!(
        group.shows_all(Duration::from_secs(30)).await.is_some(),
        "not all is shown"
    );
    // A partition that moves while there is no state topic begins anew.
    assert!(
        group.each_shows(Duration::from_secs(30)).await,
        "a member has no partition"
    );
    let state = group.state_topic();
    stage.delete(&state).await;
    sleep(Duration::from_secs(5)).await;
    stage.create_state(&state, PARTITIONS).await;
    sleep(Duration::from_secs(10)).await;
    drop(traffic);
    let findings = group.comes_to_the_model(NOTICED).await;
    assert!(findings.is_empty(), "totals go on:{}", report(&findings));

    // Series that had no event since are there as well.
    for _ in 0..2 {
        group.kill(0);
    }
    group.join("c");
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_lost_is_told_and_begun_anew() {
    let stage = Arc::new(Stage::new("state-lost").await);
    let mut group = left_with_a_state(&stage).await;
    let state = group.state_topic();
    stage.delete(&state).await;
    stage.create_state(&state, PARTITIONS).await;
    // From here on, since its offsets are still there.
    for partition in 0..PARTITIONS {
        group.begins_anew(partition);
    }
    stage.traffic.burst(300);
    group.join("b");
    group.is_exact().await;
    let report = group.members[0].get("sink").await;
    for partition in 0..PARTITIONS {
        let (lost, source) = ("\"StateLost\"", stage.source(partition));
        assert!(
            report.contains(lost) && report.contains(&source),
            "{report}"
        );
    }

    // Once is enough.
    group.kill(0);
    group.join("c");
    group.is_exact().await;
    let report = group.members[0].get("sink").await;
    assert!(!report.contains("StateLost"), "{report}");
    group.finish().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_with_a_state_of_a_newer_format_is_left_alone_and_others_go_on() {
    let stage = Arc::new(Stage::new("state-newer").await);
    let mut group = left_with_a_state(&stage).await;
    let state = group.state_topic();
    let records = stage.records(&state).await;
    let record = records
        .iter()
        .find(|r| r.partition == 2 && !r.value.is_empty());
    let record = record.expect("partition 2 has a state");
    stage.write(&state, 2, &record.key, &[99, 1, 2, 3]);
    let newer = stage.source(2);
    let committed = stage
        .admin
        .committed_offsets(&group.id)
        .await
        .expect("Kafka answers");

    stage.traffic.burst(300);
    group.join("b");
    let deadline = Instant::now() + Duration::from_secs(30);
    let says = loop {
        let says = group.members[0].get("readyz").await;
        if says.contains("99") && says.contains("format") && says.contains(&newer) {
            break says;
        }
        assert!(
            Instant::now() < deadline,
            "/readyz does not tell of the format: {says:?}"
        );
        sleep(Duration::from_millis(200)).await;
    };
    println!("it says: {says}");
    let findings = group.comes_to_the_model(Duration::from_secs(20)).await;
    assert!(
        !findings.is_empty()
            && findings
                .iter()
                .all(|f| f.what.contains(&newer) || f.what.contains("committed")),
        "all but {newer} go on:{}",
        report(&findings)
    );
    assert!(!group.shown_sources().contains(&newer), "{newer} is shown");
    let now = stage
        .admin
        .committed_offsets(&group.id)
        .await
        .expect("Kafka answers");
    let partition = (stage.name.clone(), 2);
    assert_eq!(
        now.get(&partition),
        committed.get(&partition),
        "{newer} was consumed"
    );

    // Its bad events wait with the others of the partition.
    let mut findings = group.findings().await;
    findings.retain(|finding| finding.kind != Kind::Letter);
    assert!(findings.is_empty(), "{}", report(&findings));
    group.discard().await;
    stage.strike().await;
}
