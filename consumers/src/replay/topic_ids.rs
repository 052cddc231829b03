use std::collections::HashMap;

use bt_kafka::Admin;
use tokio::runtime::Handle;

use super::ReplayError;
use crate::pipeline::url_safe;

/// The ids of topics as Kafka has them now, for letters that do not say it.
pub(super) struct TopicIds {
    admin: Admin,
    runtime: Handle,
    known: HashMap<String, Option<String>>,
}

impl TopicIds {
    pub fn new(admin: Admin, runtime: Handle) -> Self {
        Self {
            admin,
            runtime,
            known: HashMap::new(),
        }
    }

    /// The id of the topic that bears this name; `None` when none does.
    pub fn present(&mut self, topic: &str) -> Result<Option<String>, ReplayError> {
        if let Some(known) = self.known.get(topic) {
            return Ok(known.clone());
        }
        let described = self
            .runtime
            .block_on(self.admin.describe_topics(&[topic]))?;
        let id = match described.get(topic) {
            Some(Ok(described)) => Some(url_safe(&described.id)),
            Some(Err(error)) if !error.is_unknown_topic() => return Err(error.clone().into()),
            Some(Err(_)) | None => None,
        };
        self.known.insert(topic.to_owned(), id.clone());
        Ok(id)
    }
}
