//! Rounds on a real Kafka with a plaintext listener at KAFKA_BOOTSTRAP. To see how long one of many groups takes:
//! `BT_LAG_GROUPS=300 cargo test -p bt-operator --features broker --lib broker_tests -- --nocapture`.

use std::time::SystemTime;

use bt_consumers::config::StartFrom;
use bt_kafka::{Admin, Connection, NewTopic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::measure::Carried;
use super::*;
use crate::consumers::source_topics::TopicShape;

const PARTITIONS: i32 = 10;
/// More than are asked about at a time, with more partitions than are asked about together.
const GROUPS: usize = 40;
const THREADS: usize = 16;
const LIMIT: Duration = Duration::from_secs(10);

fn connection() -> Connection {
    let servers = std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP says where Kafka is");
    Connection::plaintext(servers)
}

/// Commits what differs by partition, and gives the sum.
fn commit(group: &str, topic: &str, offset: impl Fn(i32) -> i64) -> i64 {
    let mut config = connection().client_config("test");
    config.set("group.id", group);
    let consumer: BaseConsumer = config.create().expect("a consumer can be made");
    let mut offsets = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let offset = Offset::Offset(offset(partition));
        offsets
            .add_partition_offset(topic, partition, offset)
            .expect("an offset");
    }
    consumer
        .commit(&offsets, CommitMode::Sync)
        .expect("it can commit");
    (0..PARTITIONS).map(offset).sum()
}

fn produce(topic: &str, to_each: i32) {
    let producer: BaseProducer = connection()
        .client_config("test")
        .create()
        .expect("a producer can be made");
    for partition in 0..PARTITIONS {
        for _ in 0..to_each {
            let record: BaseRecord<'_, (), str> =
                BaseRecord::to(topic).partition(partition).payload("x");
            producer.send(record).expect("the queue has room");
        }
    }
    producer
        .flush(Duration::from_secs(30))
        .expect("all is sent");
}

async fn round(admin: &Admin, topics: &[String], groups: &[String]) -> Round {
    let asked = groups.iter().map(|group| (group.clone(), true)).collect();
    let topics = topics.iter().cloned().collect();
    let round = Round::read(admin.clone(), topics, asked, LIMIT).await;
    round.expect("Kafka answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_reads_every_group() {
    let admin = Admin::new(&connection(), "test").expect("a client can be made");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let test = format!("bt-lag-test.{:x}", now.expect("after 1970").as_millis());
    let groups = std::env::var("BT_LAG_GROUPS").map_or(GROUPS, |groups| {
        groups.parse().expect("BT_LAG_GROUPS is a number")
    });
    let names: Vec<String> = (0..groups).map(|n| format!("{test}.{n}")).collect();
    let new = names.iter().map(|name| NewTopic {
        name: name.clone(),
        partitions: Some(PARTITIONS),
        replicas: Some(1),
        config: BTreeMap::new(),
    });
    let made = admin.with_timeout(Duration::from_secs(60));
    let outcomes = made.create_topics(new.collect(), false).await;
    assert!(outcomes.expect("Kafka answers").values().all(Result::is_ok));
    let admin = Admin::new(&connection(), "test").expect("a client can be made");
    // A group's first commit to a Kafka that never had one waits for the topic of offsets.
    let (first, second) = (names[0].clone(), names.clone());
    let committed = tokio::task::spawn_blocking(move || {
        produce(&first, 5);
        // Side by side, for each has to find its coordinator first.
        let commits = |part: usize| {
            let names = second.iter().enumerate().skip(part).step_by(THREADS);
            let commits = names.map(|(n, name)| {
                let offset = |partition| if n == 0 { i64::from(partition % 3) } else { 0 };
                commit(name, name, offset)
            });
            commits.sum::<i64>()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|part| scope.spawn(move || commits(part)))
                .collect();
            let sums = threads.into_iter().map(|thread| thread.join());
            sums.map(|sum| sum.expect("groups can be made"))
                .sum::<i64>()
        })
    });
    let committed = committed.await.expect("groups can be made");

    // The broker learns one by one of the partitions that the controller has made.
    let all = groups * PARTITIONS as usize;
    let until = Instant::now() + Duration::from_secs(60);
    while round(&admin, &names, &names).await.log.ends.len() < all {
        assert!(Instant::now() < until, "partitions that are not known");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let mut rounds = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let round = round(&admin, &names, &names).await;
        println!(
            "a round of {groups} groups and topics: {:?}",
            started.elapsed()
        );
        assert_eq!((round.log.starts.len(), round.log.ends.len()), (all, all));
        rounds.push(round);
    }
    let last = rounds.pop().expect("the last");
    assert!(last.ports.as_ref().is_some_and(|ports| !ports.is_empty()));
    let shape = TopicShape {
        partitions: PARTITIONS,
        replicas: 1,
    };
    assert_eq!(last.topics.len(), groups);
    assert!(last.topics.values().all(|topic| *topic == Some(shape)));
    assert_eq!(last.stable.len(), groups);
    assert!(
        last.stable.values().all(|stable| *stable),
        "nobody is in them"
    );
    for (n, name) in names.iter().enumerate() {
        let look = Look {
            log: last.log.clone(),
            committed: last.committed[name].clone().expect("it is read"),
        };
        let topics = std::slice::from_ref(name);
        let start_from = StartFrom::Earliest;
        let reading = measure::reading(Carried { topics, start_from }, &look, None, Some(true));
        let expected = if n == 0 {
            5 * i64::from(PARTITIONS) - committed
        } else {
            0
        };
        assert_eq!(reading.lag.map(|lag| lag.total), Some(expected), "{name}");
        assert!(!reading.uncommitted, "{name}");
    }

    // A topic and a group that are not there leave the others as they are.
    let other = format!("{test}.nosuch");
    let asked = [names[0].clone(), other.clone()];
    let found = round(&admin, &asked, &asked).await;
    assert_eq!(found.log.partitions.len(), 1);
    assert_eq!(found.topics[&names[0]], Some(shape));
    assert_eq!(found.topics[&other], None, "it is known not to be there");
    assert_eq!(found.log.ends.len(), PARTITIONS as usize);
    let none = found.committed[&other].as_ref().expect("it has none");
    assert!(none.offsets.is_empty());

    for names in names.chunks(100) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        admin.delete_topics(&names).await.expect("Kafka answers");
    }
    for name in &names {
        admin.delete_group(name).await.expect("nobody is in it");
    }
}
