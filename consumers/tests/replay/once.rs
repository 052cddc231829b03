//! Letters that a consumer has written, sent again.

use crate::stage::{Stage, log};

#[tokio::test]
async fn letters_are_indexed_once_after_a_fix_and_a_second_replay_changes_nothing() {
    let stage = Stage::new("once").await;
    stage.produce(0, &log("1", ""));
    stage.produce(0, &log("text", ""));
    stage.produce(1, &log("text", ""));
    stage.produce(1, &log("text", r#","id":"own-id""#));
    let array = [
        log("2", ""),
        log("text", ""),
        log("text", r#","fields":{"a":1}"#),
    ];
    stage.produce(1, &format!("[{}]", array.join(",")));
    stage.consume(5).await;
    let committed = stage.committed(&stage.name).await;
    let taken = stage.engine.documents().await;
    assert_eq!(taken.len(), 2, "{taken:?}");

    let early = stage.replay(&[]);
    assert_eq!(
        (early.code, early.numbers()),
        (Some(1), [5, 0, 0, 5, 0]),
        "{early:?}"
    );
    assert!(
        early
            .summary
            .contains("offset 2 place 2: rejected_by_sink: "),
        "{early:?}"
    );
    // None of them has become a letter again.
    assert_eq!(stage.replay(&["--dry-run"]).number("matched"), 5);
    assert_eq!(stage.engine.documents().await, taken);

    stage.engine.fix().await;
    let replayed = stage.replay(&[]);
    assert_eq!(
        (replayed.code, replayed.numbers()),
        (Some(0), [5, 5, 0, 0, 0]),
        "{replayed:?}"
    );
    let documents = stage.engine.documents().await;
    let topic = stage.topic_id().await;
    let at = |place: &str| format!("{topic}-{place}");
    let mut expected = [at("0-0-0"), at("0-1-0"), at("1-0-0"), "own-id".into()].to_vec();
    expected.extend([at("1-2-0"), at("1-2-1"), at("1-2-2")]);
    expected.sort();
    assert_eq!(documents.keys().cloned().collect::<Vec<_>>(), expected);
    assert_eq!(documents[&at("1-2-1")].0["message"], "text");

    let again = stage.replay(&[]);
    assert_eq!(
        (again.code, again.numbers()),
        (Some(0), [5, 0, 5, 0, 0]),
        "{again:?}"
    );
    assert_eq!(stage.engine.documents().await, documents);
    assert_eq!(stage.committed(&stage.name).await, committed);

    // Who consumes it all anew knows the documents by the same ids.
    let group = format!("{}.anew", stage.name);
    let consumer = stage.start(&group);
    stage.all_committed(&group).await;
    drop(consumer);
    assert_eq!(stage.engine.documents().await, documents);
    stage.strike().await;
}
