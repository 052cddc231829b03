use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use bt_kafka::Admin;

use crate::stats::Health;

const INTERVAL: Duration = Duration::from_secs(3);
/// Joining takes a moment when all is well; then nobody asks.
const FIRST: Duration = Duration::from_secs(2);
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Finds out why the group cannot be joined. librdkafka goes on trying whatever is wrong, a password or an authority
/// included, and its consumer says little of why.
pub(super) struct Joining {
    admin: Admin,
    runtime: tokio::runtime::Handle,
    topics: Vec<String>,
    answer: Option<Receiver<Option<String>>>,
    next: Instant,
    /// What was logged last, and when.
    logged: Option<(String, Instant)>,
}

impl Joining {
    pub fn new(admin: Admin, runtime: tokio::runtime::Handle, topics: &[String]) -> Self {
        Self {
            admin,
            runtime,
            topics: topics.to_vec(),
            answer: None,
            next: Instant::now() + FIRST,
            logged: None,
        }
    }

    /// Asks Kafka now and then, without waiting for the answer; what it finds is what `/readyz` says.
    pub fn look(&mut self, now: Instant, health: &Health) {
        match self.answer.as_ref().map(Receiver::try_recv) {
            Some(Ok(why)) => {
                self.answer = None;
                self.log(now, why.as_deref());
                health.joining(why);
            }
            Some(Err(TryRecvError::Empty)) => return,
            Some(Err(TryRecvError::Disconnected)) => self.answer = None,
            None => {}
        }
        if now >= self.next {
            self.next = now + INTERVAL;
            let (sender, receiver) = channel();
            self.answer = Some(receiver);
            let (admin, topics) = (self.admin.clone(), self.topics.clone());
            self.runtime.spawn(async move {
                // Nobody listens once the process ends.
                let _ = sender.send(obstacle(&admin, &topics).await);
            });
        }
    }

    fn log(&mut self, now: Instant, why: Option<&str>) {
        let Some(why) = why else { return };
        let known = self
            .logged
            .as_ref()
            .is_some_and(|(text, at)| text == why && now - *at < LOG_INTERVAL);
        if !known {
            tracing::warn!(
                why,
                "cannot join the consumer group; trying again until it works"
            );
            self.logged = Some((why.to_owned(), now));
        }
    }
}

/// What stands between us and an assignment, as far as asking for the topics tells.
async fn obstacle(admin: &Admin, topics: &[String]) -> Option<String> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let described = match admin.describe_topics(&names).await {
        Ok(described) => described,
        Err(error) => {
            let hint = if error.is_auth() {
                "; check kafka.sasl, and what this user may do"
            } else if error.is_tls() {
                "; check kafka.tls"
            } else {
                ""
            };
            return Some(format!("Kafka: {error}{hint}"));
        }
    };
    let mut failed = described
        .iter()
        .filter_map(|(topic, outcome)| Some((topic, outcome.as_ref().err()?)));
    let first = failed.next();
    match first {
        Some((topic, error)) if error.is_unknown_topic() => {
            Some(format!("the topic {topic} does not exist yet"))
        }
        Some((topic, error)) => Some(format!("topic {topic}: {error}")),
        None => None,
    }
}
