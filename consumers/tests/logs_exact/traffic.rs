//! Services that write logs, some of which cannot be taken.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::connection;
use crate::ledger::Mark;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A text that [`bt_dev_engine::Rules::refuse`] is set to.
pub const REFUSE: &str = "refuse-me";
/// A text that [`bt_dev_engine::Rules::poison`] is set to.
pub const POISON: &str = "poison-pill";
/// A text in everything that is no event.
pub const MALFORMED: &str = "malformed";

/// Of how many records in a hundred something is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Wrongs {
    pub malformed: u8,
    pub refused: u8,
    pub poisoned: u8,
    pub large: u8,
    /// Bytes of a large one.
    pub large_bytes: usize,
}

impl Default for Wrongs {
    fn default() -> Self {
        Self {
            malformed: 3,
            refused: 3,
            poisoned: 0,
            large: 0,
            large_bytes: 0,
        }
    }
}

/// Writes logs into the source topic.
pub struct Traffic {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    partitions: i32,
    wrongs: Wrongs,
    random: Mutex<fastrand::Rng>,
    marks: AtomicU32,
}

/// Notices a record that Kafka does not take, without which the ledger means nothing.
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
    pub fn new(topic: &str, partitions: i32, seed: u64, wrongs: Wrongs) -> Self {
        let producer = connection()
            .writer_config("logs-exact-traffic")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .create_with_context(Deliveries::default())
            .expect("a producer can be made");
        know(&producer, topic, partitions);
        Self {
            producer,
            topic: topic.to_owned(),
            partitions,
            wrongs,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            marks: AtomicU32::new(0),
        }
    }

    /// Events and texts that are none, so far.
    pub fn sent(&self) -> Mark {
        self.marks.load(Ordering::Relaxed)
    }

    /// Writes so many random records.
    pub fn burst(&self, records: usize) {
        for _ in 0..records {
            self.any(None);
        }
        self.flush();
    }

    /// Writes so many random records into one partition.
    pub fn burst_into(&self, partition: i32, records: usize) {
        for _ in 0..records {
            self.any(Some(partition));
        }
        self.flush();
    }

    /// Writes a text that is no event into a partition.
    pub fn malformed(&self, partition: i32) {
        let mark = self.mark();
        self.write(partition, &format!("{{ {MALFORMED} mark-{mark}"));
        self.flush();
    }

    /// Writes so many logs of this size, of which none is wrong.
    pub fn load(&self, records: usize, bytes: usize) {
        let padding = "x".repeat(bytes.saturating_sub(140));
        for number in 0..records {
            let partition = number as i32 % self.partitions;
            self.write(partition, &self.log(partition, &padding, false));
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
                    traffic.any(None);
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

    fn mark(&self) -> Mark {
        self.marks.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes one random record.
    fn any(&self, partition: Option<i32>) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = partition.unwrap_or_else(|| random.i32(0..self.partitions));
        let events = if random.u8(..100) < 8 {
            random.usize(2..=4)
        } else {
            1
        };
        let alone = events == 1;
        let events: Vec<_> = (0..events)
            .map(|_| self.event(partition, alone, &mut random))
            .collect();
        match alone {
            true => self.write(partition, &events[0]),
            false => self.write(partition, &format!("[{}]", events.join(", "))),
        }
    }

    fn event(&self, partition: i32, alone: bool, random: &mut fastrand::Rng) -> String {
        let Wrongs {
            malformed,
            refused,
            poisoned,
            large,
            large_bytes,
        } = self.wrongs;
        let mut at = random.u8(..100);
        let mut is = |percent: u8| {
            let is = at < percent;
            at = at.saturating_sub(percent);
            if is {
                at = u8::MAX;
            }
            is
        };
        if is(malformed) {
            let mark = self.mark();
            // In an array the others would be lost with it.
            return match alone && random.bool() {
                true => format!("{{ {MALFORMED} mark-{mark}"),
                false => format!(
                    r#"{{"ts":1,"service":"s","message":"{MALFORMED} mark-{mark}, no level"}}"#
                ),
            };
        }
        let own_id = random.u8(..4) == 0;
        let text = match () {
            () if is(refused) => REFUSE.to_owned(),
            () if is(poisoned) => POISON.to_owned(),
            () if is(large) => "l".repeat(large_bytes),
            () => "x".repeat(random.usize(..200)),
        };
        self.log(partition, &text, own_id)
    }

    fn log(&self, partition: i32, text: &str, own_id: bool) -> String {
        let mark = self.mark();
        let id = match own_id {
            true => format!(r#""id":"{}-own-{mark}","#, self.topic),
            false => String::new(),
        };
        format!(
            r#"{{"ts":{},{id}"service":"of-{partition}","level":"INFO","message":"mark-{mark} {text}","fields":{{"n":{mark}}}}}"#,
            crate::kafka::millis()
        )
    }

    fn write(&self, partition: i32, text: &str) {
        let key = format!("of-{partition}/0");
        let mut record = BaseRecord::to(&self.topic)
            .partition(partition)
            .key(&key)
            .payload(text);
        while let Err((error, back)) = self.producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(full, "the producer takes a record: {error}");
            std::thread::sleep(Duration::from_millis(50));
            record = back;
        }
    }
}

/// Waits until the producer knows all partitions of a topic that was just made: before, it refuses records for some.
fn know(producer: &ThreadedProducer<Deliveries>, topic: &str, partitions: i32) {
    for _ in 0..100 {
        let looked = producer.client().fetch_metadata(Some(topic), TIMEOUT);
        let looked = looked.expect("Kafka tells of its topics");
        let known = looked.topics().iter().flat_map(|topic| topic.partitions());
        let led = known.filter(|partition| partition.error().is_none() && partition.leader() >= 0);
        if led.count() == partitions as usize {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{topic} does not get its partitions");
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
