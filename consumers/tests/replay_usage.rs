//! `bt-consumers replay` where nothing can be sent.

use std::path::PathBuf;
use std::process::Command;

/// A configuration file, gone at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, sink: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bt-replay-{name}-{}", std::process::id()));
        let config = format!(
            "consumer: shop/metrics\nkafka: {{bootstrapServers: 'localhost:1'}}\ngroupId: g\ntopics: [t]\n\
             deadLetterTopic: dead-letters\nsink: {sink}\n"
        );
        std::fs::write(&path, config).expect("a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The exit code, and what it said on standard error.
fn replay(file: &File, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bt-consumers"))
        .args(["replay", "--config"])
        .arg(&file.0)
        .args(arguments)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_prometheus_sink_is_refused_with_the_reason_and_what_to_do_instead() {
    let file = File::new("prometheus", "{prometheus: {exactlyOnce: false}}");
    let (code, said) = replay(&file, &["--from", "dead-letters"]);
    assert_eq!(code, Some(2));
    for part in [
        "prometheus sink",
        "counting them twice",
        "dead-letters",
        "once",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn options_that_cannot_be_are_refused() {
    let file = File::new("options", "{elasticsearch: {urls: ['http://localhost:1']}}");
    for (arguments, part) in [
        (
            &["--since", "1h", "--until", "2h"][..],
            "--since and --until",
        ),
        (&["--since", "yesterday"], "2026-11-23T10:00:00Z"),
        (&["--from", "somewhere"], "dead-letters"),
        (&["--limit", "0"], "--limit"),
        (&["--consumer", "a/b", "--all-consumers"], "--all-consumers"),
    ] {
        let (code, said) = replay(&file, arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn a_kafka_that_does_not_answer_ends_it() {
    let file = File::new("kafka", "{elasticsearch: {urls: ['http://localhost:1']}}");
    let (code, said) = replay(&file, &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("Kafka: "), "{said}");
    assert!(said.contains("run it again"), "{said}");
}
