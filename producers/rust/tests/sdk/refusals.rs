//! Nothing fails into the service; everything that is dropped is counted.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bt_events::{Log, Metric, Producer};

use crate::mock::{Mock, builder};

fn dropped<const N: usize>(reasons: [(&str, u64); N]) -> BTreeMap<String, u64> {
    reasons
        .map(|(reason, count)| (reason.to_owned(), count))
        .into()
}

fn line(n: usize) -> Log<'static> {
    Log::new("info", format!("line {n}"))
}

/// Waits until something is so.
fn wait(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_queue_drops_and_does_not_block() {
    let producer = builder().queue_events(100).build().expect("a producer");
    let began = Instant::now();
    let taken = (0..5000).filter(|&n| producer.send_log(line(n))).count();
    assert!(began.elapsed() < Duration::from_secs(5));
    let stats = producer.stats();
    assert_eq!((taken, stats.sent, stats.queued), (100, 100, 100));
    assert_eq!(stats.dropped, dropped([("queue_full", 4900)]));
    assert!(!producer.flush(Duration::from_millis(20)));
}

#[test]
fn memory_is_bounded_too() {
    let producer = builder().queue_bytes(1 << 20).build().expect("a producer");
    let large = "x".repeat(100_000);
    let taken = (0..100)
        .filter(|_| producer.send_log(Log::new("info", large.clone())))
        .count();
    assert!((8..=10).contains(&taken), "{taken}");
    assert_eq!(
        producer.stats().dropped,
        dropped([("queue_full", 100 - taken as u64)])
    );
}

#[test]
fn an_event_above_the_limit_is_dropped_wherever_that_is_found_out() {
    let producer = builder()
        .max_message_bytes(1000)
        .build()
        .expect("a producer");
    assert!(!producer.send_log(Log::new("info", "x".repeat(3000))));
    // Each of these is six bytes on the wire.
    assert!(producer.send_log(Log::new("info", "\u{1}".repeat(500))));
    wait("both dropped", || {
        producer.stats().dropped == dropped([("msg_size_too_large", 2)])
    });
    assert_eq!(producer.stats().queued, 0);
}

#[test]
fn what_is_no_event_is_counted_by_its_reason() {
    let producer = builder().build().expect("a producer");
    let odd = HashMap::from([((1, 2), 3)]);
    let refused = [
        producer.send_metric(Metric::counter("with space", 1.0)),
        producer.send_metric(Metric::gauge("a", f64::NAN)),
        producer.send_event("order.created", &3),
        producer.send_event_to("no such/topic", "order.created", &()),
        producer.for_service("", "").send_log(line(1)),
        producer.send_event("order.created", &odd),
    ];
    assert_eq!(refused, [false; 6]);
    let stats = producer.stats();
    assert_eq!(
        stats.dropped,
        dropped([("invalid", 5), ("unserialisable", 1)])
    );
    assert_eq!(stats.sent, 0);
}

#[test]
fn wrong_settings_are_an_error_or_drop_everything() {
    let wrong = || builder().config("no.such.setting", "1");
    let error = wrong().build().expect_err("no producer");
    assert!(error.to_string().contains("no.such.setting"), "{error}");
    let producer = wrong().build_or_drop();
    assert!(!producer.send_log(line(1)));
    assert_eq!(producer.stats().dropped, dropped([("misconfigured", 1)]));
    assert!(producer.flush(Duration::ZERO) && producer.close(Duration::ZERO));
    let error = builder()
        .logs_topic("no topic")
        .build()
        .expect_err("no producer");
    assert!(error.to_string().contains("no topic"), "{error}");
}

#[test]
fn a_closed_producer_drops() {
    let producer = builder().build().expect("a producer");
    assert!(producer.send_log(line(1)));
    assert!(!producer.close(Duration::from_millis(10)));
    assert!(!producer.send_log(line(2)));
    let stats = producer.stats();
    assert_eq!(stats.dropped, dropped([("closed", 1), ("purge_queue", 1)]));
    assert_eq!((stats.sent, stats.queued), (1, 0));
}

#[test]
fn a_producer_that_nobody_has_any_more_delivers_first() {
    let kafka = Mock::new();
    let producer: Producer = kafka
        .builder()
        .exit_timeout(Duration::from_secs(10))
        .build()
        .expect("a producer");
    let copy = producer.for_service("billing", "");
    drop(producer);
    assert!((0..100).all(|n| copy.send_log(line(n))));
    drop(copy);
    let records = kafka.read("logs.events", 100);
    assert!(records.iter().all(|record| record.key == "billing"));
}

#[test]
fn the_sdk_says_what_was_dropped_and_which_version_runs() {
    let kafka = Mock::new();
    let producer = kafka
        .builder()
        .version("1.2.3")
        .build()
        .expect("a producer");
    for _ in 0..3 {
        producer.send_metric(Metric::counter("with space", 1.0));
    }
    producer.send_log(line(1));
    assert!(producer.flush(Duration::from_secs(10)));
    let (mut reported, mut version) = (0.0, false);
    let records = crate::kafka::read_until(&kafka.bootstrap(), &["metrics.events"], 1, |record| {
        match record.text("/name") {
            "bt_service_info" => version = true,
            _ => reported += record.value["value"].as_f64().expect("a number"),
        }
        version && reported >= 3.0
    });
    for record in &records {
        match record.text("/name") {
            "bt_service_info" => assert_eq!(record.text("/labels/version"), "1.2.3"),
            _ => assert_eq!(record.text("/labels/reason"), "invalid"),
        }
        assert_eq!(record.key, "orders/orders-1");
    }
    let logs = kafka.read("logs.events", 1);
    assert_eq!(logs[0].value["fields"]["service.version"], "1.2.3");
    assert_eq!(producer.stats().sent, 1);
}
