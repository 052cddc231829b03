//! The topics of one test, and what stands in them.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use bt_kafka::Offsets;

use crate::kafka::{self, Topics, connection};
use crate::traffic::Traffic;

/// Partitions of the source topic.
pub const PARTITIONS: i32 = 6;

/// One test's source topic, its traffic, and a place for logs.
pub struct Stage {
    topics: Topics,
    /// The source topic, and the beginning of all other names.
    pub name: String,
    pub traffic: Arc<Traffic>,
    /// Where the members' logs are; deleted when the test succeeds.
    pub logs: PathBuf,
    seed: u64,
}

impl Stage {
    /// A source topic of a test's own.
    pub async fn new(what: &str) -> Self {
        let millis = kafka::millis();
        let seed = kafka::seed(what, millis);
        let name = format!("bt-exactly-once.{what}.{millis:x}");
        let logs = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let stage = Self {
            topics: Topics::new("exactly-once"),
            traffic: Arc::new(Traffic::new(&connection(), &name, PARTITIONS, seed)),
            name,
            logs,
            seed,
        };
        stage.create(&stage.name, PARTITIONS, &[]).await;
        stage
    }

    /// Random numbers by the test's seed, and this number.
    pub fn random(&self, number: u32) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_add(u64::from(number)))
    }

    /// A partition of the source topic as series name it.
    pub fn source(&self, partition: i32) -> String {
        format!("{}/{partition}", self.name)
    }

    /// Makes the compacted topic for a group's state.
    pub async fn create_state(&self, name: &str, partitions: i32) {
        // Compacted within the time of a test, too.
        let config = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "10000"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ];
        self.create(name, partitions, &config).await;
    }

    /// The offsets at which the source topic ends; partitions without a record are left out.
    pub async fn ends(&self) -> Offsets {
        self.ends_of(&self.name).await
    }

    /// Whether a group has committed all that is in the source topic.
    pub async fn all_committed(&self, group: &str) -> Result<(), String> {
        self.all_committed_of(&self.name, group).await
    }

    /// Commits an offset of the source topic for a group without members, as `kafka-consumer-groups --reset-offsets` does.
    pub fn reset(&self, group: &str, partition: i32, offset: i64) {
        self.reset_of(&self.name, group, partition, offset);
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
