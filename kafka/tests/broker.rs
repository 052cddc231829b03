//! The Admin calls on a real Kafka, with a plaintext listener at KAFKA_BOOTSTRAP: cargo test -p bt-kafka --features broker
#![cfg(feature = "broker")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bt_kafka::{
    Admin, ConfigOp, ConfigSource, Connection, Error, Mechanism, NewTopic, Sasl, Secret, Tls,
};

fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP says where Kafka is")
}

fn admin() -> Admin {
    Admin::new(&Connection::plaintext(servers()), "test").expect("a client can be made")
}

/// A topic of one test's own.
fn topic(what: &str) -> NewTopic {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = now.expect("after 1970").as_millis();
    NewTopic {
        name: format!("bt-kafka-test.{what}.{millis:x}"),
        partitions: Some(2),
        replicas: Some(1),
        config: BTreeMap::from([("retention.ms".into(), "1000000".into())]),
    }
}

/// The one outcome, of the one topic that was asked about.
fn of<T>(
    answer: Result<BTreeMap<String, Result<T, Error>>, Error>,
    name: &str,
) -> Result<T, Error> {
    let mut outcomes = answer.expect("Kafka answers");
    let outcome = outcomes.remove(name).expect("an outcome of the topic");
    assert!(outcomes.is_empty(), "outcomes of other topics");
    outcome
}

/// Makes the topic, lets `test` use it, and deletes it.
async fn with_topic(what: &str, test: impl AsyncFnOnce(&Admin, &str)) {
    let (admin, new) = (admin(), topic(what));
    let name = new.name.clone();
    of(admin.create_topics(vec![new], false).await, &name).expect("the topic can be made");
    // A broker learns of a new topic a moment after the controller made it.
    for _ in 0..50 {
        if of(admin.describe_topics(&[&name]).await, &name).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    test(&admin, &name).await;
    of(admin.delete_topics(&[&name]).await, &name).expect("the topic can be deleted");
}

async fn retention(admin: &Admin, name: &str) -> String {
    let names = [name];
    let configs = admin.describe_configs(&names, |_, key| key == "retention.ms");
    let config = of(configs.await, name).expect("the topic is there");
    config["retention.ms"]
        .value
        .clone()
        .expect("it has a value")
}

fn set(name: &str, key: &str, value: &str) -> BTreeMap<String, BTreeMap<String, ConfigOp>> {
    let ops = BTreeMap::from([(key.to_owned(), ConfigOp::Set(value.to_owned()))]);
    BTreeMap::from([(name.to_owned(), ops)])
}

fn grow(name: &str, total: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(name.to_owned(), total)])
}

#[tokio::test]
async fn asking_whether_a_topic_could_be_made_makes_none() {
    let (admin, good) = (admin(), topic("ask"));
    let name = good.name.clone();
    of(admin.create_topics(vec![good.clone()], true).await, &name).expect("it could be made");

    let config = BTreeMap::from([("retention.ms".into(), "soon".into())]);
    let bad = NewTopic {
        config,
        ..good.clone()
    };
    let refused = of(admin.create_topics(vec![bad], true).await, &name).expect_err("no number");
    assert!(
        refused.is_invalid() && refused.message.contains("retention.ms"),
        "{refused}"
    );

    // More than the brokers, and more than librdkafka sends.
    for replicas in [1_000, 30_000] {
        let replicas = Some(replicas);
        let bad = NewTopic {
            replicas,
            ..good.clone()
        };
        let refused = of(admin.create_topics(vec![bad], true).await, &name).expect_err("too many");
        assert!(
            refused.is_replication() && !refused.is_invalid(),
            "{refused}"
        );
    }

    tokio::time::sleep(Duration::from_secs(1)).await;
    let unknown = of(admin.describe_topics(&[&name]).await, &name).expect_err("none was made");
    assert!(unknown.is_unknown_topic(), "{unknown}");
    let unknown = of(admin.delete_topics(&[&name]).await, &name).expect_err("none was made");
    assert!(unknown.is_unknown_topic(), "{unknown}");
}

#[tokio::test]
async fn asking_whether_a_topic_could_be_altered_alters_nothing() {
    with_topic("alter", async |admin, name| {
        let ask = async |key, value| {
            of(
                admin
                    .incremental_alter_configs(set(name, key, value), true)
                    .await,
                name,
            )
        };
        ask("retention.ms", "5").await.expect("it could be set");
        let refused = ask("retention.ms", "soon").await.expect_err("no number");
        assert!(
            refused.is_invalid() && refused.message.contains("retention.ms"),
            "{refused}"
        );
        let refused = ask("no.such.key", "5").await.expect_err("no such key");
        assert!(
            refused.is_invalid() && refused.message.contains("no.such.key"),
            "{refused}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(retention(admin, name).await, "1000000");

        let alter = admin.incremental_alter_configs(set(name, "retention.ms", "5"), false);
        of(alter.await, name).expect("it can be set");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            retention(admin, name).await,
            "5",
            "what was only asked for is now done"
        );
    })
    .await;
}

#[tokio::test]
async fn asking_whether_a_topic_could_grow_leaves_it_as_it_is() {
    with_topic("grow", async |admin, name| {
        of(admin.create_partitions(grow(name, 5), true).await, name).expect("it could grow");
        for total in [1, 2] {
            let ask = admin.create_partitions(grow(name, total), true).await;
            let refused = of(ask, name).expect_err("not more than it has");
            assert!(refused.is_invalid(), "{refused}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let found = of(admin.describe_topics(&[name]).await, name).expect("it is there");
        assert_eq!(found.partitions, 2);
    })
    .await;
}

#[tokio::test]
async fn only_settings_that_are_asked_for_are_kept() {
    with_topic("keep", async |admin, name| {
        let nosuch = format!("{name}.nosuch");
        let (asked, wanted) = ([name, nosuch.as_str()], name.to_owned());
        let keep = move |topic: &str, key: &str| topic == wanted && key.starts_with("retention.");
        let mut configs = admin
            .describe_configs(&asked, keep)
            .await
            .expect("Kafka answers");
        let config = configs
            .remove(name)
            .expect("an outcome")
            .expect("the topic is there");
        assert_eq!(
            config.keys().collect::<Vec<_>>(),
            ["retention.bytes", "retention.ms"]
        );
        assert_eq!(config["retention.ms"].source, ConfigSource::Topic);
        assert_eq!(config["retention.bytes"].source, ConfigSource::Default);
        let unknown = configs
            .remove(&nosuch)
            .expect("an outcome")
            .expect_err("there is none");
        assert!(unknown.is_unknown_topic(), "{unknown}");
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_one_topic_spoils_no_other() {
    with_topic("batch", async |admin, name| {
        let with = |name: &str, value: &str| NewTopic {
            name: name.to_owned(),
            config: BTreeMap::from([("retention.ms".to_owned(), value.to_owned())]),
            ..NewTopic::default()
        };
        let new = vec![
            with("bt-kafka-test.nul", "1\0"),
            with("not a name", "1"),
            with("", "1"),
            with(name, "1"),
            with("bt-kafka-test.good", "1"),
        ];
        let made = admin.create_topics(new, true).await.expect("Kafka answers");
        assert_eq!(made.len(), 5, "{made:?}");
        for bad in ["bt-kafka-test.nul", "not a name", ""] {
            let refused = made[bad].as_ref().expect_err(bad);
            assert!(refused.is_invalid(), "{refused}");
        }
        assert!(made[name].is_err(), "it exists");
        assert!(made["bt-kafka-test.good"].is_ok(), "{made:?}");

        let mut changes = set(name, "retention.ms", "5");
        changes.extend(set("bt-kafka-test.nul", "retention.ms", "1\0"));
        changes.extend(set("not a name", "retention.ms", "5"));
        changes.extend(set("bt-kafka-test.nosuch", "retention.ms", "5"));
        let altered = admin.incremental_alter_configs(changes, true).await;
        let altered = altered.expect("Kafka answers");
        assert_eq!(altered.len(), 4, "{altered:?}");
        let good: Vec<_> = altered
            .iter()
            .filter(|(_, outcome)| outcome.is_ok())
            .collect();
        assert!(good.len() == 1 && good[0].0 == name, "{altered:?}");

        let mut totals = grow(name, 3);
        totals.extend(grow("bt-kafka-test.nosuch", 3));
        totals.extend(grow("not a name", 3));
        let grown = admin
            .create_partitions(totals, true)
            .await
            .expect("Kafka answers");
        assert!(grown.len() == 3 && grown[name].is_ok(), "{grown:?}");
        assert!(
            grown["bt-kafka-test.nosuch"]
                .as_ref()
                .is_err_and(Error::is_unknown_topic)
        );

        let names = [name, "not a name", "bt-kafka-test.nosuch"];
        let found = admin.describe_topics(&names).await.expect("Kafka answers");
        assert!(found.len() == 3 && found[name].is_ok(), "{found:?}");
        let found = admin
            .describe_configs(&names, |_, _| true)
            .await
            .expect("Kafka answers");
        assert!(found.len() == 3 && found[name].is_ok(), "{found:?}");
    })
    .await;
}

/// The error of a call that gets no answer.
async fn failure(connection: &Connection) -> Error {
    let admin = Admin::new(connection, "test").expect("a client can be made");
    let admin = admin.with_timeout(Duration::from_secs(3));
    let answer = admin.describe_topics(&["any"]).await;
    answer.expect_err("there is nobody to answer")
}

#[tokio::test]
async fn a_connection_that_fails_says_why() {
    let unknown = failure(&Connection::plaintext("nosuch.invalid:9092")).await;
    assert!(
        unknown.is_unreachable() && unknown.message.contains("cannot be resolved"),
        "{unknown}"
    );

    let refused = failure(&Connection::plaintext("localhost:1")).await;
    assert!(
        refused.is_unreachable() && refused.message.contains("refused"),
        "{refused}"
    );

    let mut connection = Connection::plaintext(servers());
    connection.tls = Some(Tls::default());
    let no_tls = failure(&connection).await;
    assert!(no_tls.is_tls(), "{no_tls}");

    connection.tls = None;
    connection.sasl = Some(Sasl {
        mechanism: Mechanism::ScramSha512,
        username: "bt".into(),
        password: Secret::new("any"),
    });
    let no_sasl = failure(&connection).await;
    assert!(no_sasl.is_auth(), "{no_sasl}");

    // One of two servers is enough.
    let mixed = Connection::plaintext(format!("localhost:1,{}", servers()));
    let admin = Admin::new(&mixed, "test").expect("a client can be made");
    let answer = admin.describe_topics(&["bt-kafka-test.nosuch"]).await;
    let unknown = of(answer, "bt-kafka-test.nosuch").expect_err("there is none");
    assert!(unknown.is_unknown_topic(), "{unknown}");
}

#[test]
fn a_certificate_that_is_none_is_told_when_the_client_is_made() {
    let mut connection = Connection::plaintext("kafka:9093");
    connection.tls = Some(Tls {
        ca: Some("no PEM".into()),
        client: None,
    });
    let refused = Admin::new(&connection, "test")
        .err()
        .expect("it is refused");
    assert!(
        refused.is_tls() && refused.message.contains("ssl.ca.pem"),
        "{refused}"
    );
}
