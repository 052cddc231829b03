//! Services that publish, and the model of what they published.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_kafka::Connection;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::Value;

use crate::model::{Event, Model, Sender, Wrong};

const TIMEOUT: Duration = Duration::from_secs(10);
const SERVICES: usize = 8;
const INSTANCES: usize = 3;
const COUNTERS: [&str; 3] = ["requests_total", "bytes_total", "seconds_total"];
const KINDS: [&str; 2] = ["read", "write"];
const TYPES: [&str; 2] = ["order.created", "order.paid"];

/// Writes events into the source topic; the model is always ahead of what a member can have consumed.
pub struct Traffic {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    partitions: i32,
    random: Mutex<fastrand::Rng>,
    model: Mutex<Model>,
}

/// Notices a record that Kafka does not take, without which the model means nothing.
#[derive(Default)]
struct Deliveries {
    failed: AtomicBool,
}

impl rdkafka::ClientContext for Deliveries {}

impl rdkafka::producer::ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Traffic {
    /// For a topic that is there, with random choices by this seed.
    pub fn new(connection: &Connection, topic: &str, partitions: i32, seed: u64) -> Self {
        let producer = connection
            .writer_config("exactly-once-traffic")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .create_with_context(Deliveries::default())
            .expect("a producer can be made");
        Self {
            producer,
            topic: topic.to_owned(),
            partitions,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            model: Mutex::default(),
        }
    }

    /// What was produced so far.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service's instance whose events go to this partition.
    pub fn sender(partition: i32) -> Sender {
        Sender {
            service: format!("of-{partition}"),
            instance: "0".into(),
        }
    }

    /// Writes events as one record of a partition.
    pub fn send(&self, partition: i32, sender: &Sender, events: &[Event]) {
        let value = match events {
            [one] => one.json(sender),
            many => Value::Array(many.iter().map(|event| event.json(sender)).collect()),
        };
        self.write(partition, sender, events, value.to_string());
    }

    /// Writes so many random records.
    pub fn burst(&self, records: usize) {
        for _ in 0..records {
            self.any();
        }
        self.flush();
    }

    /// Waits until Kafka has all.
    pub fn flush(&self) {
        let flushed = self.producer.flush(Duration::from_secs(60));
        flushed.expect("Kafka takes what was produced");
        assert!(
            !self.producer.context().failed.load(Ordering::Relaxed),
            "Kafka did not take a record"
        );
    }

    /// Writes about so many random records a second until the guard is dropped, and waits until Kafka has them.
    pub fn start(self: &Arc<Self>, a_second: u32) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let (traffic, stopped) = (self.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..a_second.div_ceil(50) {
                    traffic.any();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            traffic.flush();
        });
        Running {
            stop,
            thread: Some(thread),
        }
    }

    /// Writes one random record.
    fn any(&self) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let number = random.usize(..SERVICES * INSTANCES);
        let sender = Sender {
            service: format!("service-{}", number / INSTANCES),
            instance: format!("{}", number % INSTANCES),
        };
        let partition = number as i32 % self.partitions;
        if random.u8(..100) == 0 {
            let text = format!("bad-{:x}", random.u64(..));
            let events = [Event::Bad(text.clone(), Wrong::NoKind)];
            return self.write(partition, &sender, &events, format!("{{ {text}"));
        }
        let events = random.usize(1..=4);
        let events: Vec<_> = (0..events).map(|_| event(&mut random)).collect();
        self.send(partition, &sender, &events);
    }

    fn write(&self, partition: i32, sender: &Sender, events: &[Event], value: String) {
        let source = format!("{}/{partition}", self.topic);
        let key = format!("{}/{}", sender.service, sender.instance);
        // Held while writing, so that the model takes events in the order of the log.
        let mut model = self.model();
        for event in events {
            model.take(&source, sender, event);
        }
        let mut record = BaseRecord::to(&self.topic)
            .partition(partition)
            .key(&key)
            .payload(&value);
        while let Err((error, back)) = self.producer.send(record) {
            // A partition that was just added is not known before the client has looked at the topic again.
            let new = error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition);
            assert!(new, "the producer takes a record: {error}");
            let looked = self
                .producer
                .client()
                .fetch_metadata(Some(&self.topic), TIMEOUT);
            looked.expect("Kafka tells of its topics");
            std::thread::sleep(Duration::from_millis(100));
            record = back;
        }
    }
}

fn event(random: &mut fastrand::Rng) -> Event {
    let quarters = f64::from(random.u16(1..40)) / 4.0;
    let health = |random: &mut fastrand::Rng| f64::from(random.u8(..3)) / 2.0;
    match random.u8(..100) {
        0..50 => Event::Count(
            COUNTERS[random.usize(..3)],
            KINDS[random.usize(..2)],
            quarters,
        ),
        50..60 => Event::Set("temperature", quarters - 5.0),
        60..70 => Event::Add("connections", quarters - 5.0),
        70..90 => Event::Observe("latency_seconds", quarters / 2.0),
        90..94 => Event::Health(health(random), health(random)),
        94..98 => Event::Business(TYPES[random.usize(..2)]),
        wrong => {
            let wrongs = [Wrong::Negative, Wrong::ReservedLabel, Wrong::NoKind];
            Event::Bad(
                format!("bad-{:x}", random.u64(..)),
                wrongs[usize::from(wrong) % 3],
            )
        }
    }
}

/// Traffic that goes on until this is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the traffic broke off"
            );
        }
    }
}
