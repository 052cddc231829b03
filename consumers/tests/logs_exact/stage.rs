//! The source topic of one test, and what was produced into it.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use bt_dev_engine::is_refused;
use serde_json::value::RawValue;

use crate::kafka::{self, Record, Topics};
use crate::ledger::{Fate, Produced, mark};
use crate::setup::Setup;
use crate::traffic::{MALFORMED, POISON, REFUSE, Traffic, Wrongs};

/// Partitions of the source topic.
pub const PARTITIONS: i32 = 4;
/// Of all tests together, where BT_CHAOS_SEED says nothing.
const SEED: u64 = 20_261_123;

/// One test's source topic, its traffic, and a place for logs.
pub struct Stage {
    topics: Topics,
    /// The source topic, and the beginning of all other names.
    pub name: String,
    /// Kafka's id of the source topic, in URL-safe base64.
    pub topic_id: String,
    pub traffic: Arc<Traffic>,
    /// Where the members' logs are; deleted when the test succeeds.
    pub logs: PathBuf,
    pub seed: u64,
}

impl Stage {
    /// A source topic of a test's own, and what is wrong with the records that go into it.
    pub async fn new(what: &str, wrongs: Wrongs) -> Self {
        let seed = kafka::seed(what, SEED);
        let name = format!("bt-logs-exact.{what}.{:x}", kafka::millis());
        let logs = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let topics = Topics::new("logs-exact");
        topics.create(&name, PARTITIONS, &[]).await;
        // Waits for the topic; only then the broker describes it.
        let traffic = Arc::new(Traffic::new(&name, PARTITIONS, seed, wrongs));
        Self {
            topic_id: topics.id(&name).await.replace('+', "-").replace('/', "_"),
            traffic,
            topics,
            name,
            logs,
            seed,
        }
    }

    /// Random numbers by the test's seed, and this number.
    pub fn random(&self, number: u32) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_add(u64::from(number)))
    }

    /// All that stands in the source topic, and what has to become of it in such a group.
    pub async fn produced(&self, setup: &Setup) -> Vec<Produced> {
        let records = self.records(&self.name).await;
        let produced: Vec<_> = records
            .iter()
            .flat_map(|record| self.events(record, setup))
            .collect();
        let sent = self.traffic.sent() as usize;
        assert_eq!(produced.len(), sent, "events in the topic, and sent");
        produced
    }

    fn events(&self, record: &Record, setup: &Setup) -> Vec<Produced> {
        match serde_json::from_slice::<Vec<&RawValue>>(&record.value) {
            Ok(elements) => {
                let elements = elements.iter().enumerate();
                elements
                    .map(|(place, element)| {
                        self.event(record, Some(place), element.get().as_bytes(), setup)
                    })
                    .collect()
            }
            Err(_) => vec![self.event(record, None, &record.value, setup)],
        }
    }

    fn event(
        &self,
        record: &Record,
        place: Option<usize>,
        bytes: &[u8],
        setup: &Setup,
    ) -> Produced {
        let json: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
        let id = json.as_ref().and_then(|json| json["id"].as_str());
        let mut event = Produced {
            mark: mark(bytes).expect("every event has a mark"),
            consumer: "test/logs-exact".to_owned(),
            topic: self.name.clone(),
            topic_id: self.topic_id.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.clone(),
            place,
            bytes: bytes.to_vec(),
            id: id.map(str::to_owned),
            fate: Fate::Indexed,
        };
        let text = String::from_utf8_lossy(bytes);
        let has = |part: &str| text.contains(part);
        let rules = &setup.rules;
        let contradicts = match rules.failure_store && setup.flavour.data_streams() {
            true => Fate::FailureStore,
            false => Fate::Letter(&["rejected_by_sink"]),
        };
        event.fate = match () {
            () if has(MALFORMED) && !setup.index_malformed => {
                Fate::Letter(&["invalid_json", "unknown_kind", "missing_field"])
            }
            () if rules.max_bytes > 0 && bytes.len() > rules.max_bytes => {
                Fate::Letter(&["too_large_for_sink"])
            }
            () if !rules.poison.is_empty() && has(POISON) => Fate::Letter(&["rejected_by_sink"]),
            () if has(REFUSE) || is_refused(&event.document_id(), rules.refuse_one_in) => {
                contradicts
            }
            () => Fate::Indexed,
        };
        event
    }

    /// The end of a test that succeeded: its logs and the source topic are deleted.
    pub async fn strike(&self) {
        self.delete(&self.name).await;
        let _ = std::fs::remove_dir_all(&self.logs);
    }
}

impl Deref for Stage {
    type Target = Topics;

    fn deref(&self) -> &Topics {
        &self.topics
    }
}
