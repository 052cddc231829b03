//! Letters as older versions wrote them, and what is none.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::program::{command, replay};
use crate::stage::{Stage, log};

/// Headers of a letter of the stage's consumer; `more` come after them.
fn headers<'h>(
    consumer: &'h str,
    topic: &'h str,
    offset: &'h str,
    more: &[(&'h str, &'h str)],
) -> Vec<(&'h str, &'h str)> {
    let mut headers = vec![
        ("bt-topic", topic),
        ("bt-partition", "1"),
        ("bt-offset", offset),
        ("bt-timestamp", "1700000000000"),
        ("bt-reason", "rejected_by_sink"),
        ("bt-consumer", consumer),
    ];
    headers.extend_from_slice(more);
    headers
}

#[tokio::test]
async fn a_topics_present_id_stands_in_for_one_that_a_letter_does_not_say() {
    let stage = Stage::new("old").await;
    let consumer = format!("test/{}", stage.name);
    let own = |offset, more: &[_]| headers(&consumer, &stage.name, offset, more).to_vec();
    let gone = |offset, more: &[_]| headers(&consumer, "topic.that.is.gone", offset, more).to_vec();
    stage.letter(&log("1", ""), &own("5", &[]));
    stage.letter(
        &log("2", ""),
        &own("6", &[("bt-topic-id", "former-id"), ("bt-place", "3")]),
    );
    stage.letter(&log("3", ""), &gone("7", &[("bt-topic-id", "gone-id")]));
    stage.letter(&log("4", ""), &gone("8", &[]));
    stage.letter(&log("5", r#","id":"own-id""#), &gone("9", &[]));
    stage.letter(&log("6", ""), &own("x", &[]));
    stage.letter("a record of somebody else's", &[]);
    let said = stage.replay(&[]);
    assert_eq!(
        (said.code, said.numbers()),
        (Some(1), [6, 4, 0, 0, 2]),
        "{said:?}"
    );
    for part in [
        format!(
            "1 of an older version do not say the id of their topic: that of the present topic {}",
            stage.name
        ),
        "the topic topic.that.is.gone does not exist any more".into(),
        "the header bt-offset is no number".into(),
    ] {
        assert!(said.summary.contains(&part), "{part}: {said:?}");
    }
    let documents = stage.engine.documents().await;
    let mut expected = [
        format!("{}-1-5-0", stage.topic_id().await),
        "former-id-1-6-3".into(),
        "gone-id-1-7-0".into(),
        "own-id".into(),
    ];
    expected.sort();
    assert_eq!(documents.keys().cloned().collect::<Vec<_>>(), expected);
    stage.strike().await;
}

#[tokio::test]
async fn the_letter_of_a_whole_record_becomes_its_events_and_that_of_an_element_one_at_most() {
    let stage = Stage::new("whole").await;
    let consumer = format!("test/{}", stage.name);
    let id = [("bt-topic-id", "id")];
    let array = format!("[{},{}]", log("1", ""), log("2", ""));
    stage.letter(&array, &headers(&consumer, &stage.name, "1", &id));
    // An array within the record's array was no event, and is none now.
    let place = [id[0], ("bt-place", "1")];
    stage.letter(&array, &headers(&consumer, &stage.name, "1", &place));
    stage.letter(&log("3", ""), &headers(&consumer, &stage.name, "2", &place));
    // Unless the letter is of several events of the record's array.
    let several = [id[0], ("bt-place", "4"), ("bt-reason", "too_many_rejected")];
    stage.letter(&array, &headers(&consumer, &stage.name, "3", &several));
    let said = stage.replay(&[]);
    assert_eq!(
        (said.code, said.numbers()),
        (Some(1), [4, 5, 0, 1, 0]),
        "{said:?}"
    );
    assert!(
        said.summary.contains("offset 1 place 1: not_an_object"),
        "{said:?}"
    );
    let documents = stage.engine.documents().await;
    let ids: Vec<_> = documents.keys().map(String::as_str).collect();
    assert_eq!(
        ids,
        ["id-1-1-0", "id-1-1-1", "id-1-2-1", "id-1-3-4", "id-1-3-5"]
    );
    assert_eq!(documents["id-1-1-1"].0["message"], "2");
    stage.strike().await;
}

#[tokio::test]
async fn a_replay_after_a_rollover_makes_no_second_document() {
    let stage = Stage::new("rollover").await;
    if !stage.engine.data_streams {
        return stage.strike().await;
    }
    let consumer = format!("test/{}", stage.name);
    for (offset, more) in [("1", ""), ("2", r#","id":"own-id""#)] {
        let headers = headers(&consumer, &stage.name, offset, &[("bt-topic-id", "id")]);
        stage.letter(&log("1", more), &headers);
    }
    assert_eq!(stage.replay(&[]).numbers(), [2, 2, 0, 0, 0]);
    stage.engine.roll_over().await;
    let said = stage.replay(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(stage.engine.documents().await.len(), 2);
    stage.strike().await;
}

#[tokio::test]
async fn an_engine_that_is_away_is_waited_for_and_that_is_told() {
    let stage = Stage::new("away").await;
    let consumer = format!("test/{}", stage.name);
    stage.letter(&log("1", ""), &headers(&consumer, &stage.name, "1", &[]));
    let config = stage.config.with_extension("away.yaml");
    let away = stage.config_of(&stage.name, "http://127.0.0.1:1");
    std::fs::write(&config, away).expect("the file can be written");
    let mut process = command(&config, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let errors = BufReader::new(process.stderr.take().expect("a pipe"));
    let began = Instant::now();
    let told = errors.lines().map_while(Result::ok).any(|line| {
        assert!(began.elapsed() < Duration::from_secs(60), "{line}");
        line.contains("1 under way; the sink is waited for: ") && line.contains("127.0.0.1:1")
    });
    assert!(told, "the progress is told until it is");
    process.kill().expect("it still waits");
    process.wait().expect("it ends");
    std::fs::remove_file(config).expect("the file can be deleted");
    stage.strike().await;
}

#[tokio::test]
async fn a_dead_letter_topic_that_is_not_there_is_named() {
    let stage = Stage::new("missing").await;
    let config = stage.config.with_extension("missing.yaml");
    let text = std::fs::read_to_string(&stage.config).expect("the configuration");
    let (letters, missing) = (stage.letters(), format!("{}.missing", stage.name));
    std::fs::write(&config, text.replace(&letters, &missing)).expect("the file can be written");
    let said = replay(&config, &[]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.errors.contains(&format!("{missing} (deadLetterTopic")),
        "{said:?}"
    );
    std::fs::remove_file(config).expect("the file can be deleted");
    stage.strike().await;
}
