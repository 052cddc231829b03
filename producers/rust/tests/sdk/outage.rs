//! Kafka is away, or loses its mind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bt_events::{Log, Metric, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kafka::Record;
use crate::mock::Mock;

fn numbers(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| record.value["fields"]["n"].as_u64().expect("a number");
    records.iter().map(number).collect()
}

fn send(producer: &Producer, numbers: std::ops::Range<u64>) -> usize {
    numbers
        .filter(|&n| producer.send_log(Log::new("info", "line").field("n", n)))
        .count()
}

#[test]
fn what_fits_arrives_once_and_in_order_when_kafka_is_back() {
    let kafka = Mock::new();
    let producer = kafka
        .builder()
        .queue_events(2000)
        .config("reconnect.backoff.max.ms", "100")
        .build()
        .expect("a producer");
    assert_eq!(send(&producer, 0..500), 500);
    assert!(producer.flush(Duration::from_secs(10)));
    kafka.cluster.broker_down(1).expect("down");
    // More than fits; some of it while the producer still believes in the connection.
    let began = Instant::now();
    let taken = send(&producer, 500..5000);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(taken, 2000);
    assert!(!producer.flush(Duration::from_millis(700)));
    assert_eq!(producer.stats().delivered, 500);
    kafka.cluster.broker_up(1).expect("up");
    assert!(producer.flush(Duration::from_secs(20)), "{producer:?}");
    assert_eq!(send(&producer, 5000..5100), 100);
    assert!(producer.flush(Duration::from_secs(20)));
    let stats = producer.stats();
    assert_eq!((stats.delivered, stats.dropped["queue_full"]), (2600, 2500));
    let records = kafka.read("logs.events", 2600);
    let expected: Vec<u64> = (0..2500).chain(5000..5100).collect();
    assert_eq!(numbers(&records), expected);
    let ids: BTreeSet<&str> = records.iter().map(|record| record.text("/id")).collect();
    assert_eq!(ids.len(), 2600);
}

#[test]
fn a_fatal_error_ends_the_client_and_not_the_events() {
    let kafka = Mock::new();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    kafka
        .cluster
        .request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
    let producer = kafka.producer();
    assert_eq!(send(&producer, 0..1000), 1000);
    assert!(producer.flush(Duration::from_secs(20)), "{producer:?}");
    assert_eq!(producer.stats().delivered, 1000, "{producer:?}");
    assert_eq!(
        numbers(&kafka.read("logs.events", 1000)),
        (0..1000).collect::<Vec<_>>()
    );
}

#[test]
fn what_kafka_does_not_take_in_time_is_given_up() {
    let kafka = Mock::new();
    let producer = kafka
        .builder()
        .delivery_timeout(Duration::from_millis(300))
        .build()
        .expect("a producer");
    kafka.cluster.broker_down(1).expect("down");
    assert_eq!(send(&producer, 0..10), 10);
    assert!(producer.flush(Duration::from_secs(10)), "{producer:?}");
    let stats = producer.stats();
    assert_eq!((stats.dropped["timed_out"], stats.queued), (10, 0));
}

#[test]
fn many_threads_send_at_once() {
    let kafka = Mock::new();
    let producer = kafka.producer();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let producer = &producer;
            scope.spawn(move || {
                assert_eq!(send(producer, thread * 2000..(thread + 1) * 2000), 2000)
            });
        }
    });
    assert!(producer.send_metric(Metric::gauge("done", 1.0)));
    assert!(producer.flush(Duration::from_secs(20)), "{producer:?}");
    let sent = numbers(&kafka.read("logs.events", 8000));
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), 8000);
    for thread in 0..4 {
        let own: Vec<_> = sent.iter().filter(|&&n| n / 2000 == thread).collect();
        assert!(own.is_sorted());
    }
}
