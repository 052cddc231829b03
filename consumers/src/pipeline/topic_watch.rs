use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bt_kafka::Admin;

use super::Assignment;

const INTERVAL: Duration = Duration::from_secs(15);

/// Notices that a topic was deleted and made anew under its name. librdkafka may not: it can go on from an offset that
/// means something else now, or never fetch again, because the new topic's leader epochs begin below those that it
/// remembers.
pub(super) struct TopicWatch {
    admin: Admin,
    runtime: tokio::runtime::Handle,
    /// Assignments whose topics have another id now.
    answer: Option<Receiver<Vec<Arc<Assignment>>>>,
    next: Instant,
}

impl TopicWatch {
    pub fn new(admin: Admin, runtime: tokio::runtime::Handle) -> Self {
        Self {
            admin,
            runtime,
            answer: None,
            next: Instant::now() + INTERVAL,
        }
    }

    /// Asks Kafka now and then, without waiting for the answer; returns those assignments that a last answer has found
    /// to be of another topic.
    pub fn changed<'a>(
        &mut self,
        now: Instant,
        assignments: impl Iterator<Item = &'a Arc<Assignment>>,
    ) -> Vec<Arc<Assignment>> {
        let changed = self
            .answer
            .as_ref()
            .and_then(|answer| answer.try_recv().ok());
        if changed.is_some() {
            self.answer = None;
        }
        if now >= self.next {
            self.next = now + INTERVAL;
            let assignments: Vec<_> = assignments.cloned().collect();
            let (sender, receiver) = channel();
            self.answer = Some(receiver);
            let admin = self.admin.clone();
            self.runtime.spawn(async move {
                // Nobody listens when the answer comes too late.
                let _ = sender.send(compare(&admin, assignments).await);
            });
        }
        changed.unwrap_or_default()
    }
}

async fn compare(admin: &Admin, mut assignments: Vec<Arc<Assignment>>) -> Vec<Arc<Assignment>> {
    let topics: BTreeSet<&str> = assignments.iter().map(|a| &*a.topic).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    // Without an answer nothing is known, and with a topic that is not there nothing can be done.
    let described = admin.describe_topics(&topics).await.unwrap_or_default();
    assignments.retain(|assignment| {
        matches!(described.get(&*assignment.topic), Some(Ok(topic)) if url_safe(&topic.id) != assignment.topic_id)
    });
    assignments
}

/// Kafka's ids in the alphabet that its own tools print them in.
pub(super) fn url_safe(base64: &str) -> String {
    base64.replace('+', "-").replace('/', "_")
}
