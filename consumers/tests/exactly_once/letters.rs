//! The dead-letter topic is not there for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::group::Group;
use crate::stage::Stage;

/// The records' own timeout is ten seconds.
const TOLD: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_cannot_be_taken_wait_for_their_topic_and_are_in_it_once() {
    let stage = Arc::new(Stage::new("letters").await);
    let mut group = Group::new(&stage, "g").await;
    let letters = group.letters_topic();
    stage.delete(&letters).await;
    stage.traffic.burst(500);
    group.join("a");
    let began = Instant::now();
    loop {
        let report = group.members[0].get("sink").await;
        if report.contains(&format!("dead-letter topic {letters}")) {
            break;
        }
        assert!(began.elapsed() < TOLD, "{report}");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(group.members[0].get("healthz").await, "ok\n");
    stage.create(&letters, 1, &[]).await;
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}
