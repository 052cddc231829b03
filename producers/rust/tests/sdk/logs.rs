//! What `tracing` logs becomes events.

use std::error::Error;
use std::time::Duration;

use bt_events::{LogLayer, Producer};
use serde_json::json;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::kafka::Record;
use crate::mock::{Mock, builder};

/// What arrives of what `log` logs.
fn logged(count: usize, layer: fn(&Producer) -> LogLayer, filter: &str, log: fn()) -> Vec<Record> {
    let kafka = Mock::new();
    let producer = kafka.producer();
    let layer = layer(&producer).with_filter(EnvFilter::new(filter));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    assert!(producer.flush(Duration::from_secs(10)), "{producer:?}");
    assert_eq!(producer.stats().delivered, count as u64, "{producer:?}");
    kafka.read("logs.events", count)
}

#[test]
fn an_event_keeps_level_target_message_and_typed_fields() {
    let records = logged(3, LogLayer::new, "debug", || {
        let text = "größer";
        tracing::warn!(target: "orders::payment", n = -1, u = 7u64, ok = true, ratio = 0.5, text, list = ?[1], "slow: {}", 3);
        tracing::debug!(nan = f64::NAN, "x");
        tracing::trace!("filtered out");
        tracing::event!(Level::ERROR, only = "fields");
    });
    let log = &records[0].value;
    assert_eq!(
        (records[0].text("/level"), records[0].text("/logger")),
        ("warn", "orders::payment")
    );
    assert_eq!(records[0].text("/message"), "slow: 3");
    let fields =
        json!({"n": -1, "u": 7, "ok": true, "ratio": 0.5, "text": "größer", "list": "[1]"});
    assert_eq!(log["fields"], fields);
    assert_eq!(log["service"], "orders");
    assert_eq!(records[1].value["fields"], json!({"nan": "NaN"}));
    assert_eq!(
        (records[2].text("/message"), records[2].text("/fields/only")),
        ("", "fields")
    );
}

#[test]
fn spans_give_names_fields_and_ids() {
    let records = logged(1, LogLayer::new, "info", || {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let request = tracing::info_span!(
            "request",
            trace_id,
            route = "/orders",
            user = tracing::field::Empty
        );
        let _request = request.enter();
        request.record("user", 42);
        let _query = tracing::info_span!("query", route = "inner").entered();
        tracing::info!(span_id = "00f067aa0ba902b7", "done");
    });
    let log = &records[0].value;
    assert_eq!(log["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(log["span_id"], "00f067aa0ba902b7");
    let fields = json!({"route": "inner", "user": 42, "spans": ["request", "query"]});
    assert_eq!(log["fields"], fields);
}

#[test]
fn errors_have_type_message_and_sources() {
    let records = logged(1, LogLayer::new, "info", || {
        let source = std::io::Error::other("disk full");
        let error = anyhow::Error::from(source).context("order not stored");
        tracing::error!(
            error = AsRef::<dyn Error>::as_ref(&error),
            order = 42,
            "failed"
        );
    });
    let error = &records[0].value["error"];
    assert_eq!(error["message"], "order not stored");
    assert_eq!(
        error["stack_trace"],
        "order not stored\ncaused by: disk full"
    );
    assert_eq!(records[0].value["fields"], json!({"order": 42}));
}

#[test]
fn ids_can_come_from_elsewhere() {
    let layer =
        |producer: &Producer| LogLayer::new(producer).trace(|| Some(("t".into(), "s".into())));
    let records = logged(1, layer, "info", || tracing::info!("x"));
    assert_eq!(
        (records[0].text("/trace_id"), records[0].text("/span_id")),
        ("t", "s")
    );
}

#[test]
fn its_own_lines_cause_no_events() {
    let producer = builder().build().expect("a producer");
    let layer = LogLayer::new(&producer).with_filter(LevelFilter::TRACE);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::warn!(target: "bt_events", "dropped");
        tracing::warn!(target: "bt_events::kafka", "away");
        tracing::warn!(target: "rdkafka::client", "away");
        tracing::warn!(target: "bt_events_of_mine", "is another crate's");
    });
    assert_eq!(producer.stats().sent, 1);
}

#[test]
fn with_a_full_queue_lines_are_counted_and_no_more() {
    let producer = builder().queue_events(10).build().expect("a producer");
    let subscriber = tracing_subscriber::registry().with(LogLayer::new(&producer));
    tracing::subscriber::with_default(subscriber, || {
        (0..100).for_each(|n| tracing::info!(n, "line"))
    });
    let stats = producer.stats();
    assert_eq!((stats.sent, stats.dropped["queue_full"]), (10, 90));
}
