use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::Store;

use crate::api::{KafkaTopic, KafkaTopicStatus};

/// The statuses that this process has written, by uid. The watch brings them back later, and a decision on an older one
/// could take our own topic for somebody else's.
#[derive(Default)]
pub struct Written {
    statuses: Mutex<HashMap<String, KafkaTopicStatus>>,
}

impl Written {
    /// The resource with the status that was written last.
    pub fn over(&self, topic: &Arc<KafkaTopic>) -> Arc<KafkaTopic> {
        Self::lay(&self.lock(), topic)
    }

    /// All resources with the statuses that were written last.
    pub fn over_all(&self, topics: Vec<Arc<KafkaTopic>>) -> Vec<Arc<KafkaTopic>> {
        let statuses = self.lock();
        topics
            .iter()
            .map(|topic| Self::lay(&statuses, topic))
            .collect()
    }

    fn lay(
        statuses: &HashMap<String, KafkaTopicStatus>,
        topic: &Arc<KafkaTopic>,
    ) -> Arc<KafkaTopic> {
        match topic.uid().and_then(|uid| statuses.get(&uid).cloned()) {
            Some(status) if topic.status.as_ref() != Some(&status) => Arc::new(KafkaTopic {
                status: Some(status),
                ..KafkaTopic::clone(topic)
            }),
            _ => topic.clone(),
        }
    }

    pub fn remember(
        &self,
        topic: &KafkaTopic,
        status: KafkaTopicStatus,
        store: &Store<KafkaTopic>,
    ) {
        let mut statuses = self.lock();
        if let Some(uid) = topic.uid() {
            statuses.insert(uid, status);
        }
        // A resource without a finalizer goes without a last reconcile.
        if statuses.len() > 2 * store.len() + 16 {
            let alive: HashSet<_> = store
                .state()
                .iter()
                .filter_map(|topic| topic.uid())
                .collect();
            statuses.retain(|uid, _| alive.contains(uid));
        }
    }

    pub fn forget(&self, topic: &KafkaTopic) {
        if let Some(uid) = topic.uid() {
            self.lock().remove(&uid);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, KafkaTopicStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
