//! Against a real broker, at KAFKA_BOOTSTRAP: what was sent is read back from Kafka.
#![cfg(feature = "broker")]

#[path = "../common/kafka.rs"]
mod kafka;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bt_events::{Builder, Health, Log, Metric, Producer, Status};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

const PARTITIONS: i32 = 3;
const FLUSH: Duration = Duration::from_secs(60);

/// A topic for one test alone.
struct Topic {
    admin: AdminClient<DefaultClientContext>,
    bootstrap: String,
    service: String,
    name: String,
}

impl Topic {
    async fn new() -> Self {
        let bootstrap =
            std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP: the address of a Kafka");
        let admin: AdminClient<_> = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .create()
            .expect("a client");
        let service = format!("test-rust-sdk.{}", uuid::Uuid::new_v4().simple());
        let name = format!("{service}.events");
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let results = admin.create_topics([&topic], &AdminOptions::new()).await;
        results.expect("an answer").remove(0).expect("a topic");
        Topic {
            admin,
            bootstrap,
            service,
            name,
        }
    }

    fn builder(&self) -> Builder {
        let to = Producer::builder()
            .bootstrap(&self.bootstrap)
            .service(&self.service)
            .instance("pod-1");
        to.metrics_topic(&self.name)
            .logs_topic(&self.name)
            .health_topic(&self.name)
    }

    async fn read(&self, count: usize) -> Vec<kafka::Record> {
        let (bootstrap, name) = (self.bootstrap.clone(), self.name.clone());
        let read = tokio::task::spawn_blocking(move || {
            kafka::read(&bootstrap, &[&name], PARTITIONS, count)
        });
        read.await.expect("records")
    }

    async fn delete(self) {
        let results = self
            .admin
            .delete_topics(&[&self.name], &AdminOptions::new())
            .await;
        results.expect("an answer").remove(0).expect("no topic");
    }
}

#[tokio::test]
async fn all_kinds_arrive_under_the_producers_key_in_order() {
    let topic = Topic::new().await;
    let producer = topic.builder().build().expect("a producer");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert!(
        producer.send_metric(
            Metric::counter("orders_total", 2.0)
                .label("channel", "web")
                .trace_id(trace)
        )
    );
    assert!(producer.send_log(Log::new("error", "größer").field("order_id", 42)));
    assert!(producer.send_health(Health::new(Status::Degraded).check("db", Status::Down)));
    assert!(producer.send_event("order.created", &serde_json::json!({"order_id": 42})));
    assert!(producer.flush(FLUSH));
    let stats = producer.stats();
    assert_eq!(
        (stats.delivered, stats.queued, stats.dropped),
        (4, 0, BTreeMap::new())
    );
    let records = topic.read(4).await;
    let key = format!("{}/pod-1", topic.service);
    assert!(
        records
            .iter()
            .all(|record| record.key == key && record.partition == records[0].partition)
    );
    assert_eq!(
        (
            records[0].text("/labels/channel"),
            records[0].text("/trace_id")
        ),
        ("web", trace)
    );
    assert_eq!(records[1].text("/message"), "größer");
    assert_eq!(records[2].text("/checks/db"), "down");
    assert_eq!(records[3].text("/type"), "order.created");
    topic.delete().await;
}

#[tokio::test]
async fn many_arrive_once_each_in_the_order_of_their_instance() {
    const EVENTS: usize = 60_000;
    let topic = Topic::new().await;
    let producer = topic.builder().build().expect("a producer");
    let instances: Vec<Producer> = (0..12)
        .map(|n| producer.for_service("order", format!("pod-{n}")))
        .collect();
    for n in 0..EVENTS {
        assert!(instances[n % 12].send_log(Log::new("info", "line").field("n", n)));
    }
    assert!(producer.flush(FLUSH));
    assert_eq!(producer.stats().delivered, EVENTS as u64);
    let records = topic.read(EVENTS).await;
    let ids: BTreeSet<&str> = records.iter().map(|record| record.text("/id")).collect();
    assert_eq!(ids.len(), EVENTS);
    let mut last: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    for record in &records {
        let n = record.value["fields"]["n"].as_u64().expect("a number");
        if let Some((partition, before)) = last.insert(&record.key, (record.partition, n)) {
            assert!(
                partition == record.partition && before < n,
                "{}",
                record.key
            );
        }
    }
    assert_eq!(last.len(), 12);
    assert_eq!(
        last.values()
            .map(|(partition, _)| partition)
            .collect::<BTreeSet<_>>()
            .len(),
        3
    );
    topic.delete().await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_reported_as_such() {
    let topic = Topic::new().await;
    let builder = topic
        .builder()
        .config("topic.metadata.propagation.max.ms", "1000");
    let producer = builder.build().expect("a producer");
    let missing = format!("missing.{}", topic.service);
    assert!(producer.send_event_to(missing, "x", &()));
    assert!(producer.flush(FLUSH));
    let dropped = producer.stats().dropped;
    assert_eq!(dropped, [("unknown_topic_or_part".to_owned(), 1)].into());
    topic.delete().await;
}
