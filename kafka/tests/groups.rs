//! Consumer groups and brokers on a real Kafka, with a plaintext listener at KAFKA_BOOTSTRAP:
//! cargo test -p bt-kafka --features broker
#![cfg(feature = "broker")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use bt_kafka::{Admin, Connection, Error, Group, GroupState, NewTopic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP says where Kafka is")
}

fn admin() -> Admin {
    Admin::new(&Connection::plaintext(servers()), "test").expect("a client can be made")
}

/// A name of one test's own.
fn name(what: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = now.expect("after 1970").as_millis();
    format!("bt-kafka-test.{what}.{millis:x}")
}

async fn make_topic(admin: &Admin, name: &str) {
    let new = NewTopic {
        name: name.to_owned(),
        partitions: Some(2),
        replicas: Some(1),
        config: BTreeMap::new(),
    };
    let made = admin.create_topics(vec![new], false).await;
    made.expect("Kafka answers")[name]
        .as_ref()
        .expect("it is made");
    // A broker learns of a new topic a moment after the controller made it.
    wait("topic", async || {
        let found = admin.describe_topics(&[name]).await;
        found.expect("Kafka answers")[name].is_ok()
    })
    .await;
}

async fn wait(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < until, "no {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A Kafka that never had a group makes the topic of their offsets first.
async fn wait_for_coordinators(admin: &Admin, group: &str) {
    wait("coordinator", async || {
        let groups = admin.describe_groups(&[group]).await;
        groups.is_ok_and(|groups| groups[group].is_ok())
    })
    .await;
}

async fn describe(admin: &Admin, group: &str) -> Group {
    let mut groups = admin
        .describe_groups(&[group, group])
        .await
        .expect("Kafka answers");
    let described = groups.remove(group).expect("an outcome of the group");
    assert!(groups.is_empty(), "outcomes of other groups");
    described.expect("it is described")
}

#[tokio::test]
async fn a_group_lives_and_is_deleted() {
    let (admin, group, topic) = (admin(), name("group"), name("grouptopic"));
    wait_for_coordinators(&admin, &group).await;
    let none = Group {
        state: GroupState::Dead,
        members: 0,
    };
    assert_eq!(describe(&admin, &group).await, none);
    admin
        .delete_group(&group)
        .await
        .expect("what is not there is deleted");

    make_topic(&admin, &topic).await;
    let mut config = Connection::plaintext(servers()).client_config("test");
    config.set("group.id", &group);
    let consumer: BaseConsumer = config.create().expect("a consumer can be made");
    consumer.subscribe(&[&topic]).expect("it can subscribe");
    wait("stable group", async || {
        consumer.poll(Duration::from_millis(100));
        describe(&admin, &group).await.state == GroupState::Stable
    })
    .await;
    assert_eq!(describe(&admin, &group).await.members, 1);
    let refused = admin
        .delete_group(&group)
        .await
        .expect_err("it has members");
    assert!(refused.is_group_not_empty(), "{refused}");

    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(&topic, 1, Offset::Offset(0))
        .expect("an offset");
    consumer
        .commit(&offsets, CommitMode::Sync)
        .expect("it can commit");
    drop(consumer);
    wait("empty group", async || {
        describe(&admin, &group).await.state == GroupState::Empty
    })
    .await;
    let committed = admin.committed_offsets(&group).await.expect("it has some");
    assert_eq!(committed, BTreeMap::from([((topic.clone(), 1), 0)]));

    admin.delete_group(&group).await.expect("nobody is in it");
    assert_eq!(describe(&admin, &group).await, none);
    let committed = admin.committed_offsets(&group).await.expect("none is fine");
    assert_eq!(committed, BTreeMap::new());
    admin.delete_topics(&[&topic]).await.expect("Kafka answers");
}

#[tokio::test]
async fn what_is_wrong_with_one_group_spoils_no_other() {
    let admin = admin();
    wait_for_coordinators(&admin, "other").await;
    let asked = ["bt-kafka-test.nosuch", "nul\0", "other"];
    let groups = admin.describe_groups(&asked).await.expect("Kafka answers");
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert!(groups["nul\0"].as_ref().is_err_and(Error::is_invalid));
    assert!(
        groups["other"].is_ok() && groups["bt-kafka-test.nosuch"].is_ok(),
        "{groups:?}"
    );
    assert!(
        admin
            .describe_groups(&[])
            .await
            .expect("nothing is asked")
            .is_empty()
    );
}

#[tokio::test]
async fn brokers_are_told() {
    let brokers = admin().brokers().await.expect("Kafka answers");
    let servers = servers();
    let (_, port) = servers.rsplit_once(':').expect("host:port");
    assert!(
        brokers
            .iter()
            .any(|(host, advertised)| !host.is_empty() && advertised.to_string() == port),
        "{brokers:?}"
    );

    let nobody = Admin::new(&Connection::plaintext("localhost:1"), "test");
    let nobody = nobody.expect("a client can be made");
    let nobody = nobody.with_timeout(Duration::from_secs(3));
    let failed = nobody.brokers().await.expect_err("nobody answers");
    assert!(failed.is_unreachable(), "{failed}");
    let failed = nobody.describe_groups(&["any"]).await;
    let failed = failed.map(|mut groups| groups.remove("any"));
    assert!(
        matches!(&failed, Err(error) | Ok(Some(Err(error))) if error.is_unreachable()),
        "{failed:?}"
    );
}
