//! The group's offsets are changed by other hands.

use std::sync::Arc;

use crate::group::Group;
use crate::model::Event;
use crate::stage::{PARTITIONS, Stage};
use crate::traffic::Traffic;

/// Takes away a group's offsets, or changes them, while it has no members; what it had committed stays in its state.
async fn stopped(stage: &Arc<Stage>) -> Group {
    let mut group = Group::new(stage, "g").await;
    stage.traffic.burst(500);
    group.join("a");
    group.is_exact().await;
    group.leave(0).await;
    group
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_that_are_gone_are_those_of_the_state() {
    let stage = Arc::new(Stage::new("offsets-gone").await);
    let mut group = stopped(&stage).await;
    let deleted = stage.admin.delete_group(&group.id).await;
    deleted.expect("a group without members can be deleted");
    stage.traffic.burst(500);
    group.join("b");
    group.is_exact().await;
    group.finish().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_that_were_reset_by_hand_are_honoured_with_a_warning() {
    let stage = Arc::new(Stage::new("offsets-reset").await);
    let mut group = stopped(&stage).await;
    let ends = stage.ends().await;
    let end = |partition: i32| {
        ends.get(&(stage.name.clone(), partition))
            .copied()
            .unwrap_or(0)
    };
    let event = |by| [Event::Count("requests_total", "read", by)];

    // Back by two events, which are counted once more, and forth by one, which is left out. What was counted before is not the sum
    // up to either offset: it begins anew.
    let (back, forth) = (0, 1);
    let sender = Traffic::sender(back);
    for by in [3.0, 4.0] {
        stage.traffic.send(back, &sender, &event(by));
    }
    stage
        .traffic
        .send(forth, &Traffic::sender(forth), &event(5.0));
    group.join("b");
    group.is_exact().await;
    group.leave(0).await;
    stage.reset(&group.id, back, end(back));
    stage
        .traffic
        .send(forth, &Traffic::sender(forth), &event(6.0));
    stage.traffic.flush();
    stage.reset(&group.id, forth, end(forth) + 2);
    group.begins_anew(back);
    group.begins_anew(forth);
    for by in [3.0, 4.0] {
        let (source, [event]) = (stage.source(back), event(by));
        stage.traffic.model().take(&source, &sender, &event);
    }
    group.join("c");
    group.is_exact().await;

    let log = group.members[0].log();
    let warnings = log
        .lines()
        .filter(|line| line.contains("\"level\":\"WARN\""));
    let warnings: Vec<_> = warnings.filter(|line| line.contains("offset")).collect();
    for partition in 0..PARTITIONS {
        let source = stage.source(partition);
        let of_partition = format!("\"partition\":{partition},");
        let warned = warnings.iter().any(|line| line.contains(&of_partition));
        let changed = partition == back || partition == forth;
        assert_eq!(warned, changed, "{source}: {warnings:?}");
    }
    group.finish().await;
    stage.strike().await;
}
