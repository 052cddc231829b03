//! Dead letters of sinks that keep no state: in their topic once, whatever happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bt_dev_engine::{Engine, Flavour, Rules, Script};

use crate::fixture::{Fixture, terminate};
use crate::kafka::servers;
use crate::process::Process;

const GOOD: &str = r#"{"ts":1,"service":"s","name":"n","kind":"counter","value":1}"#;

fn kafka() -> String {
    format!("{{bootstrapServers: \"{}\"}}", servers())
}

/// The value of a metric of the program's own.
async fn metric(consumer: &Process, name: &str) -> f64 {
    let page = consumer.get("metrics").await;
    let lines = page.lines().filter_map(|line| line.split_once(' '));
    let mut values = lines.filter(|(n, _)| *n == name);
    let value = values.next().and_then(|(_, value)| value.parse().ok());
    value.unwrap_or(f64::NAN)
}

pub async fn becomes(consumer: &Process, name: &str, want: f64) {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let is = metric(consumer, name).await;
        if is == want {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is {is}, not {want}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How often each letter is there.
async fn counts(fixture: &Fixture) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for letter in fixture.letters().await {
        let value = String::from_utf8_lossy(&letter.value).into_owned();
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// Waits until the program has so many of the two partitions.
async fn has(consumer: &Process, partitions: f64) {
    becomes(consumer, "bt_consumer_assigned_partitions", partitions).await;
}

/// Records of which every fourth is no event, over both partitions; those are added to `bad`.
async fn produce(fixture: &Fixture, what: &str, records: usize, bad: &mut BTreeMap<String, usize>) {
    const AT_ONCE: usize = 1000;
    for part in 0..records / AT_ONCE {
        let values: Vec<_> = (0..AT_ONCE)
            .map(|i| match i % 4 {
                0 => format!("bad {what} {part} {i}"),
                _ => GOOD.to_owned(),
            })
            .collect();
        let these = values.iter().filter(|value| value.starts_with("bad"));
        bad.extend(these.map(|value| (value.clone(), 1)));
        let values = values.into_iter().enumerate();
        fixture.produce_values(values.map(|(i, value)| ((i % 8 / 4) as i32, value)));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn letters_are_there_once_however_often_the_program_is_killed() {
    const ROUNDS: usize = 5;
    const RECORDS: usize = 4000;
    let fixture = Fixture::new("killed").await;
    fixture.create(&fixture.letters_topic(), 1, &[]).await;
    let mut bad = BTreeMap::new();
    for round in 0..ROUNDS {
        let consumer = fixture.start(&kafka(), "Earliest");
        has(&consumer, 2.0).await;
        produce(&fixture, &round.to_string(), RECORDS, &mut bad).await;
        // Each time at another moment between two commits.
        tokio::time::sleep(Duration::from_millis(170 * round as u64)).await;
        drop(consumer);
    }
    let consumer = fixture.start(&kafka(), "Earliest");
    let all = (ROUNDS * RECORDS / 2) as i64;
    fixture.committed([all, all]).await;
    drop(consumer);
    assert_eq!(counts(&fixture).await, bad);
    fixture.delete(&fixture.letters_topic()).await;
    fixture.strike().await;
}

#[tokio::test]
async fn letters_are_there_once_where_partitions_move() {
    let fixture = Fixture::new("moved").await;
    fixture.create(&fixture.letters_topic(), 1, &[]).await;
    let mut bad = BTreeMap::new();
    let first = fixture.start(&kafka(), "Earliest");
    has(&first, 2.0).await;
    let second = fixture.start(&kafka(), "Earliest");
    produce(&fixture, "joined by a second", 20_000, &mut bad).await;
    has(&second, 1.0).await;
    tokio::join!(terminate(first), async {
        produce(&fixture, "left by the first", 4000, &mut bad).await;
    });
    has(&second, 2.0).await;
    fixture.committed([12_000, 12_000]).await;
    terminate(second).await;
    assert_eq!(counts(&fixture).await, bad);
    fixture.delete(&fixture.letters_topic()).await;
    fixture.strike().await;
}

#[tokio::test]
async fn letters_without_their_topic_stop_their_partition_and_no_other() {
    const LETTERS: i64 = 12_000;
    let fixture = Fixture::new("no-topic").await;
    let letter = "x".repeat(1000);
    fixture.produce_values((0..3).map(|_| (0, GOOD)));
    fixture.produce_values((0..LETTERS).map(|i| (0, format!("{i} {letter}"))));
    let consumer = fixture.start(&kafka(), "Earliest");
    consumer.says("sink", "create the dead-letter topic").await;
    becomes(&consumer, "bt_consumer_paused_partitions", 1.0).await;
    fixture.produce_values((0..5000).map(|_| (1, GOOD)));
    // As far as that passes no letter.
    fixture.committed([3, 5000]).await;
    assert_eq!(consumer.get("healthz").await, "ok\n");
    let in_flight = metric(&consumer, "bt_consumer_in_flight_bytes").await;
    assert!(
        in_flight < 16.0 * 1024.0 * 1024.0,
        "{in_flight} bytes are under way"
    );
    assert!(metric(&consumer, "bt_consumer_dead_letters_pending").await > 1000.0);
    fixture.create(&fixture.letters_topic(), 1, &[]).await;
    fixture.committed([LETTERS + 3, 5000]).await;
    consumer.says("sink", r#""state":"Ready""#).await;
    becomes(&consumer, "bt_consumer_dead_letters_pending", 0.0).await;
    becomes(&consumer, "bt_consumer_in_flight_bytes", 0.0).await;
    becomes(&consumer, "bt_consumer_paused_partitions", 0.0).await;
    drop(consumer);
    let letters = counts(&fixture).await;
    assert_eq!(letters.len() as i64, LETTERS);
    assert!(letters.values().all(|count| *count == 1));
    fixture.delete(&fixture.letters_topic()).await;
    fixture.strike().await;
}

#[tokio::test]
async fn a_letter_is_not_written_before_what_comes_before_it_is_done() {
    let fixture = Fixture::new("ahead").await;
    fixture.create(&fixture.letters_topic(), 1, &[]).await;
    let engine = Engine::start(Flavour::OpenSearch).await;
    let engine = engine.expect("the engine listens");
    let rules = |busy: &str| Rules {
        refuse: "refuse".into(),
        busy: busy.into(),
        ..Rules::default()
    };
    engine.play(Script::default().with(rules("late")));
    let log =
        |message: &str| format!(r#"{{"ts":1,"service":"s","level":"info","message":"{message}"}}"#);
    let values = ["fine", "late", "fine", "refuse", "fine"];
    fixture.produce_values(values.map(|message| (0, log(message))));
    let sink = format!(
        "{{elasticsearch: {{urls: [\"{}\"], bulk: {{flushInterval: 100ms}}}}}}",
        engine.url()
    );
    let consumer = fixture.start_with(&kafka(), "Earliest", &sink);
    becomes(&consumer, "bt_consumer_dead_letters_pending", 1.0).await;
    fixture.committed([1, 0]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    fixture.committed([1, 0]).await;
    assert_eq!(fixture.letters().await.len(), 0);
    assert_eq!(
        metric(&consumer, "bt_consumer_dead_letters_pending").await,
        1.0
    );
    assert!(metric(&consumer, "bt_consumer_in_flight_bytes").await > 0.0);
    engine.play(Script::default().with(rules("")));
    fixture.committed([5, 0]).await;
    becomes(&consumer, "bt_consumer_dead_letters_pending", 0.0).await;
    becomes(&consumer, "bt_consumer_in_flight_bytes", 0.0).await;
    becomes(
        &consumer,
        r#"bt_consumer_dead_letters_total{reason="rejected_by_sink"}"#,
        1.0,
    )
    .await;
    drop(consumer);
    let letters = fixture.letters().await;
    let [letter] = &letters[..] else {
        panic!("{} letters", letters.len());
    };
    assert_eq!(letter.value, log("refuse").into_bytes());
    let id = fixture.id(&fixture.name).await;
    let header = |name: &str| letter.headers.get(name).map(String::as_str);
    assert_eq!(header("bt-topic"), Some(&*fixture.name));
    assert_eq!(
        header("bt-topic-id"),
        Some(&*id.replace('+', "-").replace('/', "_"))
    );
    assert_eq!(header("bt-offset"), Some("3"));
    assert_eq!(header("bt-attempts"), Some("1"));
    assert_eq!(header("bt-reason"), Some("rejected_by_sink"));
    fixture.delete(&fixture.letters_topic()).await;
    fixture.strike().await;
}
