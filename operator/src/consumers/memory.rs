//! What is remembered of each consumer between reconciles; all of it can be found out again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use serde_json::Value;

use super::apply::Applied;
use super::rollout::Watch;
use crate::api::{TelemetryConsumer, TelemetryConsumerStatus};

/// Of one consumer.
#[derive(Default)]
pub struct Memory {
    uid: String,
    /// What was applied last.
    pub applied: Applied,
    /// Since when its pods have made no progress.
    pub watch: Option<Watch>,
    /// The pod template that it went back to, by revision.
    pub template: Option<(String, Value)>,
    /// The status last written, with the version of the resource then.
    written: Option<(u64, TelemetryConsumerStatus)>,
}

impl Memory {
    /// Nothing is remembered.
    pub fn new(consumer: &TelemetryConsumer) -> Self {
        Self {
            uid: consumer.uid().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The status: as last written, where the watch has not told of that yet.
    pub fn status(&self, consumer: &TelemetryConsumer) -> TelemetryConsumerStatus {
        match &self.written {
            Some((version, status)) if *version > self::version(consumer) => status.clone(),
            _ => consumer.status.clone().unwrap_or_default(),
        }
    }

    /// Takes notice of the resource as the API server answered.
    pub fn wrote(&mut self, written: TelemetryConsumer) {
        self.written = Some((version(&written), written.status.unwrap_or_default()));
    }
}

fn version(consumer: &TelemetryConsumer) -> u64 {
    let version = consumer.resource_version().unwrap_or_default();
    version.parse().unwrap_or_default()
}

/// Of all consumers, by key.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<String, Memory>>);

impl Memories {
    /// Takes a consumer's for a reconcile, of which there is one at a time; `None` where this one is not known yet.
    pub fn take(&self, key: &str, consumer: &TelemetryConsumer) -> Option<Memory> {
        let memory = self.lock().remove(key)?;
        (Some(&memory.uid) == consumer.uid().as_ref()).then_some(memory)
    }

    /// Puts it back.
    pub fn put(&self, key: String, memory: Memory) {
        self.lock().insert(key, memory);
    }

    /// Drops that of a consumer that is gone.
    pub fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    /// Drops those of all but these consumers; the keys of the others.
    pub fn retain(&self, alive: &HashSet<String>) -> Vec<String> {
        let mut all = self.lock();
        let gone = all.extract_if(|key, _| !alive.contains(key));
        gone.map(|(key, _)| key).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
