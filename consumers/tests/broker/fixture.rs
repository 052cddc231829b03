//! A topic and a group of one test's own, and the program on them.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bt_kafka::Offsets;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::{self, Record, Topics, connection};
use crate::process::Process;

pub const EVENT: &str = r#"{"ts":1,"service":"s","name":"n","kind":"counter","value":1}"#;

/// A topic of two partitions and a group, of one test's own.
pub struct Fixture {
    topics: Topics,
    pub name: String,
    /// Where the program's logs are; deleted when the test succeeds.
    logs: PathBuf,
}

impl Fixture {
    /// Makes them.
    pub async fn new(what: &str) -> Self {
        let name = format!("bt-consumers-test.{what}.{:x}", kafka::millis());
        let fixture = Self::without_topic(name);
        fixture.create(&fixture.name, 2, &[]).await;
        fixture
    }

    /// A group on a topic that nobody has made.
    pub fn without_topic(name: String) -> Self {
        let logs = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let topics = Topics::new("test");
        Self { topics, name, logs }
    }

    /// Writes events into partition 0.
    pub fn produce(&self, events: usize) {
        self.produce_values(std::iter::repeat_n((0, EVENT), events));
    }

    /// Writes values into partitions.
    pub fn produce_values<V: AsRef<str>>(&self, values: impl IntoIterator<Item = (i32, V)>) {
        let producer: ThreadedProducer<_> = connection()
            .writer_config("test")
            .create()
            .expect("a producer");
        for (partition, value) in values {
            let record = BaseRecord::<(), str>::to(&self.name)
                .partition(partition)
                .payload(value.as_ref());
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("queued");
        }
        producer.flush(Duration::from_secs(10)).expect("written");
    }

    /// A transaction that has offsets of the group, which has no members, in both partitions.
    pub fn open_transaction(&self, offsets: [i64; 2]) -> BaseProducer {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let producer: BaseProducer = connection()
            .writer_config("test")
            .set("transactional.id", &self.name)
            .create()
            .expect("a producer");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(&self.name, partition, Offset::Offset(offset))
                .expect("a valid offset");
        }
        let group: BaseConsumer = connection()
            .client_config("test")
            .set("group.id", &self.name)
            .create()
            .expect("a consumer");
        let group = group.group_metadata().expect("it has a group");
        producer
            .init_transactions(TIMEOUT)
            .and_then(|()| producer.begin_transaction())
            .and_then(|()| producer.send_offsets_to_transaction(&list, &group, TIMEOUT))
            .expect("Kafka takes a transaction");
        producer
    }

    /// Where dead letters go.
    pub fn letters_topic(&self) -> String {
        format!("{}.letters", self.name)
    }

    /// The dead letters, as those read them who read what is committed.
    pub async fn letters(&self) -> Vec<Record> {
        self.records(&self.letters_topic()).await
    }

    /// Waits until the group has committed exactly these offsets of partitions 0 and 1.
    pub async fn committed(&self, offsets: [i64; 2]) {
        let expected: Offsets = (0..)
            .zip(offsets)
            .map(|(partition, offset)| ((self.name.clone(), partition), offset))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let committed = self.admin.committed_offsets(&self.name).await;
            if committed
                .as_ref()
                .is_ok_and(|committed| *committed == expected)
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "expected {expected:?}, found {committed:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The end of a test that succeeded: its topic and its logs are deleted.
    pub async fn strike(self) {
        self.delete(&self.name).await;
        self.clear();
    }

    /// Deletes the logs.
    pub fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.logs);
    }

    /// Starts the program with a sink that keeps nothing.
    pub fn start(&self, kafka: &str, start_from: &str) -> Process {
        self.start_with(kafka, start_from, "{prometheus: {exactlyOnce: false}}")
    }

    /// Starts the program.
    pub fn start_with(&self, kafka: &str, start_from: &str, sink: &str) -> Process {
        let config = format!(
            "consumer: test/consumer\nkafka: {kafka}\ngroupId: {0}\ntopics: [{0}]\nstartFrom: {start_from}\n\
             deadLetterTopic: {0}.letters\nsessionTimeout: 6s\nsink: {sink}\n",
            self.name
        );
        let name = format!("{:x}", fastrand::u64(..));
        Process::start(&name, &name, &config, &self.logs)
    }
}

impl Deref for Fixture {
    type Target = Topics;

    fn deref(&self) -> &Topics {
        &self.topics
    }
}

/// Ends the program, which has to end well.
pub async fn terminate(mut process: Process) {
    let ended = process.terminate(Duration::from_secs(30)).await;
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}
