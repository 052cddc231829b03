//! On librdkafka's own mock of a broker, which can be told not to answer. It does not carry out what a transaction commits: the
//! tests do that.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset};

use super::super::record::{Assignment, Original};
use super::*;

/// Commits a letter of offset 6 with the offset 7; Kafka says nothing of how that ends, though `meanwhile` the offset is this.
async fn outcome_of_a_commit_without_an_answer(meanwhile: Option<i64>) -> Outcome {
    let kafka = MockCluster::new(1).expect("a mock");
    for topic in ["source", "letters"] {
        kafka.create_topic(topic, 1, 1).expect("a topic");
    }
    let servers = kafka.bootstrap_servers();
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .set("group.id", "group")
        .create()
        .expect("a consumer");
    let transactions = Transactions::new(Settings {
        kafka: Connection::plaintext(&servers),
        client_id: "test".into(),
        group_id: "group".into(),
        transactional_id: "group-test".into(),
        state_topic: None,
        letters: Letters {
            topic: "letters".into(),
            consumer: "test/test".into(),
        },
        runtime: tokio::runtime::Handle::current(),
    });
    let transactions = transactions.expect("a thread");
    kafka.request_errors(
        RDKafkaApiKey::EndTxn,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE; 2000],
    );
    let offsets = |offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("source", 0, Offset::Offset(offset))
            .expect("a valid offset");
        list
    };
    let commit = |offset| member.commit(&offsets(offset), CommitMode::Sync);
    commit(3).expect("committed");
    let original = Original {
        assignment: Arc::new(Assignment::new("source".into(), "id".into(), 0, 1)),
        offset: 6,
        timestamp: None,
        key: None,
        place: None,
        bytes: None,
    };
    let letter = Letter::new(original, "reason", "error".into(), 1, 100);
    transactions.commit(Batch {
        records: Vec::new(),
        letters: vec![Arc::new(letter)],
        offsets: offsets(7),
        group: member.group_metadata().expect("a group"),
    });
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(3)))
        .await
        .expect("slept");
    assert!(!transactions.is_deciding());
    if let Some(offset) = meanwhile {
        commit(offset).expect("committed");
    }
    let outcome = transactions.outcome(PATIENCE * 3);
    outcome.expect("an outcome, though Kafka did not answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_whose_commit_is_in_kafka_are_written_though_it_has_not_said_so() {
    let outcome = outcome_of_a_commit_without_an_answer(Some(7)).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_whose_commit_is_not_in_kafka_are_written_again() {
    let outcome = outcome_of_a_commit_without_an_answer(None).await;
    let failure = outcome.expect_err("it is not in Kafka");
    assert!(!failure.fenced, "{failure:?}");
}

#[test]
fn a_transaction_is_judged_by_partitions_that_are_not_anothers() {
    let other = |reached| Decided {
        ours: false,
        reached,
    };
    let ours = |reached| Decided {
        ours: true,
        reached,
    };
    // The next owner of the first has committed the same offset, or one above; ours was aborted.
    assert_eq!(decide([other(true), ours(false)].into_iter()), Some(false));
    // The same, where we do not know yet that it is another's.
    assert_eq!(decide([ours(true), ours(false)].into_iter()), None);
    assert_eq!(decide([ours(false), ours(true)].into_iter()), None);
    assert_eq!(decide([ours(true), ours(true)].into_iter()), Some(true));
    assert_eq!(decide([ours(false), ours(false)].into_iter()), Some(false));
    assert_eq!(decide([other(false), ours(true)].into_iter()), Some(true));
    assert_eq!(decide([other(true), other(true)].into_iter()), Some(false));
}
