//! The program on a real Kafka, with a plaintext listener at KAFKA_BOOTSTRAP:
//! cargo test -p bt-consumers --features broker --test broker
#![cfg(feature = "broker")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bt_consumers::SinkReport;
use bt_kafka::{Admin, Connection, NewTopic, Offsets};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

const EVENT: &str = r#"{"ts":1,"service":"s","name":"n","kind":"counter","value":1}"#;

fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP says where Kafka is")
}

fn connection() -> Connection {
    Connection::plaintext(servers())
}

/// A topic of two partitions and a group, of one test's own.
struct Fixture {
    admin: Admin,
    name: String,
}

impl Fixture {
    async fn new(what: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = now.expect("after 1970").as_millis();
        let name = format!("bt-consumers-test.{what}.{millis:x}");
        let admin = Admin::new(&connection(), "test").expect("a client can be made");
        let topic = NewTopic {
            name: name.clone(),
            partitions: Some(2),
            replicas: Some(1),
            config: BTreeMap::new(),
        };
        let made = admin.create_topics(vec![topic], false).await;
        made.expect("Kafka answers")
            .remove(&name)
            .expect("an outcome")
            .expect("the topic can be made");
        Self { admin, name }
    }

    /// Writes events into partition 0.
    fn produce(&self, events: usize) {
        let producer: ThreadedProducer<_> = connection()
            .client_config("test")
            .create()
            .expect("a producer");
        for _ in 0..events {
            let record = BaseRecord::<(), str>::to(&self.name)
                .partition(0)
                .payload(EVENT);
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("queued");
        }
        producer.flush(Duration::from_secs(10)).expect("written");
    }

    /// Waits until the group has committed exactly these offsets of partitions 0 and 1.
    async fn committed(&self, offsets: [i64; 2]) {
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

    async fn delete(self) {
        let deleted = self.admin.delete_topics(&[&self.name]).await;
        deleted
            .expect("Kafka answers")
            .remove(&self.name)
            .expect("an outcome")
            .expect("the topic can be deleted");
    }

    fn start(&self, kafka: &str, start_from: &str) -> Consumer {
        Consumer::start(&format!(
            "consumer: test/consumer\nkafka: {kafka}\ngroupId: {0}\ntopics: [{0}]\nstartFrom: {start_from}\n\
             deadLetterTopic: {0}.letters\nsink: {{prometheus: {{exactlyOnce: false}}}}\n",
            self.name
        ))
    }
}

/// A running process; killed when dropped, as by a node that is lost.
struct Consumer {
    process: Child,
    config: PathBuf,
    http: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Consumer {
    fn start(config: &str) -> Self {
        let (http, metrics) = (free_port(), free_port());
        let path = std::env::temp_dir().join(format!("bt-consumers-test-{http}.yaml"));
        std::fs::write(&path, config).expect("the file can be written");
        let process = Command::new(env!("CARGO_BIN_EXE_bt-consumers"))
            .args(["run", "--config"])
            .arg(&path)
            .args(["--http-port", &http.to_string()])
            .args(["--metrics-port", &metrics.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self {
            process,
            config: path,
            http,
        }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.http);
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        client.get(url).send().await.ok()?.text().await.ok()
    }

    /// Waits until `path` answers something that contains `text`.
    async fn says(&self, path: &str, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let said = self.get(path).await.unwrap_or_default();
            if said.contains(text) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "/{path}: expected {text:?}, found {said:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Both only fail when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

#[tokio::test]
async fn the_latest_is_committed_at_once_so_that_a_crash_skips_nothing() {
    let fixture = Fixture::new("latest").await;
    fixture.produce(3);
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let first = fixture.start(&kafka, "Latest");
    fixture.committed([3, 0]).await;
    drop(first);
    fixture.produce(2);
    let second = fixture.start(&kafka, "Latest");
    fixture.committed([5, 0]).await;
    let report = second.get("sink").await.expect("an answer");
    let report: SinkReport = serde_json::from_str(&report).expect("a report");
    assert_eq!(
        (report.state.as_str(), report.taken, report.rejected),
        ("Ready", 2, 0)
    );
    drop(second);
    fixture.delete().await;
}

#[tokio::test]
async fn partitions_without_a_record_are_committed_too() {
    let fixture = Fixture::new("earliest").await;
    fixture.produce(1);
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let consumer = fixture.start(&kafka, "Earliest");
    fixture.committed([1, 0]).await;
    consumer.says("readyz", "ok").await;
    drop(consumer);
    fixture.delete().await;
}

#[tokio::test]
async fn what_is_in_the_way_is_told() {
    let fixture = Fixture::new("obstacles").await;
    let port = free_port();
    let nobody = fixture.start(
        &format!("{{bootstrapServers: \"127.0.0.1:{port}\"}}"),
        "Earliest",
    );
    let tls = fixture.start(
        &format!("{{bootstrapServers: \"{}\", tls: {{}}}}", servers()),
        "Earliest",
    );
    nobody.says("readyz", "Kafka: connect:").await;
    nobody.says("readyz", "refused").await;
    tls.says("readyz", "check kafka.tls").await;
    // No pod restarts for it.
    for consumer in [&nobody, &tls] {
        assert_eq!(consumer.get("healthz").await.as_deref(), Some("ok\n"));
    }
    drop((nobody, tls));
    let missing = Fixture {
        name: format!("{}.missing", fixture.name),
        admin: fixture.admin.clone(),
    };
    let kafka = format!("{{bootstrapServers: \"{}\"}}", servers());
    let waiting = missing.start(&kafka, "Earliest");
    waiting.says("readyz", "missing does not exist yet").await;
    drop(waiting);
    fixture.delete().await;
}
