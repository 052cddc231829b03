//! The topics, the stream and the configuration of one test.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bt_kafka::Offsets;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::engine::{self, Engine};
use crate::kafka::{self, Topics, connection, servers};
use crate::process::Process;
use crate::program::{Said, replay};

const PATIENCE: Duration = Duration::from_secs(60);

/// What one test has of its own.
pub struct Stage {
    topics: Topics,
    producer: ThreadedProducer<DefaultProducerContext>,
    pub engine: Engine,
    /// The source topic, and the consumer's group.
    pub name: String,
    /// Where the consumers' logs are, and the configuration; deleted when the test succeeds.
    files: PathBuf,
    pub config: PathBuf,
}

/// A log that the engine refuses until its mapping is fixed; `rest` are further fields.
pub fn log(message: &str, rest: &str) -> String {
    format!(
        r#"{{"ts":"2026-11-23T10:00:00Z","service":"s","level":"info","message":"{message}"{rest}}}"#
    )
}

impl Stage {
    pub async fn new(what: &str) -> Self {
        let name = format!("bt-replay-test.{what}.{:x}", kafka::millis());
        let files = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&files).expect("a directory for logs");
        let producer = connection().writer_config("test").create();
        let stage = Self {
            topics: Topics::new("test"),
            producer: producer.expect("a producer"),
            engine: Engine::new(&name.replace('.', "-")).await,
            config: files.join("replay.yaml"),
            files,
            name,
        };
        stage.create(&stage.name, 2, &[]).await;
        stage.create(&stage.letters(), 2, &[]).await;
        std::fs::write(&stage.config, stage.config_of(&stage.name, &engine::url()))
            .expect("the file can be written");
        stage
    }

    pub fn letters(&self) -> String {
        format!("{}.letters", self.name)
    }

    /// The configuration of the consumer `test/<group>`.
    pub fn config_of(&self, group: &str, url: &str) -> String {
        let (servers, name, letters) = (servers(), &self.name, self.letters());
        let stream = &self.engine.stream;
        format!(
            "consumer: test/{group}\nkafka: {{bootstrapServers: \"{servers}\"}}\ngroupId: {group}\ntopics: [{name}]\n\
             deadLetterTopic: {letters}\nsink:\n  elasticsearch:\n    urls: [\"{url}\"]\n    dataStream: {stream}\n    \
             template: {{manage: false}}\n    bulk: {{flushInterval: 50ms}}\n"
        )
    }

    /// The source topic's id as it stands in the ids of documents.
    pub async fn topic_id(&self) -> String {
        let id = self.id(&self.name).await;
        id.replace('+', "-").replace('/', "_")
    }

    /// Writes a record into a partition of the source topic.
    pub fn produce(&self, partition: i32, value: &str) {
        self.write_with(&self.name, partition, value, OwnedHeaders::new());
    }

    /// Writes a letter with these headers.
    pub fn letter(&self, value: &str, headers: &[(&str, &str)]) {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                let value = Some(*value);
                headers.insert(Header { key, value })
            });
        self.write_with(&self.letters(), 0, value, headers);
    }

    fn write_with(&self, topic: &str, partition: i32, value: &str, headers: OwnedHeaders) {
        let record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .key("s/i")
            .payload(value)
            .headers(headers);
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| error).expect("queued");
        self.producer.flush(PATIENCE).expect("written");
    }

    /// Runs the consumer until it has written so many letters in all.
    pub async fn consume(&self, letters: u64) {
        let consumer = self.start(&self.name);
        let began = Instant::now();
        loop {
            let said = self.replay(&["--dry-run"]);
            if said.number("matched") == letters {
                break;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "not {letters} letters: {said:?}"
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        self.all_committed(&self.name).await;
        drop(consumer);
    }

    /// Starts the consumer of a group.
    pub fn start(&self, group: &str) -> Process {
        let config = self.config_of(group, &engine::url());
        let name = format!("{:x}", fastrand::u64(..));
        Process::start(&name, &name, &config, &self.files)
    }

    /// Waits until a group has committed all of the source topic.
    pub async fn all_committed(&self, group: &str) {
        let began = Instant::now();
        while let Err(why) = self.all_committed_of(&self.name, group).await {
            assert!(began.elapsed() < PATIENCE, "{group}: {why}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn committed(&self, group: &str) -> Offsets {
        let committed = self.admin.committed_offsets(group).await;
        committed.unwrap_or_default()
    }

    pub fn replay(&self, arguments: &[&str]) -> Said {
        replay(&self.config, arguments)
    }

    /// All is well: takes away what the test has made.
    pub async fn strike(self) {
        self.engine.delete().await;
        self.delete(&self.letters()).await;
        self.delete(&self.name).await;
        std::fs::remove_dir_all(&self.files).expect("the files can be deleted");
    }
}

impl Deref for Stage {
    type Target = Topics;

    fn deref(&self) -> &Topics {
        &self.topics
    }
}
