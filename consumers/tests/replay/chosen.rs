//! Which letters are sent.

use std::time::{Duration, SystemTime};

use crate::stage::{Stage, log};

#[tokio::test]
async fn reason_topic_consumer_time_and_limit_choose_the_letters() {
    let stage = Stage::new("chosen").await;
    stage.produce(0, &log("text", ""));
    stage.produce(1, "no JSON");
    stage.consume(2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let between = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    stage.produce(0, &log("text", ""));
    stage.consume(3).await;

    for (arguments, matched) in [
        (&[][..], 3),
        (&["--reason", "rejected_by_sink"], 2),
        (&["--reason", "invalid_json"], 1),
        (
            &["--reason", "invalid_json", "--reason", "rejected_by_sink"],
            3,
        ),
        (&["--reason", "unknown_kind"], 0),
        (&["--topic", &stage.name], 3),
        (&["--topic", "logs.events"], 0),
        (&["--consumer", "test/other"], 0),
        (&["--consumer", &format!("test/{}", stage.name)], 3),
        (&["--all-consumers"], 3),
        (&["--since", "1h"], 3),
        (&["--until", "1h"], 0),
        (&["--since", &between], 1),
        (&["--until", &between], 2),
        (&["--until", &between, "--reason", "rejected_by_sink"], 1),
        (&["--limit", "2"], 2),
    ] {
        let said = stage.replay(&[&["--dry-run"], arguments].concat());
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        assert_eq!(said.number("matched"), matched, "{arguments:?}: {said:?}");
    }
    let dry = stage.replay(&["--dry-run"]);
    for line in ["2  NAME  rejected_by_sink", "1  NAME  invalid_json"] {
        let line = line.replace("NAME", &stage.name);
        assert!(dry.summary.contains(&line), "{line}: {dry:?}");
    }
    assert_eq!(
        stage.engine.documents().await.len(),
        0,
        "a dry run sends nothing"
    );

    stage.engine.fix().await;
    let since = stage.replay(&["--since", &between]);
    assert_eq!(
        (since.code, since.numbers()),
        (Some(0), [1, 1, 0, 0, 0]),
        "{since:?}"
    );
    let reason = stage.replay(&["--reason", "rejected_by_sink"]);
    assert_eq!(
        (reason.code, reason.numbers()),
        (Some(0), [2, 1, 1, 0, 0]),
        "{reason:?}"
    );
    let all = stage.replay(&[]);
    assert_eq!(
        (all.code, all.numbers()),
        (Some(1), [3, 0, 2, 1, 0]),
        "{all:?}"
    );
    assert!(
        all.summary.contains("invalid_json: the value is not JSON"),
        "{all:?}"
    );
    stage.strike().await;
}
