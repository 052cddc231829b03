//! Services that write logs, some of which cannot be taken.

use std::cell::{Cell, RefCell};

use anyhow::Result;
use e2e::{Kafka, Random, seconds};
use serde_json::{Value, json};
use tokio::time::{Duration, interval};

use super::ledger::Mark;

/// Records a second, and written at once.
const RATE: u32 = 120;
const AT_ONCE: u32 = 12;
const SEED: u64 = 20_261_123;
const DAY: i64 = 86_400_000;

/// A text in everything that is no event.
pub const MALFORMED: &str = "malformed";
/// A label that the index has a type for.
pub const CODE: &str = "code";
/// A value of [`CODE`] that an integer cannot have.
pub const NO_NUMBER: &str = "no-number";

/// Writes logs into a topic, as many services do.
pub struct Traffic {
    topic: String,
    run: String,
    random: RefCell<Random>,
    marks: Cell<Mark>,
    /// Whether events have a label whose type the index may contradict.
    pub conflicts: Cell<bool>,
}

impl Traffic {
    pub fn new(topic: &str, run: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            run: run.to_owned(),
            random: RefCell::new(Random::new(SEED)),
            marks: Cell::new(0),
            conflicts: Cell::new(false),
        }
    }

    /// Events and texts that are none, so far.
    pub fn sent(&self) -> Mark {
        self.marks.get()
    }

    /// Writes while something happens, and a little longer.
    ///
    /// # Errors
    /// When Kafka does not take a record, or what happens fails.
    pub async fn while_it(
        &self,
        kafka: &Kafka,
        happens: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let over = Cell::new(false);
        let write = async {
            let mut tick = interval(Duration::from_secs(1) * AT_ONCE / RATE);
            while !over.get() {
                tick.tick().await;
                self.write(kafka).await?;
            }
            Ok(())
        };
        let happen = async {
            happens.await?;
            tokio::time::sleep(seconds(1)).await;
            over.set(true);
            Ok(())
        };
        tokio::try_join!(write, happen).map(drop)
    }

    async fn write(&self, kafka: &Kafka) -> Result<()> {
        let records: Vec<_> = (0..AT_ONCE).map(|_| self.record()).collect();
        kafka.produce_all(&self.topic, &records).await
    }

    /// Key and value.
    fn record(&self) -> (String, Vec<u8>) {
        let mut random = self.random.borrow_mut();
        let key = format!("e2e/{}", random.below(64));
        let text = match random.below(100) {
            0..3 => format!("{{ {MALFORMED} mark-{}", self.mark()),
            3..11 => {
                let events = (0..2 + random.below(3)).map(|_| self.event(&mut random));
                Value::from(events.collect::<Vec<_>>()).to_string()
            }
            _ => self.event(&mut random).to_string(),
        };
        (key, text.into_bytes())
    }

    /// Labels of one name have values of all types, which no event may be lost for.
    fn event(&self, random: &mut Random) -> Value {
        let mark = self.mark();
        let values = [json!(1), json!("text"), json!(true), json!({"inner": 2.5})];
        let mut event = json!({
            // Of today and of yesterday.
            "ts": now() - DAY * random.below(2) as i64,
            "service": "e2e", "instance": self.run, "level": "info",
            "message": format!("mark-{mark} {}", "x".repeat(random.below(200))),
            "fields": {"n": mark, "mixed": random.pick(&values)},
        });
        if random.below(4) == 0 {
            event["id"] = format!("{}-{mark}", self.run).into();
        }
        if self.conflicts.get() && random.below(10) == 0 {
            let values = [json!(7), json!(NO_NUMBER)];
            event["fields"][CODE] = random.pick(&values).clone();
        }
        event
    }

    fn mark(&self) -> Mark {
        self.marks.replace(self.marks.get() + 1)
    }
}

fn now() -> i64 {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    unix.map_or(0, |unix| unix.as_millis() as i64)
}
