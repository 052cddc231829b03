//! What is read again after a kill is not written again, though the data stream has rolled over meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bt_dev_engine::{Fault, Script};
use tokio::time::sleep;

use crate::group::Group;
use crate::setup::Setup;
use crate::stage::Stage;
use crate::traffic::Wrongs;

/// Records.
const RECORDS: usize = 800;

/// A member that is killed with everything done and nothing committed, since no answer came.
async fn killed_before_the_answer(what: &str, rolls_over: bool) {
    let stage = Arc::new(Stage::new(what, Wrongs::default()).await);
    let mut group = Group::new(&stage, "g", Setup::default()).await;
    // The group gets somewhere first: what is above may have been sent before.
    stage.traffic.burst(RECORDS);
    group.join("a");
    group.is_exact().await;
    let before = group.engine.count();
    group.play(Script::only(
        stage.seed,
        Fault::DoneThenHangs { seconds: 60.0 },
        100,
    ));
    stage.traffic.burst(RECORDS);
    group.holds(before + 50, Duration::from_secs(30)).await;
    let pod = group.kill(0);
    if rolls_over {
        group.engine.roll_over();
    }
    group.calm();
    group.join(&pod);
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_before_a_kill_is_not_done_again() {
    killed_before_the_answer("kill", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_before_a_kill_is_not_done_again_in_a_new_backing_index() {
    killed_before_the_answer("kill-rollover", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_members_that_are_killed_are_there_once() {
    let wrongs = Wrongs {
        malformed: 30,
        refused: 30,
        ..Wrongs::default()
    };
    let stage = Arc::new(Stage::new("kill-letters", wrongs).await);
    let mut group = Group::new(&stage, "g", Setup::default()).await;
    let traffic = stage.traffic.start(150);
    group.join("a");
    group.join("b");
    let mut random = stage.random(0);
    for _ in 0..4 {
        // Nobody is killed who has not done anything yet.
        let more = group.engine.count() + 30;
        group.holds(more, Duration::from_secs(40)).await;
        sleep(Duration::from_millis(random.u64(..1500))).await;
        let pod = group.kill(0);
        group.join(&pod);
    }
    drop(traffic);
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}
