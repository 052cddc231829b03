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
    state_topic: Option<String>,
    answer: Option<Receiver<Seen>>,
    next: Instant,
}

/// What Kafka says of the topics now.
#[derive(Default)]
pub(super) struct Seen {
    /// Assignments whose topics have another id now.
    pub changed: Vec<Arc<Assignment>>,
    /// The state topic's id, where there is such a topic.
    pub state_topic_id: Option<String>,
}

impl TopicWatch {
    pub fn new(admin: Admin, runtime: tokio::runtime::Handle, state_topic: Option<String>) -> Self {
        Self {
            admin,
            runtime,
            state_topic,
            answer: None,
            next: Instant::now() + INTERVAL,
        }
    }

    /// Asks Kafka now and then, without waiting for the answer; returns what a last answer says.
    pub fn look<'a>(
        &mut self,
        now: Instant,
        assignments: impl Iterator<Item = &'a Arc<Assignment>>,
    ) -> Option<Seen> {
        let seen = self
            .answer
            .as_ref()
            .and_then(|answer| answer.try_recv().ok());
        if seen.is_some() {
            self.answer = None;
        }
        if now >= self.next {
            self.next = now + INTERVAL;
            let assignments: Vec<_> = assignments.cloned().collect();
            let (sender, receiver) = channel();
            self.answer = Some(receiver);
            let (admin, state_topic) = (self.admin.clone(), self.state_topic.clone());
            self.runtime.spawn(async move {
                // Nobody listens when the answer comes too late.
                let _ = sender.send(compare(&admin, assignments, state_topic).await);
            });
        }
        seen
    }

    /// Asks again soon: something says that a topic may be another.
    pub fn hurry(&mut self) {
        self.next = Instant::now();
    }
}

async fn compare(
    admin: &Admin,
    mut assignments: Vec<Arc<Assignment>>,
    state_topic: Option<String>,
) -> Seen {
    let topics: BTreeSet<&str> = assignments
        .iter()
        .map(|a| &*a.topic)
        .chain(state_topic.as_deref())
        .collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    // Without an answer nothing is known, and with a topic that is not there nothing can be done.
    let described = admin.describe_topics(&topics).await.unwrap_or_default();
    let id = |topic: &str| Some(url_safe(&described.get(topic)?.as_ref().ok()?.id));
    let state_topic_id = state_topic.as_deref().and_then(id);
    assignments
        .retain(|assignment| id(&assignment.topic).is_some_and(|id| id != assignment.topic_id));
    Seen {
        changed: assignments,
        state_topic_id,
    }
}

/// Kafka's ids in the alphabet that its own tools print them in.
pub(crate) fn url_safe(base64: &str) -> String {
    base64.replace('+', "-").replace('/', "_")
}
