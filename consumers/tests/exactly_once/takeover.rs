//! A member takes over what another had, while nothing arrives.

use std::sync::Arc;

use crate::group::{Group, SESSION_TIMEOUT};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_partition_is_shown_by_its_next_owner_with_the_same_values() {
    let stage = Arc::new(Stage::new("takeover").await);
    let mut group = Group::new(&stage, "g").await;
    stage.traffic.burst(2000);
    group.join("a");
    group.join("b");
    group.is_exact().await;

    // By a member that is there already, by one that is new, and by the same pod again.
    group.kill(0);
    group.is_exact().await;
    group.join("c");
    group.kill(0);
    group.is_exact().await;
    let pod = group.kill(0);
    group.join(&pod);
    group.is_exact().await;

    // After a rolling restart: the new one joins before the old one leaves.
    group.join("d");
    group.leave(0).await;
    let took = group.shows_all(SESSION_TIMEOUT * 4).await;
    println!("a rolling restart hid partitions for {took:.1?}");
    assert!(
        took.is_some_and(|took| took < SESSION_TIMEOUT * 2),
        "a member that leaves needs no timeout: {took:?}"
    );
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}
