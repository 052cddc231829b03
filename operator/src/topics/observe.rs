use std::collections::BTreeMap;

use bt_kafka::{Admin, ConfigEntry, Error, Topic};

/// A topic as Kafka has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub topic: Topic,
    pub config: BTreeMap<String, ConfigEntry>,
}

/// The topic of that name, if there is one.
pub async fn topic(admin: &Admin, name: &str) -> Result<Option<Observed>, Error> {
    let topic = match admin.describe_topics(&[name]).await?.remove(name) {
        Some(Ok(topic)) => topic,
        Some(Err(error)) if error.is_unknown_topic() => return Ok(None),
        Some(Err(error)) => return Err(error),
        None => return Ok(None),
    };
    let config = match admin.describe_configs(&[name]).await?.remove(name) {
        Some(Ok(config)) => config,
        // Deleted between the two questions.
        Some(Err(error)) if error.is_unknown_topic() => return Ok(None),
        Some(Err(error)) => return Err(error),
        None => return Ok(None),
    };
    Ok(Some(Observed { topic, config }))
}
