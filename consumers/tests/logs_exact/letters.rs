//! The dead-letter topic is not there for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::group::Group;
use crate::setup::Setup;
use crate::stage::{PARTITIONS, Stage};
use crate::traffic::Wrongs;

/// The records' own timeout is ten seconds.
const TOLD: Duration = Duration::from_secs(60);
/// The partition with letters.
const WAITS: i32 = 1;
const NONE: Wrongs = Wrongs {
    malformed: 0,
    refused: 0,
    poisoned: 0,
    large: 0,
    large_bytes: 0,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_with_letters_waits_for_their_topic_and_the_others_go_on() {
    let stage = Arc::new(Stage::new("no-letters", NONE).await);
    let mut group = Group::new(&stage, "g", Setup::default()).await;
    let letters = group.letters_topic();
    stage.delete(&letters).await;
    for partition in 0..PARTITIONS {
        stage.traffic.burst_into(partition, 20);
    }
    let first = stage.ends_of(&stage.name).await[&(stage.name.clone(), WAITS)];
    stage.traffic.malformed(WAITS);
    for partition in 0..PARTITIONS {
        stage.traffic.burst_into(partition, 100);
    }
    group.join("a");
    group.join("b");

    let began = Instant::now();
    loop {
        let mut told = false;
        for member in &group.members {
            let report = member.process.get("sink").await;
            told |= report.contains(&format!("dead-letter topic {letters}"));
        }
        let committed = stage
            .admin
            .committed_offsets(&group.id)
            .await
            .unwrap_or_default();
        let ends = stage.ends_of(&stage.name).await;
        let at_the_end = |partition: i32| {
            let partition = (stage.name.clone(), partition);
            committed.get(&partition) == ends.get(&partition)
        };
        let position = committed
            .get(&(stage.name.clone(), WAITS))
            .copied()
            .unwrap_or(0);
        assert!(
            position <= first,
            "the record at {first} was passed without its letter: {position}"
        );
        let others = (0..PARTITIONS)
            .filter(|partition| *partition != WAITS)
            .all(at_the_end);
        if told && others {
            break;
        }
        assert!(
            began.elapsed() < TOLD,
            "told: {told}, committed are {committed:?} of {ends:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
    // What arrives now is carried on as well.
    for partition in (0..PARTITIONS).filter(|partition| *partition != WAITS) {
        stage.traffic.burst_into(partition, 50);
    }
    let began = Instant::now();
    loop {
        let committed = stage
            .admin
            .committed_offsets(&group.id)
            .await
            .unwrap_or_default();
        let ends = stage.ends_of(&stage.name).await;
        let mut others = ends
            .iter()
            .filter(|((_, partition), _)| *partition != WAITS);
        if others.all(|(partition, end)| committed.get(partition) == Some(end)) {
            break;
        }
        assert!(
            began.elapsed() < TOLD,
            "committed are {committed:?} of {ends:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
    for member in &group.members {
        assert_eq!(member.process.get("healthz").await, "ok\n");
    }
    stage.create(&letters, 1, &[]).await;
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}
