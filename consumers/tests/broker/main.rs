//! The program on a real Kafka, with a plaintext listener at KAFKA_BOOTSTRAP:
//! cargo test -p bt-consumers --features broker --test broker
#![cfg(feature = "broker")]

mod fixture;
#[path = "../common/kafka.rs"]
mod kafka;
mod letters;
mod pauses;
#[path = "../common/process.rs"]
mod process;

use std::time::Duration;

use bt_consumers::SinkReport;
use rdkafka::producer::Producer;

use fixture::Fixture;
use kafka::servers;
use process::free_port;

#[tokio::test]
async fn the_latest_is_committed_at_once_so_that_a_crash_skips_nothing() {
    let fixture = Fixture::new("latest").await;
    fixture.produce(3);
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let first = fixture.start(&kafka, "Latest");
    fixture.committed([3, 0]).await;
    drop(first);
    fixture.produce(2);
    let second = fixture.start(&kafka, "Latest");
    fixture.committed([5, 0]).await;
    let report = second.get("sink").await;
    let report: SinkReport = serde_json::from_str(&report).expect("a report");
    assert_eq!(
        (report.state.as_str(), report.taken, report.rejected),
        ("Ready", 2, 0)
    );
    drop(second);
    fixture.strike().await;
}

#[tokio::test]
async fn partitions_without_a_record_are_committed_too() {
    let fixture = Fixture::new("earliest").await;
    fixture.produce(1);
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let consumer = fixture.start(&kafka, "Earliest");
    fixture.committed([1, 0]).await;
    consumer.says("readyz", "ok").await;
    drop(consumer);
    fixture.strike().await;
}

/// Somebody was killed in the middle of a transaction with the group's offsets, and the partitions move while it is open.
#[tokio::test]
async fn partitions_whose_offsets_are_in_an_open_transaction_are_not_begun_anew() {
    let fixture = Fixture::new("open").await;
    let records = |many| (0..2 * many).map(|i| (i % 2, fixture::EVENT));
    fixture.produce_values(records(10));
    for partition in 0..2 {
        fixture.reset_of(&fixture.name, &fixture.name, partition, 10);
    }
    fixture.produce_values(records(3));
    let open = fixture.open_transaction([11, 11]);
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let first = fixture.start(&kafka, "Earliest");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let second = fixture.start(&kafka, "Earliest");
    tokio::time::sleep(Duration::from_secs(10)).await;
    open.abort_transaction(Duration::from_secs(10))
        .expect("it is still open");
    fixture.committed([13, 13]).await;
    let mut records = 0;
    for consumer in [&first, &second] {
        let report: SinkReport =
            serde_json::from_str(&consumer.get("sink").await).expect("a report");
        records += report.taken;
    }
    assert_eq!(
        records, 6,
        "those below the committed offset were consumed again"
    );
    drop((first, second));
    fixture.strike().await;
}

#[tokio::test]
async fn what_is_in_the_way_is_told() {
    let fixture = Fixture::new("obstacles").await;
    let port = free_port();
    let nobody = fixture.start(
        &format!("{{bootstrapServers: \"127.0.0.1:{port}\"}}"),
        "Earliest",
    );
    let tls = fixture.start(
        &format!("{{bootstrapServers: \"{}\", tls: {{}}}}", servers()),
        "Earliest",
    );
    nobody.says("readyz", "Kafka: connect:").await;
    nobody.says("readyz", "refused").await;
    tls.says("readyz", "check kafka.tls").await;
    // No pod restarts for it.
    for consumer in [&nobody, &tls] {
        assert_eq!(consumer.get("healthz").await, "ok\n");
    }
    drop((nobody, tls));
    let missing = Fixture::without_topic(format!("{}.missing", fixture.name));
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let waiting = missing.start(&kafka, "Earliest");
    waiting.says("readyz", "missing does not exist yet").await;
    drop(waiting);
    missing.clear();
    fixture.strike().await;
}
