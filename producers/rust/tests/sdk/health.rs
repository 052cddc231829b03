//! Checks on a timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bt_events::{HealthChecks, Status};
use serde_json::json;

use crate::kafka::{Record, read_until};
use crate::mock::Mock;

const EVERY: Duration = Duration::from_millis(100);

fn statuses(records: &[Record]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record.text("/status"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_check_decides() {
    let kafka = Mock::new();
    let producer = kafka.producer();
    let database = Arc::new(AtomicBool::new(true));
    let cache = Arc::new(AtomicBool::new(true));
    let (database_up, cache_up) = (database.clone(), cache.clone());
    let checks = HealthChecks::new(&producer)
        .every(EVERY)
        .check("database", move || {
            let up = database_up.load(Relaxed);
            async move {
                if up {
                    Ok(())
                } else {
                    Err("connection refused")
                }
            }
        })
        .optional("cache", move || {
            let up = cache_up.load(Relaxed);
            async move { up }
        })
        .start();
    for (database_up, cache_up) in [(true, true), (true, false), (false, false), (true, true)] {
        database.store(database_up, Relaxed);
        cache.store(cache_up, Relaxed);
        tokio::time::sleep(EVERY * 3).await;
    }
    drop(checks);
    tokio::time::sleep(EVERY).await;
    let sent = producer.stats().sent;
    tokio::time::sleep(EVERY * 3).await;
    assert_eq!(producer.stats().sent, sent, "the checks go on");
    let records = kafka.read("health.events", sent as usize);
    let mut changes = statuses(&records);
    changes.dedup();
    assert_eq!(changes, ["up", "degraded", "down", "up"]);
    let down = records
        .iter()
        .find(|record| record.text("/status") == "down")
        .expect("down");
    assert_eq!(
        down.value["checks"],
        json!({"database": "down", "cache": "down"})
    );
    assert!(down.value["latency_ms"].as_f64().expect("a number") < 1000.0);
}

#[test]
fn without_tokio_and_with_checks_that_hang_or_panic() {
    let kafka = Mock::new();
    let producer = kafka.producer();
    let started = Arc::new(AtomicUsize::new(0));
    let counted = started.clone();
    let checks = HealthChecks::new(&producer)
        .every(EVERY)
        .timeout(Duration::from_millis(50))
        .check("hangs", || async { std::future::pending::<()>().await })
        .check("panics", || async {
            assert!(std::env::args().count() == 0, "no arguments")
        })
        .blocking("blocks", move || {
            counted.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_secs(60));
        })
        .check("partly", async || Ok::<_, String>(Status::Degraded))
        .check("fine", async || true)
        .start();
    let mut rounds = 0;
    let records = read_until(&kafka.bootstrap(), &["health.events"], 1, |_| {
        rounds += 1;
        rounds >= 4
    });
    drop(checks);
    for record in &records[..4] {
        assert_eq!(record.text("/status"), "down");
        let checks = json!({"hangs": "down", "panics": "down", "blocks": "down", "partly": "degraded", "fine": "up"});
        assert_eq!(record.value["checks"], checks);
    }
    assert_eq!(
        started.load(Relaxed),
        1,
        "a check that hangs is started again"
    );
}

#[tokio::test]
async fn with_nothing_but_optional_checks_all_must_be_down() {
    let kafka = Mock::new();
    let producer = kafka.producer();
    let both = |other: bool| {
        let checks = HealthChecks::new(&producer).optional("one", async || false);
        checks
            .optional("other", move || async move { other })
            .start()
    };
    for other in [true, false] {
        let checks = both(other);
        tokio::time::sleep(EVERY).await;
        drop(checks);
    }
    assert!(producer.flush(Duration::from_secs(10)), "{producer:?}");
    assert_eq!(
        statuses(&kafka.read("health.events", 2)),
        ["degraded", "down"]
    );
}
