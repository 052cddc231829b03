//! Partitions are added to the source topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::checks::report;
use crate::group::Group;
use crate::model::Event;
use crate::stage::{PARTITIONS, Stage};
use crate::traffic::Traffic;

/// Longer than clients take to look at a topic again (`topic.metadata.refresh.interval.ms`).
const NOTICED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_partitions_wait_for_the_state_topic_and_others_do_not() {
    let stage = Arc::new(Stage::new("growth").await);
    let mut group = Group::new(&stage, "g").await;
    stage.traffic.burst(300);
    group.join("a");
    group.is_exact().await;
    let (new, state) = (PARTITIONS, group.state_topic());
    stage.grow(&stage.name, PARTITIONS as usize + 1).await;
    let running = stage.traffic.start(50);
    for _ in 0..10 {
        let event = Event::Count("requests_total", "read", 1.0);
        stage.traffic.send(new, &Traffic::sender(new), &[event]);
    }

    // It says what it waits for.
    let deadline = Instant::now() + NOTICED;
    let says = loop {
        let member = &group.members[0];
        let said = [
            member.get("readyz").await,
            member.get("sink").await,
            member.log(),
        ]
        .join("\n");
        let line = said
            .lines()
            .find(|line| line.contains(&state) && line.contains("partitions"));
        // At the start it may name its topics.
        if let Some(line) = line.filter(|line| !line.contains("\"level\":\"INFO\"")) {
            break line.to_owned();
        }
        assert!(
            Instant::now() < deadline,
            "nothing is said of the state topic's partitions:\n{said}"
        );
        sleep(Duration::from_millis(200)).await;
    };
    println!("it says: {says}");
    let added = stage.source(new);
    sleep(Duration::from_secs(5)).await;
    assert!(
        !group.shown_sources().contains(&added),
        "{added} is shown without a state"
    );
    drop(running);
    let findings = group.comes_to_the_model(Duration::from_secs(5)).await;
    assert!(
        !findings.is_empty()
            && findings
                .iter()
                .all(|f| f.what.contains(&added) || f.what.contains("committed")),
        "all but the new partition go on:{}",
        report(&findings)
    );

    stage.grow(&state, PARTITIONS as usize + 1).await;
    let findings = group.comes_to_the_model(NOTICED).await;
    assert!(
        findings.is_empty(),
        "the state topic has grown:{}",
        report(&findings)
    );
    // It is in the state, too.
    group.kill(0);
    group.join("b");
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}
