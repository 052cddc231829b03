use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bt_kafka::{Admin, Connection, NewTopic};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

/// Partitions that are made or deleted in one call.
const PARTITIONS_A_CALL: usize = 200;
/// Groups that are written at a time; each needs a client of its own.
const GROUPS_AT_A_TIME: usize = 8;
/// For Kafka to find a group's coordinator, or a group its members.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the consumers find in Kafka.
pub struct Kafka {
    admin: Admin,
    connection: Connection,
    producer: FutureProducer,
}

impl Kafka {
    /// A client of the cluster at this address.
    ///
    /// # Errors
    /// When librdkafka refuses the address.
    pub fn new(bootstrap: &str) -> Result<Self> {
        let connection = Connection::plaintext(bootstrap);
        let admin = Admin::new(&connection, "bt-bench")?;
        Ok(Self {
            admin: admin.with_timeout(Duration::from_secs(60)),
            producer: connection.client_config("bt-bench").create()?,
            connection,
        })
    }

    /// Makes topics of so many partitions.
    ///
    /// # Errors
    /// When Kafka refuses one.
    pub async fn make(&self, topics: &[String], partitions: i32) -> Result<()> {
        let a_call = PARTITIONS_A_CALL / usize::try_from(partitions)?;
        for batch in topics.chunks(a_call.max(1)) {
            let topics = batch.iter().map(|name| NewTopic {
                name: name.clone(),
                partitions: Some(partitions),
                replicas: Some(1),
                config: BTreeMap::new(),
            });
            let made = self.admin.create_topics(topics.collect(), false).await;
            for (name, outcome) in made.context("Kafka")? {
                outcome.with_context(|| format!("topic {name}"))?;
            }
        }
        Ok(())
    }

    /// Deletes topics, as far as they are there, and what groups have committed for them.
    ///
    /// # Errors
    /// When Kafka refuses one.
    pub async fn delete(&self, topics: &[String]) -> Result<()> {
        for batch in topics.chunks(20) {
            let names: Vec<&str> = batch.iter().map(String::as_str).collect();
            let deleted = self.admin.delete_topics(&names).await;
            for (name, outcome) in deleted.context("Kafka")? {
                match outcome {
                    Err(error) if !error.is_unknown_topic() => {
                        return Err(error).with_context(|| format!("topic {name}"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Sends so many small records to each partition of a topic, and waits until Kafka has them all.
    ///
    /// # Errors
    /// When Kafka does not take one.
    pub async fn produce(&self, topic: &str, partitions: i32, each: usize) -> Result<()> {
        let sent = FuturesUnordered::new();
        for partition in 0..partitions {
            for _ in 0..each {
                let record = FutureRecord::<(), _>::to(topic)
                    .partition(partition)
                    .payload("{}");
                sent.push(self.producer.send(record, PATIENCE));
            }
        }
        let mut sent = sent;
        while let Some(delivered) = sent.next().await {
            delivered.map_err(|(error, _)| anyhow!("topic {topic}: {error}"))?;
        }
        Ok(())
    }

    /// Commits an offset for every partition of each group's topic, the group being named like the topic.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub async fn commit(&self, groups: &[String], partitions: i32, offset: i64) -> Result<()> {
        let commits: Vec<_> = groups
            .iter()
            .map(|group| {
                let (config, group) = (self.member_config(group), group.clone());
                async move {
                    let committed = commit(&config, &group, partitions, offset).await;
                    committed.with_context(|| format!("group {group}"))
                }
            })
            .collect();
        stream::iter(commits)
            .buffer_unordered(GROUPS_AT_A_TIME)
            .try_collect()
            .await
    }

    /// A member of a group, which has all partitions of the topic of that name and commits nothing.
    ///
    /// # Errors
    /// When the group does not give it its partitions.
    pub async fn join(&self, group: &str) -> Result<Member> {
        let consumer: BaseConsumer = self.member_config(group).create()?;
        consumer.subscribe(&[group])?;
        let (joined, stop) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (tell, told) = (joined.clone(), stop.clone());
        let polling = spawn_blocking(move || {
            while !told.load(Ordering::Relaxed) {
                // What it gets, it drops.
                let _ = consumer.poll(Duration::from_millis(200));
                if consumer.assignment().is_ok_and(|has| has.count() > 0) {
                    tell.store(true, Ordering::Relaxed);
                }
            }
        });
        let member = Member { stop, polling };
        let until = Instant::now() + PATIENCE;
        while !joined.load(Ordering::Relaxed) {
            if Instant::now() > until {
                bail!("group {group}: no partitions for its member within a minute");
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(member)
    }

    fn member_config(&self, group: &str) -> ClientConfig {
        let mut config = self.connection.client_config("bt-bench");
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest");
        config
    }
}

/// A member of a consumer group, until it is dropped or leaves.
pub struct Member {
    stop: Arc<AtomicBool>,
    polling: JoinHandle<()>,
}

impl Member {
    /// Leaves the group.
    pub async fn leave(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = (&mut self.polling).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn commit(config: &ClientConfig, group: &str, partitions: i32, offset: i64) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    for partition in 0..partitions {
        offsets.add_partition_offset(group, partition, Offset::Offset(offset))?;
    }
    let consumer: BaseConsumer = config.create()?;
    let committing = spawn_blocking(move || {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            // A group's coordinator has to be found first, and for the first group of all to be made.
            match consumer.commit(&offsets, CommitMode::Sync) {
                Err(_) if std::time::Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                committed => return committed,
            }
        }
    });
    Ok(committing.await??)
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::*;

    /// `KAFKA_BOOTSTRAP=localhost:9092 cargo test -p bench --features broker`
    #[tokio::test]
    async fn groups_have_lag_and_members_before_any_consumer_is_there() {
        let bootstrap = std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP names a Kafka");
        let kafka = Kafka::new(&bootstrap).expect("a client");
        let topics: Vec<String> = (0..12)
            .map(|number| format!("bench-{}-{number}", std::process::id()))
            .collect();
        kafka.make(&topics, 10).await.expect("topics");
        for topic in &topics {
            kafka.produce(topic, 10, 2).await.expect("records");
        }
        kafka.commit(&topics, 10, 1).await.expect("offsets");
        let partitions: Vec<_> = (0..10).map(|number| (topics[0].clone(), number)).collect();
        let ends = kafka.admin.log_end_offsets(partitions).await;
        assert!(ends.expect("offsets").values().all(|end| *end == 2));
        for group in &topics {
            let committed = kafka.admin.committed_offsets(group).await;
            let committed = committed.expect("offsets");
            assert_eq!(committed.len(), 10, "{group}");
            assert!(committed.values().all(|offset| *offset == 1), "{group}");
        }

        let member = kafka.join(&topics[0]).await.expect("a member");
        // A burst moves the end, and the member does not move what is committed.
        kafka.produce(&topics[0], 10, 1000).await.expect("a burst");
        member.leave().await;
        let committed = kafka.admin.committed_offsets(&topics[0]).await;
        assert!(
            committed
                .expect("offsets")
                .values()
                .all(|offset| *offset == 1)
        );

        kafka.delete(&topics).await.expect("deletion");
        // They are gone, which is none of its business.
        kafka.delete(&topics).await.expect("nothing to delete");
    }
}
